"""Many entities at once, as files and programs bring them: a few queries for hundreds of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Prefetch, Value
from django.db.models.functions import Lower
from django.utils import timezone

from apps.accounts.services import audit_entry, audit_many
from apps.sentiment.models import Alias, Entity
from apps.sentiment.services.entities import (
    ALIAS_FIELDS,
    FIELDS,
    MOST_ENTITIES,
    alias_rows,
    name_taken,
    set_columns,
    told,
    too_many,
    with_own_name,
)
from apps.sentiment.services.linking import tables_changed
from core.access import Actor
from core.errors import Refused

TOGETHER = 500


@dataclass(frozen=True)
class Upserted:
    """What became of one of many: created, changed, unchanged, or refused with the reason."""

    name: str
    state: str
    entity: Entity | None = None
    problem: Refused | None = None


@dataclass
class _Row:
    """An entity in hand with its aliases by text, and as it was before (None: there was none)."""

    entity: Entity
    aliases: dict[str, Alias]
    before: dict[str, Any] | None

    @property
    def now(self) -> dict[str, Any]:
        return told(self.entity, self.aliases.values())

    @property
    def moved(self) -> list[Alias]:
        """Aliases that are new, or other than before."""
        before = {each["text"]: each for each in (self.before or {"aliases": []})["aliases"]}
        now = zip(self.aliases.values(), self.now["aliases"], strict=True)
        return [alias for alias, columns in now if not alias.pk or columns != before.get(alias.text)]


@dataclass
class _Table:
    """The entities that items of one part name, by their names in small letters."""

    rows: dict[str, _Row]
    room: int  # for so many more
    seen: dict[str, _Row] = field(default_factory=dict)

    def take(self, workspace: Any, item: Mapping[str, Any]) -> Upserted:
        """What becomes of one item; nothing is stored yet."""
        columns = dict(item)
        name, aliases = str(columns.pop("name", "")).strip(), columns.pop("aliases", None)
        known = self.rows.get(name.lower())
        entity = copy(known.entity) if known else Entity(workspace=workspace, name=name)
        try:
            if known is None and self.room <= 0:
                raise too_many()
            set_columns(entity, columns)
            row = _Row(entity, dict(known.aliases) if known else {}, known.before if known else None)
            if known is None:
                aliases = with_own_name(name, aliases or ())
            if aliases is not None:
                row.aliases = _merged(row.aliases, entity, aliases)
        except Refused as refused:
            return Upserted(name, "refused", problem=refused)
        state = "created" if known is None else "unchanged" if row.now == known.now else "changed"
        if state != "unchanged":
            self.room -= known is None
            self.rows[name.lower()] = self.seen[name.lower()] = row
        return Upserted(name, state, entity)


def _merged(known: Mapping[str, Alias], entity: Entity, aliases: Sequence[Mapping[str, Any]]) -> dict[str, Alias]:
    """The aliases that are asked for; those that were there keep their rows and their places before new ones."""
    wanted = alias_rows(entity, aliases)
    for text, alias in wanted.items():
        if text in known:
            alias.pk = known[text].pk
    kept = {text: wanted[text] for text in known if text in wanted}
    return {**kept, **wanted}


def upsert_entities(*, actor: Actor, items: Iterable[Mapping[str, Any]]) -> list[Upserted]:
    """Create or change each by its name, in order; one that is refused takes no other with it. What an item leaves out
    stays as it is."""
    found: list[Upserted] = []
    for part in _parts(items):
        try:
            found += _upsert(actor, part)
        except IntegrityError:  # somebody made one of these names meanwhile
            for item in part:
                found += _one(actor, item)
    return found


def _one(actor: Actor, item: Mapping[str, Any]) -> list[Upserted]:
    try:
        return _upsert(actor, [item])
    except IntegrityError:
        return [Upserted(str(item.get("name", "")).strip(), "refused", problem=name_taken())]


def _parts(items: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    left = iter(items)
    while part := list(islice(left, TOGETHER)):
        yield part


@transaction.atomic
def _upsert(actor: Actor, items: Sequence[Mapping[str, Any]]) -> list[Upserted]:
    table = _table(actor.workspace, {str(item.get("name", "")).strip().lower() for item in items})
    found = [table.take(actor.workspace, item) for item in items]
    if not table.seen:
        return found
    _store(list(table.seen.values()))
    tables_changed(actor.workspace)
    audit_many(_entry(actor, row) for row in table.seen.values())
    stored = {name: row.entity for name, row in table.seen.items()}
    return [
        Upserted(each.name, each.state, stored.get(each.name.lower(), each.entity), each.problem)
        if each.entity is not None
        else each
        for each in found
    ]


def _table(workspace: Any, names: set[str]) -> _Table:
    rows = Entity.objects.filter(workspace=workspace)
    aliases = Prefetch("aliases", Alias.objects.order_by("id"))
    small = [Lower(Value(name)) for name in names]  # what letters are small is for the database to say, as in its index
    known = rows.annotate(small=Lower("name")).filter(small__in=small).select_for_update().prefetch_related(aliases)
    found = {}
    for entity in known.order_by("pk"):
        by_text = {alias.text: alias for alias in entity.aliases.all()}
        found[entity.name.lower()] = _Row(entity, by_text, told(entity, by_text.values()))
    return _Table(found, MOST_ENTITIES - rows.count())


def _store(rows: Sequence[_Row]) -> None:
    made = [row for row in rows if row.before is None]
    changed = [row for row in rows if row.before is not None]
    Entity.objects.bulk_create([row.entity for row in made])
    for row in changed:
        row.entity.updated_at = timezone.now()
    Entity.objects.bulk_update([row.entity for row in changed], [*FIELDS, "updated_at"])
    for row in rows:
        for alias in row.aliases.values():
            alias.entity = row.entity
    kept = [alias.pk for row in changed for alias in row.aliases.values() if alias.pk]
    Alias.objects.filter(entity__in=[row.entity.pk for row in changed]).exclude(pk__in=kept).delete()
    moved = [alias for row in rows for alias in row.moved]
    Alias.objects.bulk_update([alias for alias in moved if alias.pk], ALIAS_FIELDS[1:])
    Alias.objects.bulk_create([alias for alias in moved if not alias.pk])


def _entry(actor: Actor, row: _Row) -> Any:
    if row.before is None:
        return audit_entry(actor=actor, action="entity.create", obj=row.entity, after=row.now)
    return audit_entry(actor=actor, action="entity.change", obj=row.entity, before=row.before, after=row.now)

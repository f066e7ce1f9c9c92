"""The table of entities: made, changed and taken away one by one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts.services import audit
from apps.datasets.services import forget_aspect
from apps.sentiment.meaning.tickers import forms_of, normal
from apps.sentiment.models import Alias, AspectKind, Bucket, Cell, Dimension, Entity, EntityKind
from apps.sentiment.services.linking import tables_changed
from apps.sentiment.services.topics import words_of
from core.access import Actor
from core.errors import Refused, conflict
from words import say

FIELDS = ("name", "kind", "tickers", "is_enabled")
ALIAS_FIELDS = ("text", "language", "is_ambiguous", "required", "forbidden")
MOST_ENTITIES = 20_000
MOST_ALIASES = 100  # and tickers, of one entity
MOST_AT_ONCE = 1_000
LONGEST_NAME = 120


@transaction.atomic
def create_entity(*, actor: Actor, aliases: Sequence[Mapping[str, Any]] | None = None, **columns: Any) -> Entity:
    """An entity with its aliases; its name is the first of them unless it stands among them."""
    if Entity.objects.filter(workspace=actor.workspace).count() >= MOST_ENTITIES:
        raise too_many()
    entity = Entity(workspace=actor.workspace)
    set_columns(entity, columns)
    _save(entity)
    _set_aliases(entity, with_own_name(entity.name, aliases or ()))
    tables_changed(actor.workspace)
    audit(actor=actor, action="entity.create", obj=entity, after=_told(entity))
    return entity


@transaction.atomic
def change_entity(
    *, actor: Actor, entity: Entity, aliases: Sequence[Mapping[str, Any]] | None = None, **columns: Any
) -> Entity:
    """Change what is given; aliases are replaced as a whole. Articles keep their links until they are linked anew."""
    found = Entity.objects.select_for_update().get(pk=entity.pk)
    before = _told(found)
    set_columns(found, columns)
    if aliases is not None:
        _set_aliases(found, aliases)
    after = _told(found)
    if after == before:
        return found
    _save(found)
    tables_changed(actor.workspace)
    audit(actor=actor, action="entity.change", obj=found, before=before, after=after)
    return found


@transaction.atomic
def delete_entity(*, actor: Actor, entity: Entity) -> None:
    """With its aliases, links and figures; what people said of it does not count any more."""
    audit(actor=actor, action="entity.delete", obj=entity, before=_told(entity))
    forget_aspect(actor=actor, aspect=f"{AspectKind.TARGET.value}:{entity.pk}")
    Bucket.objects.filter(
        monitor__workspace=entity.workspace_id, dimension=Dimension.ENTITY, key=str(entity.pk)
    ).delete()
    Cell.objects.filter(monitor__workspace=entity.workspace_id, entity=entity.pk).delete()
    entity.delete()
    tables_changed(actor.workspace)


def too_many() -> Refused:
    """The refusal of one entity more."""
    return conflict("too_many_entities", say("There are at most {most} entities in a workspace.", most=MOST_ENTITIES))


def name_taken() -> Refused:
    """The refusal of a name that another entity has."""
    return conflict("name_taken", say("There is an entity of this name already."))


def set_columns(entity: Entity, columns: Mapping[str, Any]) -> None:
    """Give an entity what is asked for, checked, not stored."""
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(entity, name, value)
    entity.name = entity.name.strip()
    if not entity.name:
        raise Refused("no_name", say("Give it a name."), field="name")
    _check_length(entity.name, "name")
    if entity.kind not in EntityKind.values:
        raise Refused("unknown_kind", say("Choose one of: {kinds}.", kinds=", ".join(EntityKind.values)), field="kind")
    _check_yes_or_no(entity.is_enabled, "is_enabled")
    entity.tickers = list(dict.fromkeys(found for each in entity.tickers if (found := normal(str(each)))))
    for ticker in entity.tickers:
        if not forms_of(ticker):
            said = say("“{ticker}” is no ticker. Write 600519.SH, 0700.HK or AAPL.", ticker=ticker[:40])
            raise Refused("bad_ticker", said, field="tickers")
    if len(entity.tickers) > MOST_ALIASES:
        raise Refused("too_many_words", say("Give at most {most} words.", most=MOST_ALIASES), field="tickers")


def _save(entity: Entity) -> None:
    try:
        with transaction.atomic():
            entity.save()
    except IntegrityError as error:
        raise name_taken() from error


def _set_aliases(entity: Entity, aliases: Sequence[Mapping[str, Any]]) -> None:
    """Make the entity's aliases these; the rows of those that stay are kept."""
    wanted = alias_rows(entity, aliases)
    known = {alias.text: alias for alias in entity.aliases.all()}
    entity.aliases.exclude(text__in=list(wanted)).delete()
    for text, alias in wanted.items():
        if text in known:
            alias.pk = known[text].pk
    Alias.objects.bulk_update([alias for alias in wanted.values() if alias.pk], ALIAS_FIELDS[1:])
    Alias.objects.bulk_create([alias for alias in wanted.values() if not alias.pk])


def with_own_name(name: str, aliases: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Aliases of a new entity: nobody who names a company expects that its name alone is not found."""
    is_there = any(str(each.get("text", "")).strip().casefold() == name.casefold() for each in aliases)
    return [*aliases] if is_there else [{"text": name}, *aliases]


def alias_rows(entity: Entity, aliases: Sequence[Mapping[str, Any]]) -> dict[str, Alias]:
    """Text -> the alias that is asked for, not stored."""
    if len(aliases) > MOST_ALIASES:
        raise Refused("too_many_words", say("Give at most {most} words.", most=MOST_ALIASES), field="aliases")
    wanted: dict[str, Alias] = {}
    for columns in aliases:
        alias = Alias(entity=entity, **{name: columns[name] for name in ALIAS_FIELDS if name in columns})
        alias.text = alias.text.strip()
        if alias.text:
            _check_length(alias.text, "aliases")
            _check_yes_or_no(alias.is_ambiguous, "aliases")
            alias.required = words_of(alias.required, "aliases")
            alias.forbidden = words_of(alias.forbidden, "aliases")
            wanted.setdefault(alias.text, alias)
    return wanted


def _check_length(text: str, field: str) -> None:
    if len(text) > LONGEST_NAME or "\0" in text:
        said = say("A name has at most {most} characters.", most=LONGEST_NAME)
        raise Refused("long_name", said, field=field)


def _check_yes_or_no(value: Any, field: str) -> None:
    if not isinstance(value, bool):
        raise Refused("not_yes_or_no", say("“{word}” is neither yes nor no.", word=str(value)[:40]), field=field)


def _told(entity: Entity) -> dict[str, Any]:
    return told(entity, Alias.objects.filter(entity=entity).order_by("id"))


def told(entity: Entity, aliases: Iterable[Alias]) -> dict[str, Any]:
    """An entity as the audit trail tells it."""
    names = [{name: getattr(alias, name) for name in ALIAS_FIELDS} for alias in aliases]
    return {**{name: getattr(entity, name) for name in FIELDS}, "aliases": names}

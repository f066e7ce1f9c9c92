"""Add, edit, delete and restore single examples, and change many at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.formats.records import record_problems
from apps.datasets.hashing import content_hash
from apps.datasets.models import Dataset, Example, ExampleRevision, Kind, Split
from apps.datasets.services.rows import (
    BAD,
    Incoming,
    columns,
    free_occurrence,
    ids_of,
    keep,
    lock,
    store,
    touch,
)
from core.access import Actor
from core.errors import Problem, Refused, conflict
from words import join, say

PUSHED_AT_MOST = 1_000
BULK_BATCH = 5_000


@transaction.atomic
def add(*, actor: Actor, dataset: Dataset, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put up to 1,000 records in; good ones go in, each item is told what became of it.

    An item is {"record", "external_id"?, "split"?}; a result {"status", "id"?, "code"?, "field"?, "message"?}.
    """
    if len(items) > PUSHED_AT_MOST:
        raise Refused("too_many_items", say("Send at most 1,000 examples at once."), field="items", status=413)
    rows = [_incoming(dataset.kind, number, item) for number, item in enumerate(items)]
    dataset = lock(dataset)
    store(dataset, [row for row in rows if not row.problem[0]], by=actor.user, source="api")
    ids_of(dataset, rows)
    done = sum(row.status != BAD for row in rows)
    if done:
        audit(actor=actor, action="dataset.add_examples", obj=dataset, count=done)
    return [_result(row) for row in rows]


def _incoming(kind: str, number: int, item: Mapping[str, Any]) -> Incoming:
    record = item.get("record")
    external_id, split = item.get("external_id") or None, item.get("split") or ""
    row = Incoming(number=number, record=dict(record) if isinstance(record, Mapping) else {}, split=split)
    if not isinstance(record, Mapping):
        row.problem = ("wrong_type", "record", say("“record” must be an object."))
    elif external_id is not None and (
        not isinstance(external_id, str) or len(external_id) > 500 or "\0" in external_id
    ):
        row.problem = ("bad_id", "external_id", say("The id must be a text of 1 to 500 characters."))
    elif split not in Split.values:
        row.problem = ("bad_split", "split", say("The split must be train, dev, test or empty."))
    elif problems := record_problems(kind, record):
        row.problem = (problems[0].code, problems[0].field, join([problems[0].message, problems[0].hint]))
    else:
        row.external_id = external_id
    row.status = BAD if row.problem[0] else ""
    return row


def _result(row: Incoming) -> dict[str, Any]:
    if row.status != BAD:
        return {"status": row.status, "id": row.example_id}
    code, field, message = row.problem
    return {"status": BAD, "code": code, "field": field, "message": message}


@transaction.atomic
def edit(
    *,
    actor: Actor,
    example: Example,
    record: Mapping[str, Any] | None = None,
    split: str | None = None,
    revision: int | None = None,
    source: str = "edit",
) -> Example:
    """Change one example and keep what it was; with `revision`, refused when somebody was faster."""
    dataset = lock(example.dataset)
    example = _held(example, revision)
    whole = dict(record) if record is not None else example.whole_record
    wanted = example.split if split is None else split
    if wanted not in Split.values:
        raise Refused("bad_split", say("The split must be train, dev, test or empty."), field="split")
    _check(dataset, whole)
    digest = content_hash(dataset.kind, whole)
    if digest == example.content_hash and wanted == example.split and example.deleted_at is None:
        return example
    _change(dataset, example, whole, wanted, digest, by=actor.user, source=source)
    audit(actor=actor, action=f"example.{source}", obj=example, dataset=dataset.pk, revision=example.revision)
    return example


def _held(example: Example, revision: int | None) -> Example:
    example = Example.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=example.pk)
    if revision is not None and revision != example.revision:
        raise Refused(
            "changed_meanwhile",
            say("Somebody changed this example meanwhile. Look at it again, then repeat your change."),
            status=409,
        )
    return example


def _check(dataset: Dataset, record: dict[str, Any]) -> None:
    problems = [
        Problem(code=p.code, message=p.message, field=f"record.{p.field}", hint=p.hint)
        for p in record_problems(dataset.kind, record)
    ]
    if not problems and dataset.kind == Kind.CLASSIFICATION and len(record["labels"]) > 1 and not dataset.multi_label:
        problems = [
            Problem(code="several_labels", message=say("This dataset allows one label a text."), field="record.labels")
        ]
    if problems:
        raise Refused(problems[0].code, problems[0].message, hint=problems[0].hint, problems=problems)


def _change(
    dataset: Dataset, example: Example, record: dict[str, Any], split: str, digest: str, *, by: Any, source: str
) -> None:
    now = timezone.now()
    keep([example.pk], by=by, source=source, now=now)
    revived = example.deleted_at is not None
    if example.external_id is None and digest != example.content_hash:
        example.occurrence = free_occurrence(dataset, digest, example.pk)
    _record, _meta, text, labels, vector, length = columns(dataset.kind, record)
    example.record = {name: value for name, value in record.items() if name != "meta"}
    example.meta = dict(record.get("meta") or {})
    example.text, example.labels, example.length = text, labels, length
    example.split, example.content_hash, example.updated_at, example.deleted_at = split, digest, now, None
    example.revision += 1
    example.save(
        update_fields=[
            "record", "meta", "text", "labels", "length", "split", "content_hash", "occurrence", "updated_at",
            "deleted_at", "revision",
        ]
    )  # fmt: skip
    _index(example.pk, vector)
    _learn_labels(dataset, labels)
    touch(dataset, added=int(revived))


def _index(pk: int, vector: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE datasets_example SET search = %s::tsvector WHERE id = %s", [vector, pk])


def _learn_labels(dataset: Dataset, labels: Sequence[str]) -> None:
    long = [label for label in labels if len(label) > 200]
    if long:
        raise Refused("label_too_long", say("A label has at most 200 characters."), field="record.labels")
    dataset.labels = [*dataset.labels, *(label for label in labels if label not in dataset.labels)]


@transaction.atomic
def remove(*, actor: Actor, example: Example) -> Example:
    """Delete one example; it can be restored. Deleting twice is harmless."""
    dataset = lock(example.dataset)
    example = _held(example, None)
    if example.deleted_at is None:
        now = timezone.now()
        keep([example.pk], by=actor.user, source="delete", now=now)
        example.deleted_at, example.updated_at = now, now
        example.revision += 1
        example.save(update_fields=["deleted_at", "updated_at", "revision"])
        touch(dataset, added=-1)
        audit(actor=actor, action="example.delete", obj=example, dataset=dataset.pk)
    return example


@transaction.atomic
def restore(*, actor: Actor, example: Example, revision: ExampleRevision | None = None) -> Example:
    """Bring a deleted example back, or make an example what it was at an earlier revision."""
    if revision is None:
        return edit(actor=actor, example=example, source="restore")
    if revision.example_id != example.pk:
        raise conflict("other_example", say("This revision belongs to another example."))
    record = {**revision.record, "meta": revision.meta} if revision.meta else dict(revision.record)
    return edit(actor=actor, example=example, record=record, split=revision.split, source="restore")


@transaction.atomic
def bulk_change(
    *,
    actor: Actor,
    dataset: Dataset,
    rows: QuerySet[Example],
    action: str,
    labels: Sequence[str] = (),
    split: str = "",
) -> int:
    """Relabel, split or delete all examples of `rows` with history; how many changed.

    `action` is relabel (classification: the labels replace those before), split or delete.
    """
    dataset = lock(dataset)
    rows = rows.filter(dataset=dataset, deleted_at=None)
    if action == "relabel":
        changed = _relabel(dataset, rows, list(dict.fromkeys(labels)), actor)
    elif action == "split":
        if split not in Split.values:
            raise Refused("bad_split", say("The split must be train, dev, test or empty."), field="split")
        changed = _bulk_update(dataset, rows.exclude(split=split), actor, split=split)
    elif action == "delete":
        changed = _bulk_update(dataset, rows, actor, deleted_at=timezone.now())
    else:
        raise Refused("unknown_action", say("Choose relabel, split or delete."), field="action")
    if changed:
        touch(dataset, added=-changed if action == "delete" else 0)
        audit(
            actor=actor, action=f"example.bulk_{action}", obj=dataset, count=changed, labels=list(labels), split=split
        )
    return changed


def _relabel(dataset: Dataset, rows: QuerySet[Example], labels: list[str], actor: Actor) -> int:
    if dataset.kind != Kind.CLASSIFICATION:
        raise conflict("no_labels", say("Only examples of a classification dataset can be relabelled together."))
    if len(labels) > 1 and not dataset.multi_label:
        raise Refused("several_labels", say("This dataset allows one label a text."), field="labels")
    if any(not label.strip() or len(label) > 200 or "\0" in label for label in labels):
        raise Refused("bad_labels", say("A label has 1 to 200 characters."), field="labels")
    _learn_labels(dataset, labels)
    changed = 0
    pending = list(rows.exclude(labels=labels).order_by("id").values_list("id", flat=True))
    for at in range(0, len(pending), BULK_BATCH):
        changed += _relabel_batch(dataset, pending[at : at + BULK_BATCH], labels, actor)
    return changed


def _relabel_batch(dataset: Dataset, ids: list[int], labels: list[str], actor: Actor) -> int:
    now = timezone.now()
    keep(ids, by=actor.user, source="bulk", now=now)
    found = list(Example.objects.filter(pk__in=ids).order_by("id"))
    digests = {e.pk: content_hash(dataset.kind, {**e.whole_record, "labels": labels}) for e in found}
    taken: dict[str, set[int]] = {}
    loose = Example.objects.filter(dataset=dataset, external_id=None, content_hash__in=set(digests.values()))
    for digest, occurrence in loose.values_list("content_hash", "occurrence"):
        taken.setdefault(digest, set()).add(occurrence)
    for example in found:
        example.content_hash = digests[example.pk]
        example.record = {**example.record, "labels": labels}
        example.labels, example.updated_at, example.revision = labels, now, example.revision + 1
        if example.external_id is None:
            used = taken.setdefault(example.content_hash, set())
            example.occurrence = next(n for n in range(1, len(used) + 2) if n not in used)
            used.add(example.occurrence)
    fields = ["content_hash", "record", "labels", "updated_at", "revision", "occurrence"]
    Example.objects.bulk_update(found, fields, batch_size=500)
    return len(found)


def _bulk_update(dataset: Dataset, rows: QuerySet[Example], actor: Actor, **values: Any) -> int:
    now = timezone.now()
    source = "delete" if "deleted_at" in values else "bulk"
    pending = list(rows.order_by("id").values_list("id", flat=True))
    for at in range(0, len(pending), BULK_BATCH):
        ids = pending[at : at + BULK_BATCH]
        keep(ids, by=actor.user, source=source, now=now)
        Example.objects.filter(pk__in=ids).update(**values, updated_at=now, revision=F("revision") + 1)
    return len(pending)

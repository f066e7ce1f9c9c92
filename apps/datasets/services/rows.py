"""Writing many examples at once: match what is there, COPY what is new, keep what was before.

Every writer of examples holds the row lock of its dataset, so that matching and writing cannot be overtaken.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.datasets.hashing import canonical_json, content_hash
from apps.datasets.models import Dataset, Example, ImportJob
from apps.datasets.records import browse_text, filter_labels, shown
from apps.datasets.services.datasets import MAX_LABEL_CHARACTERS, MAX_LABELS
from core.search import search_vector
from words import say

NEW, UPDATED, UNCHANGED, BAD = "new", "updated", "unchanged", "bad"

_COLUMNS = (
    "dataset_id, external_id, record, meta, text, labels, split, content_hash, occurrence, search, length, revision, "
    "created_at, updated_at"
)
_STAGE = """
CREATE TEMP TABLE IF NOT EXISTS datasets_staged (
    id bigint, record jsonb, meta jsonb, text text, labels text[], split text, content_hash text, search tsvector,
    length int
) ON COMMIT DELETE ROWS
"""
_KEEP = """
INSERT INTO datasets_examplerevision (example_id, revision, at, by_id, source, record, meta, split, deleted)
SELECT id, revision, %s, %s, %s, record, meta, split, deleted_at IS NOT NULL
FROM datasets_example WHERE id = ANY(%s)
"""
_UPDATE = """
UPDATE datasets_example e SET record = s.record, meta = s.meta, text = s.text, labels = s.labels,
    split = CASE WHEN s.split = '' THEN e.split ELSE s.split END, content_hash = s.content_hash, search = s.search,
    length = s.length, revision = e.revision + 1, updated_at = %s, deleted_at = NULL
FROM datasets_staged s WHERE e.id = s.id
"""
_BY_ID = """
SELECT e.external_id, e.id, e.content_hash, e.split, e.deleted_at IS NOT NULL
FROM datasets_example e WHERE e.dataset_id = %s AND e.external_id = ANY(%s)
"""
_BY_CONTENT = """
SELECT e.content_hash, e.occurrence, e.id, e.split, e.deleted_at IS NOT NULL
FROM unnest(%s::text[], %s::int[]) AS t(content_hash, occurrence)
JOIN datasets_example e ON e.dataset_id = %s AND e.external_id IS NULL
    AND e.content_hash = t.content_hash AND e.occurrence = t.occurrence
"""
_SEEN = """
INSERT INTO datasets_importseen (import_job_id, key, count)
SELECT %s, t.key, t.count FROM unnest(%s::text[], %s::int[]) AS t(key, count)
ON CONFLICT (import_job_id, key) DO UPDATE SET count = datasets_importseen.count + excluded.count
RETURNING key, count
"""


@dataclass(slots=True)
class Incoming:
    """One canonical record (with its meta) that wants into a dataset; `number` is its row."""

    number: int
    record: dict[str, Any]
    external_id: str | None = None
    split: str = ""
    hash: str = ""
    occurrence: int = 1
    labels: list[str] = field(default_factory=list)
    status: str = ""
    example_id: int | None = None
    problem: tuple[str, str, str] = ("", "", "")  # code, field, message


def lock(dataset: Dataset) -> Dataset:
    """The dataset's row, held until the transaction ends."""
    return Dataset.objects.select_for_update(of=("self",)).get(pk=dataset.pk)


def store(
    dataset: Dataset,
    rows: Sequence[Incoming],
    *,
    by: Any,
    source: str,
    import_job: ImportJob | None = None,
    dry_run: bool = False,
) -> Counter[str]:
    """Put checked rows into a locked dataset; each row learns its status, the counts come back.

    Rows are the same by external id, else by content hash and occurrence: the n-th equal record of one import is the
    n-th equal record of the dataset. A row that was deleted before comes back. Runs in the caller's transaction.
    """
    good = [row for row in rows if _fits(dataset, row)]
    for row in good:
        row.hash = content_hash(dataset.kind, row.record)
    good = _count_occurrences(good, import_job)
    found = _match(dataset, good) if dataset.revision else {}
    new, changed, revived = [], [], 0
    for row in good:
        known = found.get(_place(row))
        if known is None:
            row.status = NEW
            new.append(row)
            continue
        row.example_id, before_hash, before_split, deleted = known
        if before_hash == row.hash and row.split in ("", before_split) and not deleted:
            row.status = UNCHANGED
        else:
            row.status = NEW if deleted else UPDATED
            revived += deleted
            changed.append(row)
    if not dry_run and (new or changed):
        _write(dataset, new, changed, revived, by=by, source=source)
    return Counter(row.status for row in rows)


def _fits(dataset: Dataset, row: Incoming) -> bool:
    row.labels = filter_labels(dataset.kind, row.record)
    if len(row.labels) > 1 and dataset.kind == "classification" and not dataset.multi_label:
        row.problem = (
            "several_labels",
            "labels",
            say(
                "The row has {count} labels, the dataset allows one. Make it multi-label or map another column.",
                count=len(row.labels),
            ),
        )
    elif any(len(label) > MAX_LABEL_CHARACTERS for label in row.labels):
        row.problem = (
            "label_too_long",
            "labels",
            say("A label is longer than 200 characters. Is it the right column?"),
        )
    elif fresh := [label for label in row.labels if label not in _known(dataset)]:
        if len(dataset.labels) + len(fresh) > MAX_LABELS:
            row.problem = (
                "too_many_labels",
                "labels",
                say("The dataset has 5,000 labels already. Is it the right column?"),
            )
        else:
            dataset.labels.extend(fresh)
            _known(dataset).update(fresh)
    row.status = BAD if row.problem[0] else ""
    return not row.problem[0]


def _known(dataset: Dataset) -> set[str]:
    known: set[str] | None = dataset.__dict__.get("_known_labels")
    if known is None:
        known = dataset.__dict__["_known_labels"] = set(dataset.labels)
    return known


def _key(row: Incoming) -> str:
    return f"c{row.hash}" if row.external_id is None else f"i{content_hash('corpus', {'text': row.external_id})}"


def _place(row: Incoming) -> tuple[str, int]:
    return (row.external_id, 0) if row.external_id is not None else (row.hash, row.occurrence)


def _count_occurrences(rows: list[Incoming], import_job: ImportJob | None) -> list[Incoming]:
    """Number equal rows; the second row with an external id is refused, so that the first one counts."""
    keys = [_key(row) for row in rows]
    here = Counter(keys)
    before: dict[str, int] = {}
    if import_job is not None and rows:
        with connection.cursor() as cursor:
            names = sorted(here)
            cursor.execute(_SEEN, [import_job.pk, names, [here[name] for name in names]])
            before = {key: count - here[key] for key, count in cursor.fetchall() if count > here[key]}
    met = Counter(before)
    good = []
    for row, key in zip(rows, keys, strict=True):
        met[key] += 1
        row.occurrence = met[key]
        if row.external_id is not None and row.occurrence > 1:
            row.status = BAD
            row.problem = (
                "id_again",
                "external_id",
                say("The id “{id}” stands in an earlier row already; that one counts.", id=row.external_id[:80]),
            )
        else:
            good.append(row)
    return good


def _match(dataset: Dataset, rows: Iterable[Incoming]) -> dict[tuple[str, int], tuple[int, str, str, bool]]:
    """(external id, 0) or (hash, occurrence) -> example id, content hash, split, whether deleted."""
    by_id = [row.external_id for row in rows if row.external_id is not None]
    by_content = [row for row in rows if row.external_id is None]
    found: dict[tuple[str, int], tuple[int, str, str, bool]] = {}
    with connection.cursor() as cursor:
        if by_id:
            cursor.execute(_BY_ID, [dataset.pk, by_id])
            found |= {(e, 0): (pk, digest, split, gone) for e, pk, digest, split, gone in cursor.fetchall()}
        if by_content:
            hashes, occurrences = [row.hash for row in by_content], [row.occurrence for row in by_content]
            cursor.execute(_BY_CONTENT, [hashes, occurrences, dataset.pk])
            found |= {(h, n): (pk, h, split, gone) for h, n, pk, split, gone in cursor.fetchall()}
    return found


def _write(
    dataset: Dataset, new: list[Incoming], changed: list[Incoming], revived: int, *, by: Any, source: str
) -> None:
    now = timezone.now()
    with connection.cursor() as cursor:
        if new:
            with cursor.copy(f"COPY datasets_example ({_COLUMNS}) FROM STDIN") as copy:
                for row in new:
                    record, meta, text, labels, search, length = columns(dataset.kind, row.record)
                    copy.write_row(
                        (dataset.pk, row.external_id, record, meta, text, labels, row.split, row.hash, row.occurrence,
                         search, length, 1, now, now)
                    )  # fmt: skip
        if changed:
            keep([row.example_id for row in changed if row.example_id], by=by, source=source, now=now)
            cursor.execute(_STAGE)
            cursor.execute("DELETE FROM datasets_staged")
            with cursor.copy("COPY datasets_staged FROM STDIN") as copy:
                for row in changed:
                    record, meta, text, labels, search, length = columns(dataset.kind, row.record)
                    copy.write_row((row.example_id, record, meta, text, labels, row.split, row.hash, search, length))
            cursor.execute(_UPDATE, [now])
    touch(dataset, added=len(new) + revived)


def columns(kind: str, record: dict[str, Any]) -> tuple[str, str, str, list[str], str, int]:
    """record, meta, text, labels, search and length as the table stores them (JSON and tsvector as text)."""
    meta = record.get("meta") or {}
    text = browse_text(kind, record)
    bare = canonical_json({name: value for name, value in record.items() if name != "meta"})
    return bare, canonical_json(meta), shown(text), filter_labels(kind, record), search_vector(text), len(text)


def keep(ids: Sequence[int], *, by: Any, source: str, now: Any) -> None:
    """Append what the examples are now to their history, before they change."""
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [now, by.pk if by is not None else None, source, list(ids)])


def touch(dataset: Dataset, *, added: int = 0) -> None:
    """Write the counters of a locked dataset after its examples changed."""
    dataset.example_count += added
    dataset.revision += 1
    dataset.updated_at = timezone.now()
    dataset.save(update_fields=["example_count", "revision", "updated_at", "labels"])


def ids_of(dataset: Dataset, rows: Sequence[Incoming]) -> None:
    """Tell new rows their example ids."""
    found = _match(dataset, [row for row in rows if row.status == NEW and row.example_id is None])
    for row in rows:
        if row.example_id is None and row.status == NEW:
            row.example_id = found[_place(row)][0]


def free_occurrence(dataset: Dataset, digest: str, without: int) -> int:
    """The next free number among equal records without external id, `without` the example that changes."""
    same = Example.objects.filter(dataset=dataset, external_id=None, content_hash=digest).exclude(pk=without)
    taken = set(same.values_list("occurrence", flat=True))
    return next(number for number in range(1, len(taken) + 2) if number not in taken)

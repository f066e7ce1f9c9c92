"""What changed between two frozen versions: a merge of two files that are both in order of example id."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from apps.datasets.hashing import canonical_json
from engine.specs.records import FIELDS

SHOWN = 100  # example ids kept of each kind of change
ROWS_AT_ONCE = 2_000
_LABELS = {"classification": "labels", "spans": "spans", "qa": "answers"}


class Digest(NamedTuple):
    """One row of a version as far as a diff needs it."""

    example_id: int
    said: bytes  # text and meta
    labelled: bytes
    split: str


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a frozen version as plain dicts, in memory of one batch."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
            yield from batch.to_pylist()


def digests(kind: str, path: Path) -> Iterator[Digest]:
    """Digests of a frozen version's rows."""
    label = _LABELS.get(kind, "")
    for row in rows_of(path):
        said = {name: row[name] for name in FIELDS[kind] if name != label}
        yield Digest(
            row["example_id"],
            _digest({**said, "meta": row["meta"] or ""}),
            _digest({"labels": _ordered(row[label])}) if label else b"",
            row["split"] or "",
        )


def _ordered(labels: list[Any]) -> list[Any]:
    return sorted(labels, key=lambda value: value if isinstance(value, str) else canonical_json(value))


def _digest(value: dict[str, Any]) -> bytes:
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=16).digest()


def difference(old: Iterator[Digest], new: Iterator[Digest]) -> dict[str, Any]:
    """{"added", "removed", "changed", "relabelled", "moved", "unchanged": counts, "examples": {kind: first ids}}.

    `changed`: another text or meta; `relabelled`: equal text, other labels; `moved`: equal but for the split.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, list[int]] = {}

    def note(what: str, example_id: int) -> None:
        counts[what] += 1
        if what != "unchanged" and len(examples.setdefault(what, [])) < SHOWN:
            examples[what].append(example_id)

    before, after = next(old, None), next(new, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.example_id < after.example_id):
            assert before is not None
            note("removed", before.example_id)
            before = next(old, None)
        elif before is None or after.example_id < before.example_id:
            note("added", after.example_id)
            after = next(new, None)
        else:
            note(_change(before, after), after.example_id)
            before, after = next(old, None), next(new, None)
    names = ("added", "removed", "changed", "relabelled", "moved", "unchanged")
    return {**{name: counts[name] for name in names}, "examples": examples}


def _change(before: Digest, after: Digest) -> str:
    if before.said != after.said:
        return "changed"
    if before.labelled != after.labelled:
        return "relabelled"
    return "moved" if before.split != after.split else "unchanged"

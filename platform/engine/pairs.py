"""Pair rows of a frozen version: two texts that belong together, or how much they do."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from engine.data import Rows, iterate_rows
from engine.specs.records import FIELDS

UNREADABLE = math.nan


@dataclass
class PairRows(Rows):
    """Rows of a dataset of pairs.

    Of a row with `negative` among its further columns that text is known not to belong to the source; with `score` the
    row says how much its two texts belong together. A score that is no number is UNREADABLE.
    """

    sources: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    negatives: list[str] = field(default_factory=list)  # "" without one
    scores: list[float | None] = field(default_factory=list)

    def wording(self, at: int) -> str:
        """Both sides and the negative."""
        return "\n".join([self.sources[at], self.targets[at], self.negatives[at]])


def read_pairs(path: Path) -> dict[str, PairRows]:
    """Pairs by split."""
    splits: dict[str, PairRows] = {}
    for rows in iterate_rows(path, ("example_id", "split", "meta", *FIELDS["pairs"])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", PairRows())
            more = json.loads(row["meta"]) if row["meta"] else {}
            part.ids.append(row["example_id"])
            part.sources.append(row["source"] or "")
            part.targets.append(row["target"] or "")
            part.negatives.append(str(more.get("negative") or "").strip())
            part.scores.append(_score(more.get("score")))
    return splits


def _score(value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        found = float(str(value))
    except ValueError:
        return UNREADABLE
    return found if math.isfinite(found) else UNREADABLE

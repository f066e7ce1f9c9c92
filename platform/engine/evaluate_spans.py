"""Marked spans beside gold ones: one metrics object and one row per example."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import metrics, span_metrics
from engine.data import SpanRows
from engine.failures import RunFailed
from engine.spans import Span
from engine.tagger import Marked
from words import say

SPANS = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())]))


@dataclass(frozen=True)
class SpanExample:
    """How one text fared."""

    example_id: int
    gold: tuple[Span, ...]
    predicted: tuple[Span, ...]
    probability: float  # of the least sure unit's tag
    loss: float  # mean over units
    correct: bool  # all spans right and none too many


def evaluate_spans(
    marked: Sequence[Marked], rows: SpanRows, labels: Sequence[str], *, seed: int = 17
) -> tuple[dict[str, Any], list[SpanExample]]:
    """Figures of entities with 95 % bootstrap intervals over texts, errors by kind, and one row per text.

    RunFailed("unknown_label") names the rows whose label the tagger does not know.
    """
    refuse_unknown(rows, labels)
    said = [[span for span, _ in one.spans] for one in marked]
    table = span_metrics.row_counts(rows.spans, said, labels)
    whole = table.sum(0)
    losses, units = (np.array([getattr(one, name) for one in marked], dtype=np.float64) for name in ("loss", "units"))
    right = np.array([one.units_right for one in marked])
    low, high = metrics.bootstrap_ratio(losses, units, seed=seed)
    counted = {"all": int(units.sum()), "right": int(right.sum())}
    measured = {
        "rows": len(rows),
        "units": counted,
        "entities": int(whole[2].sum()),
        "headline": {
            **span_metrics.headline(table, seed=seed),
            "loss": {"value": float(losses.sum() / max(1.0, units.sum())), "low": low, "high": high},
        },
        "per_class": metrics.per_class(whole, labels),
        "errors": span_metrics.errors(rows.spans, said),
        "mixed_up": span_metrics.mixed_up(rows.spans, said),
        "conll": span_metrics.conll_report(whole, labels, counted),
        "interval": {"method": "percentile bootstrap over texts", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }
    examples = [
        SpanExample(
            int(rows.ids[at]),
            tuple(rows.spans[at]),
            tuple(said[at]),
            one.probability,
            one.loss / max(1, one.units),
            set(rows.spans[at]) == set(said[at]),
        )
        for at, one in enumerate(marked)
    ]
    return measured, examples


def refuse_unknown(rows: SpanRows, labels: Sequence[str]) -> None:
    """RunFailed("unknown_label") when a gold span carries a label outside `labels`."""
    known = set(labels)
    unknown = [at for at, spans in enumerate(rows.spans) if any(span.label not in known for span in spans)]
    if unknown:
        name = next(span.label for span in rows.spans[unknown[0]] if span.label not in known)
        raise RunFailed(
            "unknown_label",
            say(
                "{unknown_count} rows carry a label the model does not know, such as “{name}”.",
                unknown_count=len(unknown),
                name=name,
            ),
            say("Rename the label, or train a version that knows it."),
            [rows.ids[at] for at in unknown],
        )


def write_span_rows(path: Path, examples: Sequence[SpanExample]) -> None:
    """The rows as Parquet, columns as in SpanExample."""
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("gold", SPANS),
            ("predicted", SPANS),
            ("probability", pa.float64()),
            ("loss", pa.float64()),
            ("correct", pa.bool_()),
        ]
    )
    rows = [
        {
            **vars(one),
            "gold": [span._asdict() for span in one.gold],
            "predicted": [span._asdict() for span in one.predicted],
        }
        for one in examples
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)

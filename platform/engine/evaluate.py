"""Predictions beside gold labels: one metrics object and one row per example."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine import metrics
from engine.failures import RunFailed
from engine.rejection import rejection_figures
from words import say

TINY = 1e-12


@dataclass(frozen=True)
class ExampleRow:
    """How one example fared."""

    example_id: int
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: float  # of the predicted label; multi-label: of the least sure decision
    loss: float
    correct: bool


def choose(probabilities: NDArray[Any], *, multi_label: bool, threshold: float) -> NDArray[np.bool_]:
    """Decisions [N, K] from probabilities [N, K]; ties go to the lower label number."""
    if multi_label:
        return np.asarray(probabilities >= threshold)
    return metrics.one_hot(probabilities.argmax(1).astype(np.int64), probabilities.shape[1])


def gold_table(gold: Sequence[Sequence[str]], labels: Sequence[str], ids: Sequence[int] = ()) -> NDArray[np.bool_]:
    """Gold labels as [N, K]; RunFailed("unknown_label") with the rows whose label the model does not know."""
    place = {label: at for at, label in enumerate(labels)}
    unknown = [at for at, names in enumerate(gold) if any(name not in place for name in names)]
    if unknown:
        name = next(name for name in gold[unknown[0]] if name not in place)
        raise RunFailed(
            "unknown_label",
            say(
                "{unknown_count} rows carry a label the model does not know, such as “{name}”.",
                unknown_count=len(unknown),
                name=name,
            ),
            say("Rename the label, or train a version that knows it."),
            [ids[at] if ids else at for at in unknown],
        )
    table = np.zeros((len(gold), len(labels)), dtype=bool)
    for at, names in enumerate(gold):
        for name in names:
            table[at, place[name]] = True
    return table


def evaluate(
    probabilities: NDArray[Any],
    gold: Sequence[Sequence[str]],
    ids: Sequence[int],
    labels: Sequence[str],
    *,
    multi_label: bool = False,
    threshold: float = 0.5,
    turns_away: bool = False,
    seed: int = 17,
) -> tuple[dict[str, Any], list[ExampleRow]]:
    """Metrics and example rows from probabilities [N, K]; every share comes with its 95 % interval.

    With `turns_away` the last label is that of texts about none of the others.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    table = gold_table(gold, labels, ids)
    decided = choose(probabilities, multi_label=multi_label, threshold=threshold)
    right = np.all(table == decided, axis=1)
    losses = _losses(table, probabilities, multi_label=multi_label)
    confidence = _confidence(probabilities, decided, multi_label=multi_label)
    found = metrics.averages(table, decided)
    intervals = metrics.bootstrap_averages(table, decided, seed=seed)
    intervals["loss"] = metrics.bootstrap_mean(losses, seed=seed)
    measured: dict[str, Any] = {
        "rows": len(ids),
        "headline": {
            name: {"value": value, "low": intervals[name][0], "high": intervals[name][1]}
            for name, value in {**found, "loss": float(losses.mean())}.items()
        },
        "per_class": metrics.per_class(metrics.counts(table, decided), labels),
        "calibration": metrics.calibration(confidence, right),
        "brier": metrics.brier(table, probabilities),
        "roc_auc": metrics.macro_auc(table, probabilities),
        "interval": {"method": "percentile bootstrap over rows", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }
    if not multi_label:
        measured["confusion"] = metrics.confusion(
            table.argmax(1).astype(np.int64), decided.argmax(1).astype(np.int64), labels
        )
    if turns_away:
        measured["headline"] |= rejection_figures(table, decided, probabilities)
    rows = [
        ExampleRow(
            int(ids[at]),
            tuple(gold[at]),
            tuple(labels[int(k)] for k in np.flatnonzero(decided[at])),
            float(confidence[at]),
            float(losses[at]),
            bool(right[at]),
        )
        for at in range(len(ids))
    ]
    return measured, rows


def write_rows(path: Path, rows: Sequence[ExampleRow]) -> None:
    """Example rows as Parquet: example_id, gold, predicted, probability, loss, correct."""
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("gold", pa.list_(pa.string())),
            ("predicted", pa.list_(pa.string())),
            ("probability", pa.float64()),
            ("loss", pa.float64()),
            ("correct", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), path)


def _losses(gold: NDArray[np.bool_], probabilities: NDArray[np.float64], *, multi_label: bool) -> NDArray[np.float64]:
    """Cross entropy of each row; multi-label sums the binary ones."""
    bounded = np.clip(probabilities, TINY, 1 - TINY)
    hits = np.where(gold, np.log(bounded), np.log1p(-bounded) if multi_label else 0.0)
    return np.asarray(-hits.sum(1), dtype=np.float64)


def _confidence(
    probabilities: NDArray[np.float64], decided: NDArray[np.bool_], *, multi_label: bool
) -> NDArray[np.float64]:
    if not multi_label:
        return np.asarray(probabilities.max(1))
    return np.asarray(np.where(decided, probabilities, 1 - probabilities).min(1))

"""Figures for classifiers with their uncertainty, in numpy alone."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BOOTSTRAP_ROUNDS = 1000
Z95 = 1.959963984540054
DENSE_CLASSES = 50
BLOCK_CELLS = 4_000_000


def one_hot(classes: Ints, count: int) -> NDArray[np.bool_]:
    """[N] class numbers -> [N, K] booleans."""
    return np.asarray(np.arange(count)[None, :] == classes[:, None])


def counts(gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> Ints:
    """True positives, predicted and gold totals per class: [3, K] from two [N, K] arrays."""
    return np.stack([(gold & predicted).sum(0), predicted.sum(0), gold.sum(0)]).astype(np.int64)


def f1_scores(table: Ints) -> tuple[Floats, Floats, Floats]:
    """(precision, recall, F1) from counts [..., 3, K]; 0 where nothing was predicted or gold."""
    hit, said, true = (table[..., at, :].astype(np.float64) for at in range(3))
    return ratio(hit, said), ratio(hit, true), ratio(2 * hit, said + true)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1 + Z95**2 / trials
    middle = (share + Z95**2 / (2 * trials)) / scale
    half = Z95 * math.sqrt(share * (1 - share) / trials + Z95**2 / (4 * trials**2)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def per_class(table: Ints, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1, support and Wilson intervals of each label, in label order."""
    precision, recall, f1 = f1_scores(table)
    return [
        {
            "label": label,
            "precision": float(precision[at]),
            "precision_interval": wilson(int(table[0, at]), int(table[1, at])),
            "recall": float(recall[at]),
            "recall_interval": wilson(int(table[0, at]), int(table[2, at])),
            "f1": float(f1[at]),
            "support": int(table[2, at]),
            "predicted": int(table[1, at]),
        }
        for at, label in enumerate(labels)
    ]


def averages(gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> dict[str, float]:
    """Accuracy (all labels right) and micro, macro, weighted F1; macro over labels that are gold or predicted."""
    return {name: float(value[0]) for name, value in _averages(gold[None], predicted[None]).items()}


def bootstrap_averages(
    gold: NDArray[np.bool_], predicted: NDArray[np.bool_], *, seed: int, rounds: int = BOOTSTRAP_ROUNDS
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of averages() over resampled rows.

    A resample is a vector of row weights, so the counts of all rounds are matrix products.
    """
    rows, size = gold.shape
    if rows == 0:
        return {}
    right = np.all(gold == predicted, axis=1)[:, None]
    columns = np.concatenate([gold & predicted, predicted, gold, right], axis=1).astype(np.float64)
    sums = resampled_sums(columns, rounds, seed)  # [R, 3K + 1]
    table = sums[:, :-1].reshape(rounds, 3, size)
    return {name: _interval(values) for name, values in _from_counts(table, sums[:, -1] / rows).items()}


def bootstrap_mean(values: Floats, *, seed: int, rounds: int = BOOTSTRAP_ROUNDS) -> tuple[float, float]:
    """95 % percentile interval of a mean over rows [N]."""
    return _interval(resampled_sums(values[:, None], rounds, seed)[:, 0] / len(values))


def bootstrap_ratio(top: Floats, bottom: Floats, *, seed: int, rounds: int = BOOTSTRAP_ROUNDS) -> tuple[float, float]:
    """95 % percentile interval of sum(top) / sum(bottom) over resampled rows, for means weighted by tokens."""
    sums = resampled_sums(np.stack([top, bottom], axis=1), rounds, seed)
    return _interval(sums[:, 0] / np.maximum(sums[:, 1], 1e-12))


def paired_bootstrap(first: Floats, second: Floats, *, seed: int, rounds: int = BOOTSTRAP_ROUNDS) -> dict[str, float]:
    """Difference of two means over the same rows (second - first), its 95 % interval and two-sided p."""
    difference = second - first
    drawn = resampled_sums(difference[:, None], rounds, seed)[:, 0] / len(difference)
    low, high = _interval(drawn)
    tail = min(float((drawn <= 0).mean()), float((drawn >= 0).mean()))
    return {"difference": float(difference.mean()), "low": low, "high": high, "p": min(1.0, 2 * tail)}


def figure(value: float, drawn: Floats) -> dict[str, float]:
    """A headline figure: the value and the 95 % percentile interval of its resamples [R]."""
    low, high = _interval(drawn)
    return {"value": value, "low": low, "high": high}


def difference(value: float, drawn: Floats) -> dict[str, float]:
    """A difference with the 95 % interval and the two-sided p of its resamples [R]; p is never an impossible zero."""
    low, high = _interval(drawn)
    tail = (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (1 + len(drawn))
    return {"difference": value, "low": low, "high": high, "p": min(1.0, 2 * tail)}


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> dict[str, float]:
    """McNemar's test on paired outcomes: rows only one side has right, exact and mid-p two-sided values.

    The mid-p value halves the weight of the observed table (Fagerland, Lydersen & Laake 2013).
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    total, smaller = only_first + only_second, min(only_first, only_second)
    if total == 0:
        return {"only_first": 0, "only_second": 0, "exact_p": 1.0, "mid_p": 1.0}
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(smaller + 1)]
    shares = [math.exp(value - total * math.log(2)) for value in logs]
    exact = min(1.0, 2 * math.fsum(shares))
    mid = min(1.0, 2 * math.fsum(shares) - shares[-1])
    return {"only_first": only_first, "only_second": only_second, "exact_p": exact, "mid_p": mid}


def confusion(gold: Ints, predicted: Ints, labels: Sequence[str]) -> dict[str, Any]:
    """Cells (gold, predicted, count) above zero, and the dense [K, K] matrix up to DENSE_CLASSES labels."""
    size = len(labels)
    flat = np.bincount(gold * size + predicted, minlength=size * size)
    cells = [[int(at // size), int(at % size), int(flat[at])] for at in np.flatnonzero(flat)]
    dense = flat.reshape(size, size).tolist() if size <= DENSE_CLASSES else None
    return {"labels": list(labels), "cells": cells, "matrix": dense}


def calibration(confidence: Floats, right: NDArray[np.bool_], *, bins: int = 15) -> dict[str, Any]:
    """Expected calibration error over equal-width bins of the confidence, and the bins."""
    if len(confidence) == 0:
        return {"ece": 0.0, "bins": []}
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    number = np.bincount(place, minlength=bins)
    sums = np.bincount(place, weights=confidence, minlength=bins)
    hits = np.bincount(place, weights=right.astype(np.float64), minlength=bins)
    rows = [
        {
            "from": at / bins,
            "to": (at + 1) / bins,
            "count": int(number[at]),
            "confidence": float(sums[at] / number[at]),
            "accuracy": float(hits[at] / number[at]),
        }
        for at in np.flatnonzero(number)
    ]
    error = float(np.abs(sums - hits).sum() / len(confidence))
    return {"ece": error, "bins": rows}


def brier(gold: NDArray[np.bool_], probabilities: Floats) -> float:
    """Mean over rows of the summed squared distance to the gold row, [N, K] each."""
    return float(np.square(probabilities - gold).sum(1).mean()) if len(gold) else 0.0


def roc_auc(gold: NDArray[np.bool_], scores: Floats) -> float | None:
    """Area under the ROC curve [N], ties counted half; None when only one class is present."""
    positives = int(gold.sum())
    negatives = len(gold) - positives
    if positives == 0 or negatives == 0:
        return None
    _, inverse, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    return float((ranks[inverse][gold].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def macro_auc(gold: NDArray[np.bool_], probabilities: Floats) -> float | None:
    """Mean one-against-rest area over the labels where it is defined; None when it never is."""
    areas = [roc_auc(gold[:, at], probabilities[:, at]) for at in range(gold.shape[1])]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def _averages(gold: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> dict[str, Floats]:
    table = np.stack([counts(one, other) for one, other in zip(gold, predicted, strict=True)])
    right = np.all(gold == predicted, axis=2).mean(1) if gold.shape[1] else np.zeros(len(gold))
    return _from_counts(table, right)


def _from_counts(table: NDArray[Any], accuracy: NDArray[Any]) -> dict[str, Floats]:
    """Averages of several tables at once: [R, 3, K] and [R] -> [R] each."""
    _, _, f1 = f1_scores(table)
    seen = (table[:, 1] + table[:, 2]) > 0
    total = table.sum(2).astype(np.float64)
    return {
        "accuracy": np.asarray(accuracy, dtype=np.float64),
        "macro_f1": ratio((f1 * seen).sum(1), seen.sum(1).astype(np.float64)),
        "micro_f1": ratio(2 * total[:, 0], total[:, 1] + total[:, 2]),
        "weighted_f1": ratio((f1 * table[:, 2]).sum(1), total[:, 2]),
    }


def resampled_sums(columns: Floats, rounds: int, seed: int) -> Floats:
    """Column sums [R, C] of `rounds` resamples with replacement of the rows [N, C], in blocks of bounded memory."""
    rows = len(columns)
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_CELLS // max(1, rows))
    sums = np.empty((rounds, columns.shape[1]))
    for start in range(0, rounds, block):
        count = min(block, rounds - start)
        drawn = generator.integers(0, rows, (count, rows)) + np.arange(count)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)  # [R', N]
        sums[start : start + count] = weights.astype(np.float64) @ columns
    return sums


def _interval(values: NDArray[Any]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """top / bottom, 0 where bottom is 0."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)

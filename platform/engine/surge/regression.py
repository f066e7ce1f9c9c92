"""What is expected of a count by comparable past counts: a quasi-Poisson regression that forgives past outbreaks.

Farrington et al. 1996 as improved by Noufaily et al. 2013: log mean = level + other kind of day + trend + slope along the day, by
iteratively reweighted least squares; a term that is not significant is left out; counts with an Anscombe residual above 2.58 weigh
its inverse square in further fits. Where one outbreak is so large that it hides itself in the dispersion, the median residual stands
in for it. Time counts backwards from the judged bucket and along the day from its time, so the level alone is what is expected of it.
"""

from dataclasses import dataclass

import numpy as np

ROUNDS, MORE_ROUNDS = 6, 4  # of the first fit, and of each that goes on from one
SIGNIFICANT = 1.96  # deviations: 5 %, both sides
RIDGE = 1e-6
LEAST_MEAN = 1e-3
LEAST_SEEN = 8
REWEIGHTED = 2  # times
HIDING = 4.0  # so many times the dispersion by the median residual: an outbreak hides
MEDIAN_TO_DEVIATION = 1.4826
TREND_WEEKS = 3.0  # no trend is asked of a shorter history


@dataclass(frozen=True)
class Fitted:
    """Of N judged buckets; NaN where too few counts are comparable."""

    expected: np.ndarray  # [N]
    dispersion: np.ndarray  # [N] variance of a new count over mean, at least 1
    seen: np.ndarray  # [N] comparable counts


def fit(
    counts: np.ndarray, weeks: np.ndarray, other_day: np.ndarray, along: np.ndarray, reweight_above: float
) -> Fitted:
    """`counts` [N, R] with NaN where missing, `weeks` [R] before the judged bucket (negative), `other_day` [N, R] bool,
    `along` [R] how much later in the day than the judged bucket, from -1 to 1.
    """
    seen = ~np.isnan(counts)
    filled = np.where(seen, counts, 0.0)
    rows = [np.ones(filled.shape), other_day * 1.0, *(np.broadcast_to(each, filled.shape) for each in (weeks, along))]
    terms = np.stack(rows, axis=2)  # [N, R, 4]
    weight = seen * 1.0
    long = np.where(seen, -weeks, 0).max(axis=1) >= TREND_WEEKS
    mixed = ((other_day & seen).any(axis=1)) & ((~other_day & seen).any(axis=1))
    kept = np.stack([np.ones(len(counts), dtype=bool), mixed, long, np.full(len(counts), along.any())], axis=1)
    first = _solve(filled, terms, weight, kept)
    kept &= np.abs(first.coefficients) > SIGNIFICANT * first.errors
    kept[:, 0] = True
    last = _solve(filled, terms, weight, kept, first)
    for _time in range(REWEIGHTED):
        weight = _forgiven(last.anscombe(filled, seen), seen, reweight_above)
        last = _solve(filled, terms, weight, kept, last)
    top = np.where(seen, counts, 0).max(axis=1)
    expected = np.minimum(np.exp(last.coefficients[:, 0]), top)  # a trend is not drawn beyond what was ever seen
    dispersion = last.dispersion + expected * last.errors[:, 0] ** 2  # and the error of what is expected
    few = seen.sum(axis=1) < LEAST_SEEN
    return Fitted(np.where(few, np.nan, expected), np.where(few, np.nan, dispersion), seen.sum(axis=1))


@dataclass(frozen=True)
class _Solution:
    coefficients: np.ndarray  # [N, 4]
    errors: np.ndarray  # [N, 4]
    mean: np.ndarray  # [N, R]
    leverage: np.ndarray  # [N, R]
    dispersion: np.ndarray  # [N]

    def anscombe(self, counts: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """3/2 (x^(2/3) - m^(2/3)) / (m^(1/6) sqrt(dispersion (1 - leverage)))"""
        residual = np.abs(counts - self.mean) / np.sqrt(self.mean)
        usual = (MEDIAN_TO_DEVIATION * _median(residual, seen)) ** 2
        hidden = self.dispersion > HIDING * np.maximum(usual, 1)
        dispersion = np.where(hidden, np.maximum(usual, 1), self.dispersion)
        free = np.sqrt(dispersion[:, None] * np.maximum(1 - self.leverage, 1e-3))
        found: np.ndarray = 1.5 * (np.cbrt(counts) ** 2 - np.cbrt(self.mean) ** 2) / (self.mean ** (1 / 6) * free)
        return found


def _solve(
    counts: np.ndarray, terms: np.ndarray, weight: np.ndarray, kept: np.ndarray, before: _Solution | None = None
) -> _Solution:
    used = terms * kept[:, None, :]
    total = np.maximum(weight.sum(axis=1), 1e-9)
    coefficients = np.zeros((len(counts), terms.shape[2]))
    coefficients[:, 0] = np.log(np.maximum((counts * weight).sum(axis=1) / total, LEAST_MEAN))
    if before is not None:
        coefficients = before.coefficients * kept
    for _round in range(MORE_ROUNDS if before else ROUNDS):
        mean = _mean(used, coefficients)
        working = np.log(mean) + (counts - mean) / mean
        matrix = _products(used, weight * mean)
        right = used.swapaxes(1, 2) @ (weight * mean * working)[:, :, None]
        coefficients = np.linalg.solve(matrix, right)[:, :, 0]
    mean = _mean(used, coefficients)
    inverse = np.linalg.inv(_products(used, weight * mean))
    leverage = ((used @ inverse) * used).sum(axis=2) * weight * mean
    freedom = np.maximum(total - kept.sum(axis=1), 1)
    dispersion = np.maximum((weight * (counts - mean) ** 2 / mean).sum(axis=1) / freedom, 1.0)
    errors = np.sqrt(np.einsum("nkk->nk", inverse) * dispersion[:, None])
    return _Solution(coefficients, errors, mean, leverage, dispersion)


def _median(residual: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Of what was seen in each row [N]; the lower one of an even number."""
    ordered = np.sort(np.where(seen, residual, np.inf), axis=1)
    middle = np.maximum(seen.sum(axis=1) - 1, 0) // 2
    found: np.ndarray = np.nan_to_num(ordered[np.arange(len(ordered)), middle], posinf=0.0)
    return found


def _mean(used: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.exp(np.clip((used @ coefficients[:, :, None])[:, :, 0], np.log(LEAST_MEAN), 40))
    return found


def _products(used: np.ndarray, weight: np.ndarray) -> np.ndarray:
    matrix = (used * weight[:, :, None]).swapaxes(1, 2) @ used  # [N, 4, 4]
    ridge = RIDGE * (1 + np.einsum("nkk->nk", matrix).max(axis=1))
    found: np.ndarray = matrix + ridge[:, None, None] * np.eye(used.shape[2])
    return found


def _forgiven(residual: np.ndarray, seen: np.ndarray, above: float) -> np.ndarray:
    """Weights [N, R] that sum to what was seen."""
    weight = np.where(seen, np.where(residual > above, 1 / np.maximum(residual, above) ** 2, 1.0), 0.0)
    found: np.ndarray = weight * (seen.sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-9))[:, None]
    return found

"""Tails and quantiles of over-dispersed counts and shares, exact and for arrays."""

from collections.abc import Callable

import numpy as np
from scipy.special import betainc, betaincc, betaincinv, betaln, gammainc, gammaln

HARDLY_DISPERSED = 1 + 1e-6
MOST_SUMMED = 5000  # tries up to which the beta-binomial tail is summed term by term


def count_tail(counts: np.ndarray, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """P(X >= x) of a negative binomial of this mean with variance dispersion x mean; Poisson where the dispersion is 1.

    With size r = mean / (dispersion - 1) the tail is the regularised incomplete beta function I(x, r) at 1 - 1/dispersion.
    """
    counts, mean, dispersion = np.broadcast_arrays(np.maximum(counts, 0), mean, dispersion)
    plain = dispersion <= HARDLY_DISPERSED
    spread = np.where(plain, 2.0, dispersion)
    at = np.maximum(counts, 1)
    tail = np.where(plain, gammainc(at, mean), betainc(at, np.maximum(mean, 1e-12) / (spread - 1), 1 - 1 / spread))
    found: np.ndarray = np.where(counts < 1, 1.0, tail)
    return np.where(np.isnan(counts) | np.isnan(mean), np.nan, found)


def count_quantile(alpha: float, mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """The smallest count that is exceeded with at most alpha."""
    return smallest(lambda at: count_tail(at + 1, mean, dispersion) <= alpha, np.asarray(mean, dtype=float))


def smallest(holds: Callable[[np.ndarray], np.ndarray], like: np.ndarray) -> np.ndarray:
    """The smallest whole number from 0 on for which `holds` is true (and stays true), for each place; NaN stays."""
    low, high = np.full(like.shape, -1.0), np.maximum(np.nan_to_num(like), 1.0)
    while (open_yet := ~holds(high) & ~np.isnan(like)).any():
        high = np.where(open_yet, high * 2, high)
    high = np.ceil(high)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = holds(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(np.isnan(like), np.nan, high)


def share_tail(hits: np.ndarray, tries: np.ndarray, share: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """P(X >= hits) of a beta-binomial with this mean share and correlation between tries; binomial where that is 0.

    Summed exactly up to MOST_SUMMED tries; beyond, the beta distribution with the same mean and variance.
    """
    hits, tries, share, overlap = (np.asarray(each, dtype=float) for each in (hits, tries, share, overlap))
    known = ~(np.isnan(hits) | np.isnan(tries) | np.isnan(share) | np.isnan(overlap))
    found = np.full(hits.shape, np.nan)
    some = known & (overlap <= 0)
    found[some] = betainc(np.maximum(hits[some], 1), tries[some] - np.maximum(hits[some], 1) + 1, share[some])
    some = known & (overlap > 0) & (tries > MOST_SUMMED)
    one, two = _beta(share[some], overlap[some], tries[some])
    found[some] = betaincc(one, two, np.clip((hits[some] - 0.5) / tries[some], 0, 1))
    some = known & (overlap > 0) & (tries <= MOST_SUMMED)
    found[some] = _summed(hits[some], tries[some], share[some], overlap[some])
    found[known & (hits < 1)] = 1.0
    return found


def share_quantile(level: float, tries: np.ndarray, share: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """About the share that is exceeded with 1 - level, by the beta distribution of the same mean and variance."""
    one, two = _beta(share, overlap, np.maximum(tries, 2))
    found: np.ndarray = betaincinv(one, two, level)
    return found


def _beta(share: np.ndarray, overlap: np.ndarray, tries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    variance = (1 + (tries - 1) * overlap) / tries  # times share (1 - share)
    size = np.maximum(1 / np.minimum(variance, 0.999) - 1, 1e-3)
    return share * size, (1 - share) * size


def _summed(hits: np.ndarray, tries: np.ndarray, share: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    size = 1 / overlap - 1
    one, two = share * size, (1 - share) * size
    lengths = np.maximum(tries - hits + 1, 0).astype(int)
    row = np.repeat(np.arange(len(hits)), lengths)
    at = hits[row] + np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    many = tries[row]
    ways = gammaln(many + 1) - gammaln(at + 1) - gammaln(many - at + 1)
    logs = ways + betaln(at + one[row], many - at + two[row]) - betaln(one[row], two[row])
    return np.minimum(np.bincount(row, np.exp(logs), minlength=len(hits)), 1.0)

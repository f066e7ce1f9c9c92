"""The rule “slow rise”: a cumulative sum that grows while counts stay above what is expected of them.

Likelihood-ratio CUSUM of negative binomial counts (Hoehle and Paul 2008): C = max(0, C + x log k - (x + r) log((r + k m) / (r + m)))
with expected count m, size r = m / (dispersion - 1) and k the rise that is found soonest. It alerts where C passes the height at which
counts without a rise take `run_length` buckets to a false alert on average (ARL0). The run length is about exponential, so of series
simulated for that many buckets 1/e stay below this height: it is the 1/e quantile of their highest sums.
"""

import math
import zlib
from functools import lru_cache

import numpy as np

from engine.specs.surge import RiseSpec
from engine.surge.baseline import SEASONAL, ears, expect, is_thin, methods
from engine.surge.tails import HARDLY_DISPERSED, count_quantile, count_tail
from engine.surge.verdicts import History, Verdicts

PATHS, SEED = 400, 17
STEP = math.log(2)  # heights are simulated for means and dispersions a factor of two apart
LEAST, MOST = -4, 12  # such steps of the mean; beyond, the nearest counts
MOST_SPREAD = 8
CEILING = 2.0  # times the height: an alert ends soon after the rise has


def fresh(series: int) -> np.ndarray:
    """The sums before the first bucket [S]."""
    return np.zeros(series)


def judge(history: History, sums: np.ndarray, spec: RiseSpec) -> tuple[np.ndarray, Verdicts]:
    """(the new sums, every series at one tick); a missing bucket leaves the sum as it is."""
    seasonal = expect(history, spec)
    thin = is_thin(seasonal, spec)
    _judged, mean, spread = ears(history.counts, "c2")
    expected = np.where(thin, mean, seasonal.expected)
    dispersion = np.where(thin, spread, seasonal.dispersion)
    observed, height = history.counts[:, -1], heights(expected, dispersion, spec)
    added = np.nan_to_num(gain(observed, expected, dispersion, spec.rise_ratio))
    sums = np.clip(sums + added, 0, np.where(np.isnan(height), np.inf, CEILING * height))
    strength = sums / height
    half = (1 - spec.band) / 2
    verdicts = Verdicts(
        observed=observed,
        expected=expected,
        low=count_quantile(1 - half, expected, dispersion),
        high=count_quantile(half, expected, dispersion),
        p_value=count_tail(observed, expected, dispersion),
        strength=strength,
        fires=(strength >= 1) & (history.newest(spec.least_buckets) >= spec.least_count),
        method=methods(history, expected, np.where(thin, "ears_c2_cusum", SEASONAL + "_cusum")),
        thin=thin,
    )
    return sums, verdicts


def gain(counts: np.ndarray, mean: np.ndarray, dispersion: np.ndarray, ratio: float) -> np.ndarray:
    """Log likelihood of `ratio` times the mean over that of the mean; Poisson where the dispersion is 1."""
    mean = np.maximum(mean, 1e-9)
    size = mean / np.maximum(dispersion - 1, HARDLY_DISPERSED - 1)
    spread = (counts + size) * np.log((size + ratio * mean) / (size + mean))
    found: np.ndarray = counts * math.log(ratio) - np.where(dispersion <= HARDLY_DISPERSED, (ratio - 1) * mean, spread)
    return found


def heights(mean: np.ndarray, dispersion: np.ndarray, spec: RiseSpec) -> np.ndarray:
    """The height of each series [S] by the nearest simulated mean and dispersion; NaN where there is no mean."""
    known = ~(np.isnan(mean) | np.isnan(dispersion))
    level = np.clip(np.round(np.log(np.maximum(mean[known], 1e-9)) / STEP), LEAST, MOST).astype(int)
    spread = np.clip(np.round(np.log(np.maximum(dispersion[known], 1)) / STEP), 0, MOST_SPREAD).astype(int)
    found = np.full(mean.shape, np.nan)
    found[known] = [
        height(int(one), int(two), spec.rise_ratio, spec.run_length) for one, two in zip(level, spread, strict=True)
    ]
    return found


@lru_cache(maxsize=4096)
def height(level: int, spread: int, ratio: float, run_length: int) -> float:
    """The height at mean 2^level and dispersion 2^spread."""
    mean, dispersion = math.exp(level * STEP), math.exp(spread * STEP)
    draw = np.random.default_rng([SEED, zlib.crc32(f"{level} {spread}".encode())])
    sums, highest = np.zeros(PATHS), np.zeros(PATHS)
    for _bucket in range(run_length):
        added = gain(draws(draw, mean, dispersion, PATHS), np.array(mean), np.array(dispersion), ratio)
        sums = np.maximum(sums + added, 0)
        highest = np.maximum(highest, sums)
    return max(float(np.quantile(highest, math.exp(-1), method="higher")), 1e-6)


def draws(draw: np.random.Generator, mean: float, dispersion: float, many: int) -> np.ndarray:
    """Negative binomial counts with variance dispersion x mean; Poisson where that is 1."""
    if dispersion <= HARDLY_DISPERSED:
        return draw.poisson(mean, many).astype(float)
    return draw.poisson(draw.gamma(mean / (dispersion - 1), dispersion - 1, many)).astype(float)

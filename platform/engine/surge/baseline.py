"""The rule “statistical surge”: the newest bucket against what the same time of earlier days lets expect."""

import numpy as np

from engine.specs.surge import BaselineSpec, SurgeSpec
from engine.surge import regression
from engine.surge.tails import count_quantile, count_tail
from engine.surge.verdicts import MISSING, NO_BASELINE, History, Verdicts, discoveries

SEASONAL = "seasonal"
THURSDAY = 3  # 1 January 1970, Monday being 0
SATURDAY = 5
EARS_BUCKETS = 7
EARS_LAG = {"c1": 0, "c2": 2, "c3": 2}
EARS_SUMMED = {"c1": 1, "c2": 1, "c3": 3}
LEAST_EARS = 4  # of the seven


def expect(history: History, spec: BaselineSpec) -> regression.Fitted:
    """What the same time of earlier days lets expect of the newest bucket of each series."""
    ages = ages_of(spec)
    ages = ages[ages < history.counts.shape[1]]
    if not len(ages):
        nothing = np.full(len(history.counts), np.nan)
        return regression.Fitted(nothing, nothing, np.zeros(len(nothing)))
    past = history.counts[:, history.counts.shape[1] - 1 - ages]
    other = np.broadcast_to(other_day(history.bucket, ages, spec.day), past.shape)
    later = (-ages + spec.day // 2) % spec.day - spec.day // 2  # than the judged bucket, in its day
    return regression.fit(past, -ages / (7 * spec.day), other, later / max(1, abs(later).max()), spec.reweight_above)


def is_thin(seasonal: regression.Fitted, spec: BaselineSpec) -> np.ndarray:
    """Where fewer counts are comparable than `thin_days` days hold, bool [S]."""
    a_day = 2 * (spec.neighbour_minutes // spec.bucket_minutes) + 1
    found: np.ndarray = np.isnan(seasonal.expected) | (seasonal.seen < spec.thin_days * a_day)
    return found


def ages_of(spec: BaselineSpec) -> np.ndarray:
    """How many buckets before the judged one those lie that it is compared with [R]."""
    around = spec.neighbour_minutes // spec.bucket_minutes
    days = np.arange(spec.left_out_days + 1, spec.history_days + 1) * spec.day
    ages = (days[:, None] - np.arange(-around, around + 1)).ravel()
    found: np.ndarray = ages[ages > 0]
    return found


def other_day(bucket: int, ages: np.ndarray, day: int) -> np.ndarray:
    """Which of the buckets lie on a weekend while the judged one does not, or the other way round, bool [R]."""

    def weekend(numbers: np.ndarray) -> np.ndarray:
        found: np.ndarray = (numbers // day + THURSDAY) % 7 >= SATURDAY
        return found

    found: np.ndarray = weekend(bucket - ages) != weekend(np.array(bucket))
    return found


def judge(history: History, spec: SurgeSpec) -> Verdicts:
    """Every series at one tick. The baseline is thin where fewer than `thin_days` days were seen."""
    seasonal = expect(history, spec)
    thin = is_thin(seasonal, spec)
    newest, mean, dispersion = ears(history.counts, spec.thin_method)
    observed = np.where(thin, newest, history.counts[:, -1])
    expected = np.where(thin, mean, seasonal.expected)
    spread = np.where(thin, dispersion, seasonal.dispersion)
    p_value = count_tail(observed, expected, spread)
    enough = history.newest(spec.least_buckets) >= spec.least_count
    fires = (p_value <= spec.alpha) & enough
    if spec.false_discovery_rate < 1:
        fires &= discoveries(np.where(enough, p_value, np.nan), spec.false_discovery_rate)
    half = (1 - spec.band) / 2
    return Verdicts(
        observed=observed,
        expected=expected,
        low=count_quantile(1 - half, expected, spread),
        high=count_quantile(half, expected, spread),
        p_value=p_value,
        strength=np.log(np.maximum(p_value, 1e-300)) / np.log(spec.alpha),
        fires=fires,
        method=methods(history, expected, np.where(thin, "ears_" + spec.thin_method, SEASONAL)),
        thin=thin,
    )


def methods(history: History, expected: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The method's name, or why nothing can be said [S]."""
    found = np.where(np.isnan(expected), NO_BASELINE, usual)
    return np.where(np.isnan(history.counts[:, -1]), MISSING, found)


def ears(counts: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(judged, expected, dispersion) [S] by the seven buckets before (Hutwagner et al. 2003), as counts and not as normal values.

    The dispersion holds the error of the mean of so few: variance (1 + 1/n) over mean.
    """
    lag, summed = EARS_LAG[method], EARS_SUMMED[method]
    judged = counts[:, -summed:].sum(axis=1)  # NaN where one is missing
    last = counts.shape[1] - 1 - lag
    past = counts[:, max(0, last - EARS_BUCKETS) : max(0, last)]
    seen = ~np.isnan(past)
    many = seen.sum(axis=1)
    mean = np.nansum(past, axis=1) / np.maximum(many, 1)
    variance = (np.where(seen, past - mean[:, None], 0) ** 2).sum(axis=1) / np.maximum(many - 1, 1)
    level = np.maximum(mean, 1 / (2 * EARS_BUCKETS))  # of seven zeros: half a count
    dispersion = np.maximum(variance / level, 1) * (1 + 1 / np.maximum(many, 1))
    few = many < LEAST_EARS
    return judged, np.where(few, np.nan, level * summed), np.where(few, np.nan, dispersion)

"""The rules “static” and “ratio”: a number, or so many times the mean of the hours before."""

import numpy as np

from engine.specs.surge import RatioSpec, StaticSpec
from engine.surge.verdicts import MISSING, NO_BASELINE, History, Verdicts

THIN_SHARE = 0.5  # of the hours that make the mean


def static(history: History, spec: StaticSpec) -> Verdicts:
    """Every series at one tick; the least count is asked for above the number only."""
    observed = history.counts[:, -1]
    nothing = np.full(len(observed), np.nan)
    if spec.direction == "above":
        fires = (observed >= spec.threshold) & (history.newest(spec.least_buckets) >= spec.least_count)
        strength = observed / max(spec.threshold, 1e-9)
    else:
        fires, strength = observed <= spec.threshold, spec.threshold / np.maximum(observed, 1e-9)
    above = np.full(len(observed), float(spec.threshold))
    low, high = (nothing, above) if spec.direction == "above" else (above, nothing)
    method = np.where(np.isnan(observed), MISSING, "static")
    return Verdicts(observed, nothing, low, high, nothing, strength, fires, method, np.zeros(len(observed), dtype=bool))


def ratio(history: History, spec: RatioSpec) -> Verdicts:
    """Every series at one tick; of a mean of nothing nothing is said."""
    observed, many = history.counts[:, -1], spec.hours(spec.mean_hours)
    past = history.counts[:, :-1][:, -many:]
    seen = (~np.isnan(past)).sum(axis=1)
    mean = np.where(seen > 0, np.nansum(past, axis=1) / np.maximum(seen, 1), np.nan)
    mean = np.where(mean > 0, mean, np.nan)
    nothing = np.full(len(observed), np.nan)
    strength = observed / (spec.ratio * mean)
    fires = (strength >= 1) & (history.newest(spec.least_buckets) >= spec.least_count)
    method = np.where(np.isnan(observed), MISSING, np.where(np.isnan(mean), NO_BASELINE, "ratio"))
    thin = seen < THIN_SHARE * many
    return Verdicts(observed, mean, nothing, spec.ratio * mean, nothing, strength, fires, method, thin)

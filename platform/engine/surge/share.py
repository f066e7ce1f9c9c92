"""The rule “share shift”: the negative share of the newest bucket against the series' own history.

A beta-binomial: the share itself varies from bucket to bucket. Its mean is the pooled past share; the correlation between mentions of a
bucket is what is left of Pearson's statistic over its degrees of freedom, X2 - N over the sum of (n - 1) (Williams 1982).
"""

import numpy as np

from engine.specs.surge import ShareSpec
from engine.surge.tails import share_quantile, share_tail
from engine.surge.verdicts import MISSING, NO_BASELINE, History, Verdicts, discoveries

LEAST_PAST = 20  # mentions of all past buckets together
THIN_PAST = 200
MOST_OVERLAP = 0.95
PRIOR = 0.5  # Jeffreys: a share of 0 or 1 is never certain


def judge(history: History, spec: ShareSpec) -> Verdicts:
    """Every series at one tick; the values of `observed`, `expected`, `low` and `high` are shares.

    Raises:
        ValueError: the history does not say how many counts are negative.
    """
    if history.negatives is None:
        raise ValueError("a share needs the negative counts")
    hits, tries = history.negatives[:, -1], history.counts[:, -1]
    share, overlap, past = moments(history, spec)
    p_value = share_tail(hits, tries, share, overlap)
    enough = (tries >= spec.least_total) & (
        np.nansum(history.negatives[:, -spec.least_buckets :], 1) >= spec.least_count
    )
    fires = (p_value <= spec.alpha) & enough
    if spec.false_discovery_rate < 1:
        fires &= discoveries(np.where(enough, p_value, np.nan), spec.false_discovery_rate)
    half = (1 - spec.band) / 2
    usual = np.where(np.isnan(share), NO_BASELINE, "beta_binomial")
    return Verdicts(
        observed=np.where(tries > 0, hits / np.maximum(tries, 1), np.nan),
        expected=share,
        low=share_quantile(half, tries, share, overlap),
        high=share_quantile(1 - half, tries, share, overlap),
        p_value=p_value,
        strength=np.log(np.maximum(p_value, 1e-300)) / np.log(spec.alpha),
        fires=fires,
        method=np.where(np.isnan(hits) | np.isnan(tries), MISSING, usual),
        thin=past < THIN_PAST,
    )


def moments(history: History, spec: ShareSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean share, correlation, mentions) of the past of each series [S]; NaN where hardly anything was mentioned."""
    assert history.negatives is not None
    stop = history.counts.shape[1] - 1 - spec.left_out_buckets
    begin = max(0, stop - spec.history_days * spec.day)
    hits, tries = history.negatives[:, begin : max(0, stop)], history.counts[:, begin : max(0, stop)]
    used = (tries > 0) & ~np.isnan(hits)
    hits, tries = np.where(used, hits, 0), np.where(used, tries, 0)
    past, bad, many = tries.sum(axis=1), hits.sum(axis=1), used.sum(axis=1)
    share = (bad + PRIOR) / (past + 2 * PRIOR)
    squares = (hits * hits / np.maximum(tries, 1)).sum(axis=1)
    pearson = (squares - 2 * share * bad + share**2 * past) / (
        share * (1 - share)
    )  # sum of (x - n s)^2 / (n s (1 - s))
    pairs = past - many
    overlap = np.clip((pearson - many) / np.maximum(pairs, 1), 0, MOST_OVERLAP)
    few = past < LEAST_PAST
    return np.where(few, np.nan, share), np.where(few, np.nan, overlap), past

"""What a rule says of many series at one tick, in one shape for all rules."""

from dataclasses import dataclass, replace

import numpy as np

MISSING, NO_BASELINE = "missing", "no_baseline"


@dataclass(frozen=True)
class History:
    """Consecutive buckets of S series, the newest last; NaN where a bucket is missing, which is not zero."""

    counts: np.ndarray  # [S, B]
    bucket: int  # number of the newest bucket since 1970
    negatives: np.ndarray | None = None  # [S, B] how many of the counts are negative

    def newest(self, many: int) -> np.ndarray:
        """The sum of what was seen in so many newest buckets [S]."""
        total: np.ndarray = np.nansum(self.counts[:, -many:], axis=1)
        return total


@dataclass(frozen=True)
class Verdicts:
    """Arrays [S]; NaN where nothing can be said."""

    observed: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray  # how likely as much is without a surge
    strength: np.ndarray  # 1 where the rule just fires
    fires: np.ndarray  # bool
    method: np.ndarray  # text
    thin: np.ndarray  # bool: too little history for the usual baseline

    def only(self, allowed: np.ndarray) -> "Verdicts":
        """The same, with alerts only where allowed [S]."""
        return replace(self, fires=self.fires & allowed)


def discoveries(p_values: np.ndarray, rate: float) -> np.ndarray:
    """Which of S tests stand when at most this share of them may be by chance (Benjamini and Hochberg 1995), bool [S].

    The k smallest p-values stand, for the largest k with p(k) <= k rate / S. NaN is no test.
    """
    tested = np.flatnonzero(~np.isnan(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    below = np.flatnonzero(p_values[order] <= rate * np.arange(1, len(order) + 1) / max(1, len(order)))
    found = np.zeros(len(p_values), dtype=bool)
    found[order[: below[-1] + 1 if len(below) else 0]] = True
    return found

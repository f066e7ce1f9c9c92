"""Public detectors of anomalies in a stream, written anew from their descriptions: values [N] and probation -> scores [N] in [0, 1]."""

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

SEED = 17


def chance(values: np.ndarray, probation: int) -> np.ndarray:
    """The floor: any row may be one."""
    return np.random.default_rng(SEED).random(len(values))


def windowed_gaussian(values: np.ndarray, probation: int, window: int = 6400, stride: int = 150) -> np.ndarray:
    """1 - Q(|x - mean| / deviation) of a window of the past that grows to 6,400 rows and then moves on every 150."""
    found = np.zeros(len(values))
    mean, deviation = values[0], 0.0
    for row in range(1, len(values)):
        if row <= window or (row - window) % stride == 0:
            past = values[max(0, row - window) : row]
            mean, deviation = past.mean(), past.std()
        found[row] = ndtr(abs(values[row] - mean) / max(deviation, 1e-6))
    return found


PEERS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "chance": chance,
    "windowed Gaussian": windowed_gaussian,
}

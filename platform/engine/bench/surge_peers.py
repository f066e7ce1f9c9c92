"""Public detectors of anomalies in a stream, written anew from their descriptions: values [N] and probation -> scores [N] in [0, 1].

Numenta's benchmark runs detectors of these names; ours differ from theirs in details that the descriptions leave open. None looks
ahead. Parameters are those of the descriptions, the same for all series.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln, ndtr
from scipy.stats import chi2, t

SEED = 17
DAY = 288


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


def seasonal_esd(values: np.ndarray, probation: int, days: int = 7, refit: int = 12) -> np.ndarray:
    """S-H-ESD (Hochenbaum, Vallis and Kejariwal 2017) in a stream: deviations from the median of the time of day and the window.

    The score is the deviation r over the median absolute deviation, as r / (1 + r): the test's own limit is one of its thresholds.
    """
    ratio = np.zeros(len(values))
    center, spread = 0.0, 1.0
    seasonal = np.zeros(DAY)
    for row in range(DAY, len(values)):
        if row % refit == 0:
            past = values[max(0, row - days * DAY) : row]
            whole = past[len(past) % DAY :].reshape(-1, DAY)
            seasonal = np.roll(np.median(whole, axis=0) - np.median(past), row % DAY)
            rest = past - seasonal[np.arange(row - len(past), row) % DAY]
            center = float(np.median(rest))
            spread = max(1.4826 * float(np.median(np.abs(rest - center))), 1.0)  # half of all counts may be equal
        ratio[row] = abs(values[row] - seasonal[row % DAY] - center) / spread
    return ratio / (1 + ratio)


def etsy_like(values: np.ndarray, probation: int, window: int = 3600) -> np.ndarray:
    """The share of a board of simple tests that call the row strange, as in Etsy's Skyline: three deviations of mean, of the first
    hour, of a moving average, of the residual of a line, the median deviation times six, the tail of a histogram, Grubbs' test.
    """
    found = np.zeros(len(values))
    smooth, spread, limit = values[0], 0.0, 1.0
    for row in range(1, len(values)):
        past = values[max(0, row - window) : row + 1]
        tail = past[-3:].mean()
        mean, deviation = past.mean(), past.std()
        median = np.median(past)
        off = np.median(np.abs(past - median))
        hour = past[-12:]
        strays = _strays_from_line(past)
        counts, edges = np.histogram(past, bins=15)
        place = min(max(int(np.searchsorted(edges, tail, side="right")) - 1, 0), 14)
        smooth, spread = smooth + (past[-1] - smooth) / 50, spread + ((past[-1] - smooth) ** 2 - spread) / 50
        many = len(past)
        if row % 50 == 1 or many < 50:
            limit = t.isf(0.05 / (2 * many), max(many - 2, 1))
        votes = (
            abs(tail - mean) > 3 * deviation,
            abs(past[-1] - hour.mean()) > 3 * hour.std(),
            abs(past[-1] - smooth) > 3 * np.sqrt(spread),
            strays,
            off > 0 and abs(past[-1] - median) / off > 6,
            counts[place] <= 20,
            many > 2 and abs(tail - mean) > deviation * (many - 1) * np.sqrt(limit**2 / (many - 2 + limit**2) / many),
        )
        found[row] = sum(bool(vote) for vote in votes) / len(votes)
    return found


def _strays_from_line(past: np.ndarray) -> bool:
    """Whether the newest three rows lie three deviations from the line through the window."""
    at = np.arange(len(past)) - (len(past) - 1) / 2
    rest = past - past.mean() - (at @ past) / max(float(at @ at), 1e-9) * at
    return bool(abs(rest[-3:].mean()) > 3 * rest.std())


def relative_entropy(values: np.ndarray, probation: int, bins: int = 5, window: int = 52) -> np.ndarray:
    """Wang et al. 2011: the histogram of a window against earlier ones; strange where 2 W times the divergence passes chi-square.

    The score is that chi-square's probability of the smallest divergence; a histogram near none becomes a new one to compare with.
    """
    found = np.zeros(len(values))
    low, high = values[:probation].min(), values[:probation].max()
    place = np.clip(((values - low) / max(high - low, 1e-9) * bins).astype(int), 0, bins - 1)
    known: list[np.ndarray] = []
    limit = chi2.isf(0.01, bins - 1)
    for row in range(window, len(values)):
        share = np.bincount(place[row - window : row + 1], minlength=bins) / (window + 1) + 1e-9
        if not known:
            known.append(share)
            continue
        statistic = min(2 * window * float((share * np.log(share / each)).sum()) for each in known)
        found[row] = chi2.cdf(statistic, bins - 1)
        if statistic > limit and row % window == 0:
            known.append(share)
    return found


def knn_cad(values: np.ndarray, probation: int, dimension: int = 19, neighbours: int = 27) -> np.ndarray:
    """Burnaev and Ishimtsev 2016: how strange the newest stretch is among a training set, as a conformal p-value.

    Strangeness is the summed distance to the 27 nearest stretches of 19 rows, by Mahalanobis; training set and calibration set have
    half the probation each and move on with the stream.
    """
    found = np.zeros(len(values))
    size = probation // 2
    stretches = np.lib.stride_tricks.sliding_window_view(values, dimension)
    ended = dimension - 1
    calibration: list[float] = []
    inverse = np.eye(dimension)
    for row in range(size + ended, len(values)):
        now = row - ended
        train = stretches[max(0, now - 2 * size) : now - size] if now >= 2 * size else stretches[: min(now, size)]
        if row % 50 == 0 or row == size + ended:
            inverse = np.linalg.pinv(train.T @ train)
        apart = train - stretches[now]
        distance = np.einsum("ij,jk,ik->i", apart, inverse, apart)
        strange = float(np.sort(distance)[:neighbours].sum())
        if calibration:
            found[row] = sum(one < strange for one in calibration[-size:]) / len(calibration[-size:])
        calibration.append(strange)
    return found


def expose(values: np.ndarray, probation: int, features: int = 2000, decay: float = 0.01) -> np.ndarray:
    """Schneider, Ertel and Ramos 2016: one less the likeness of a row to the faded mean of all earlier rows in random Fourier space."""
    draw = np.random.default_rng(SEED)
    past = values[:probation]
    turn, shift = draw.normal(size=features), draw.uniform(0, 2 * np.pi, features)
    mean = np.zeros(features)
    found = np.zeros(len(values))
    for row, value in enumerate((values - past.mean()) / max(past.std(), 1e-9)):
        seen = np.sqrt(2 / features) * np.cos(turn * value + shift)
        found[row] = 1 - seen @ mean
        mean += max(decay, 1 / (row + 1)) * (seen - mean)
    return np.clip(found, 0, 1)


def changepoint(values: np.ndarray, probation: int, every: float = 4000, kept: int = 500) -> np.ndarray:
    """Adams and MacKay 2007 with a normal-gamma prior: how likely the newest run has lasted for less than a few rows."""
    scaled = (values - values[:probation].mean()) / max(values[:probation].std(), 1e-9)
    hazard, lag = 1 / every, 2
    mean, kappa, alpha, beta = np.zeros(1), np.ones(1), np.full(1, 0.1), np.full(1, 0.001)
    belief, found = np.ones(1), np.zeros(len(values))
    for row, value in enumerate(scaled):
        spread = beta * (kappa + 1) / (alpha * kappa)
        square = (value - mean) ** 2 / (2 * alpha * spread)
        logs = (
            gammaln(alpha + 0.5)
            - gammaln(alpha)
            - 0.5 * np.log(2 * np.pi * alpha * spread)
            - (alpha + 0.5) * np.log1p(square)
        )
        joint = belief * np.exp(np.clip(logs, -300, 300))
        belief = np.concatenate([[joint.sum() * hazard], joint * (1 - hazard)])
        belief /= max(belief.sum(), 1e-300)
        beta = np.concatenate([[0.001], beta + kappa * (value - mean) ** 2 / (2 * (kappa + 1))])
        mean = np.concatenate([[0.0], (kappa * mean + value) / (kappa + 1)])
        kappa, alpha = np.concatenate([[1.0], kappa + 1]), np.concatenate([[0.1], alpha + 0.5])
        mean, kappa, alpha, beta, belief = (each[:kept] for each in (mean, kappa, alpha, beta, belief))
        found[row] = belief[: lag + 1].sum() if row > lag else 0.0
    return found


PEERS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "chance": chance,
    "windowed Gaussian": windowed_gaussian,
    "S-H-ESD": seasonal_esd,
    "Etsy's board": etsy_like,
    "relative entropy": relative_entropy,
    "KNN-CAD": knn_cad,
    "EXPoSE": expose,
    "changepoint": changepoint,
}

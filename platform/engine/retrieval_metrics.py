"""Figures of retrieval: where among the candidates the wanted texts stand, and how similarity agrees with given scores.

For a query with R wanted texts among the candidates, ordered by score,

    recall@k = 1 if a wanted text is among the first k, else 0          MRR@10 = 1 / place of the first one, 0 beyond 10
    NDCG@10  = sum over wanted places p <= 10 of 1 / log2(p + 1), divided by the same sum over p = 1 ... min(R, 10)

each averaged over queries (Jarvelin & Kekalainen 2002 for NDCG, with gains 0 and 1). Scores are compared after rounding
to DECIMALS. Of equal scores the wanted texts stand last, so a model that gives every text the same vector finds nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import metrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
DECIMALS = 6
DEPTH = 10
SHOWN = 3
RECALLS = (1, 5, 10)
BLOCK_CELLS = 4_000_000
_DISCOUNTS: Floats = 1 / np.log2(np.arange(2, DEPTH + 2, dtype=np.float64))


@dataclass(frozen=True)
class Found:
    """How one block of queries fared, a row each."""

    places: Ints  # [b] of the first wanted text, from 1
    ndcg: Floats  # [b] at DEPTH
    losses: Floats  # [b] -log of the share that wanted texts have of a softmax over all candidates
    best: Ints  # [b] the candidate that is the wanted text with the highest score
    top: Ints  # [b, SHOWN] the first candidates in order; -1 where there are fewer
    scores: Floats  # [b, SHOWN] of these


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of so many rows whose table of `width` columns stays small."""
    at_once = max(1, BLOCK_CELLS // max(1, width))
    yield from (slice(start, min(rows, start + at_once)) for start in range(0, rows, at_once))


def ranked(scores: Floats, wanted: Bools, excluded: Bools | None = None, *, scale: float = 1.0) -> Found:
    """How queries fare with scores [b, C] and wanted candidates [b, C], at least one a row.

    `excluded` [b, C] takes candidates away, such as the query itself; they must not be wanted.
    """
    scores = np.asarray(scores, dtype=np.float64).round(DECIMALS)
    if excluded is not None:
        scores[excluded] = -np.inf
    best = np.where(wanted, scores, -np.inf).argmax(1)
    highest = np.take_along_axis(scores, best[:, None], 1)
    places = 1 + ((scores >= highest) & ~wanted).sum(1)
    depth = min(DEPTH, scores.shape[1])
    keys = tied_last(scores, wanted)
    first = top_of(keys, depth)
    hits = np.take_along_axis(wanted, first, 1) & np.isfinite(np.take_along_axis(scores, first, 1))
    ideal = np.cumsum(_DISCOUNTS)[np.minimum(wanted.sum(1), DEPTH) - 1]
    whole = np.exp(scale * (scores - scores.max(1, keepdims=True)))
    losses = np.log(whole.sum(1)) - np.log(np.maximum((whole * wanted).sum(1), 1e-300))
    top = np.full((len(scores), SHOWN), -1)
    shown = first[:, :SHOWN]
    top[:, : shown.shape[1]] = np.where(np.isfinite(np.take_along_axis(scores, shown, 1)), shown, -1)
    ndcg = (hits * _DISCOUNTS[:depth]).sum(1) / ideal
    return Found(places, ndcg, losses, best, top, np.take_along_axis(scores, top, 1))


def tied_last(scores: Floats, wanted: Bools) -> Floats:
    """Rounded scores with those of wanted candidates half a unit of the last decimal lower, so that they lose a tie."""
    return np.where(wanted, scores - 0.5 * 10.0**-DECIMALS, scores)


def top_of(keys: Floats, depth: int) -> Ints:
    """Positions [b, depth] of the largest keys [b, C] in order; of equal ones the first."""
    count = keys.shape[1]
    if count <= 4 * depth:
        return np.argsort(-keys, axis=1, kind="stable")[:, :depth]
    least = np.partition(keys, count - depth, axis=1)[:, count - depth]
    found = np.empty((len(keys), depth), dtype=np.int64)
    for row, (values, bound) in enumerate(zip(keys, least, strict=True)):
        able = np.flatnonzero(values >= bound)
        found[row] = able[np.argsort(-values[able], kind="stable")[:depth]]
    return found


def columns(places: Ints, ndcg: Floats) -> dict[str, Floats]:
    """The figures of each query, [Q] each, from its place and its NDCG."""
    return {**by_place(places), "ndcg": ndcg}


def by_place(places: Ints) -> dict[str, Floats]:
    """MRR and recalls of each query, [Q] each, from the place of its first wanted text."""
    found: dict[str, Floats] = {"mrr": np.where(places <= DEPTH, 1 / places, 0.0)}
    return found | {f"recall_at_{k}": (places <= k).astype(np.float64) for k in RECALLS}


def headline(rows: dict[str, Floats], *, seed: int) -> dict[str, dict[str, float]]:
    """Means over queries with 95 % percentile bootstrap intervals over queries, of columns [Q] each."""
    found = {}
    for name, values in rows.items():
        low, high = metrics.bootstrap_mean(values, seed=seed)
        found[name] = {"value": float(values.mean()), "low": low, "high": high}
    return found


def centroid_places(vectors: Floats, classes: Ints) -> Ints:
    """The place [N] of each text's own class among all classes by similarity to their centroids, from 1.

    A centroid is the mean of the class's vectors, of the text's own class without the text, brought to length 1; a class
    with one text has none for that text, which gets place 0. Of equal similarity the own class stands last.
    """
    count = int(classes.max()) + 1
    sums = np.zeros((count, vectors.shape[1]))
    np.add.at(sums, classes, vectors)
    sizes = np.bincount(classes, minlength=count)
    similarity = vectors @ _unit(sums).T  # [N, K]
    own = (vectors * _unit(sums[classes] - vectors)).sum(1)
    rows = np.arange(len(vectors))
    similarity[rows, classes] = -np.inf
    places = 1 + (np.round(similarity, DECIMALS) >= np.round(own, DECIMALS)[:, None]).sum(1)
    return np.where(sizes[classes] > 1, places, 0)


def spearman(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation of [N] and [N], ties at their mean rank; 0 where one side is constant."""
    return _correlation(_ties(first), _ties(second))


def spearman_figure(
    first: Floats, second: Floats, *, seed: int, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, float]:
    """Spearman's correlation of [N] and [N] with its 95 % interval over resampled rows, ranks made anew each time."""
    one, two = _ties(first), _ties(second)
    generator = np.random.default_rng(seed)
    size, drawn = len(first), np.empty(rounds)
    for at in range(rounds):
        weights = np.bincount(generator.integers(0, size, size), minlength=size).astype(np.float64)
        drawn[at] = _correlation(one, two, weights)
    return metrics.figure(_correlation(one, two), drawn)


def _ties(values: Floats) -> Ints:
    """The number of each row's value among the different values in rising order, [N]."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _correlation(first: Ints, second: Ints, weights: Floats | None = None) -> float:
    """Pearson's correlation of mean ranks when row i stands `weights[i]` times."""
    weights = np.ones(len(first)) if weights is None else weights
    total = weights.sum()
    sides = []
    for group in (first, second):
        sizes = np.bincount(group, weights)
        ranks = (np.cumsum(sizes) - sizes / 2)[group]
        sides.append(ranks - (weights * ranks).sum() / total)
    x, y = sides
    spread = np.sqrt((weights * x * x).sum() * (weights * y * y).sum())
    return float((weights * x * y).sum() / spread) if spread > 0 else 0.0


def _unit(rows: Floats) -> Floats:
    """Rows brought to length 1; a row of zeros stays."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return metrics.ratio(rows, np.broadcast_to(length, rows.shape))

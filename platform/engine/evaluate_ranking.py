"""A ranker measured by the order it brings found texts into: one metrics object and one row per query.

What is to be re-ranked is found first, by words (BM25): a wanted text that is not among the first `candidates` found
cannot be brought to the top, so the share of queries that have one there is the ceiling of what re-ranking can do. Places
beyond the re-ranked ones stay those of the search. Both orders are measured on the same queries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine import metrics, retrieval_metrics
from engine.data import TextRows
from engine.evaluate_vectors import TEXT_KEPT, Retrieval, found_at, graded_rows, retrieval_of, write_query_rows
from engine.lexical import WordIndex
from engine.pairs import PairRows
from engine.ranker import Pair, Scores, chances
from engine.retrieval_metrics import Floats, Ints, row_blocks

Score = Callable[[Sequence[Pair]], Scores]  # pairs -> logits
QUERIES_AT_ONCE = 64
FIRST_AT = [("first_at", pa.int64())]


@dataclass(frozen=True)
class Search:
    """What a search by words finds for Q queries."""

    retrieval: Retrieval
    lists: Sequence[Ints]  # of each query the first candidates, in order
    places: Ints  # [Q] of the first wanted text among all candidates, from 1
    ndcg: Floats  # [Q]

    def held(self) -> Floats:
        """[Q]: 1 where the list holds a wanted text, else 0."""
        return np.array(
            [float(np.isin(some, wanted).any()) for some, wanted in zip(self.lists, self.retrieval.wanted, strict=True)]
        )


@dataclass(frozen=True)
class Reranked:
    """How one query fared after its list was brought into a new order."""

    place: int
    ndcg: float
    loss: float  # -log of the share that wanted texts have of a softmax over the list and the wanted texts
    top: list[tuple[int, float]]  # the first candidates and their scores from 0 to 1
    best: int  # the wanted text with the highest score


def searched(retrieval: Retrieval, *, candidates: int) -> Search:
    """What BM25 finds among all candidates of the retrieval; of equal scores wanted texts stand last."""
    if not retrieval.queries:
        return Search(retrieval, [], np.zeros(0, dtype=np.int64), np.zeros(0))
    index = WordIndex(retrieval.candidates)
    lists: list[Ints] = []
    found = []
    for rows in row_blocks(len(retrieval.queries), len(retrieval.candidates)):
        wanted, excluded = retrieval.block(rows)
        scores = index.scores(retrieval.queries[rows])
        found.append(retrieval_metrics.ranked(scores, wanted, excluded))
        keys = retrieval_metrics.tied_last(scores.round(retrieval_metrics.DECIMALS), wanted)
        keys[excluded] = -np.inf
        first = retrieval_metrics.top_of(keys, min(candidates, keys.shape[1]))
        lists += [row[np.isfinite(own[row])] for row, own in zip(first, keys, strict=True)]
    places, ndcg = (np.concatenate([getattr(block, name) for block in found]) for name in ("places", "ndcg"))
    return Search(retrieval, lists, places, ndcg)


def part_of(retrieval: Retrieval, most: int, *, seed: int) -> Retrieval:
    """At most so many of its queries, drawn by seed, among all its candidates; 0 takes all."""
    count = len(retrieval.queries)
    if not most or count <= most:
        return retrieval
    chosen = sorted(np.random.default_rng(seed).permutation(count)[:most].tolist())
    return replace(
        retrieval,
        ids=[retrieval.ids[at] for at in chosen],
        queries=[retrieval.queries[at] for at in chosen],
        wanted=[retrieval.wanted[at] for at in chosen],
        own=[retrieval.own[at] for at in chosen],
    )


def reranked(search: Search, score: Score) -> Iterator[Reranked]:
    """How each query fares with the model's scores of its list."""
    count = len(search.retrieval.queries)
    for start in range(0, count, QUERIES_AT_ONCE):
        numbers = range(start, min(count, start + QUERIES_AT_ONCE))
        judged = [_judged(search, at) for at in numbers]
        queries = search.retrieval.queries
        pairs = [
            (queries[at], search.retrieval.candidates[one])
            for at, some in zip(numbers, judged, strict=True)
            for one in some
        ]
        logits = score(pairs)
        ends = np.cumsum([len(some) for some in judged])
        for at, some, own in zip(numbers, judged, np.split(logits, ends[:-1]), strict=True):
            yield _one(search, at, some, own)


def _judged(search: Search, at: int) -> Ints:
    """The list of a query, and behind it the wanted texts that were not found, which only the loss asks for."""
    wanted = search.retrieval.wanted[at]
    return np.concatenate([search.lists[at], wanted[~np.isin(wanted, search.lists[at])]])


def _one(search: Search, at: int, judged: Ints, logits: Scores) -> Reranked:
    wanted = np.isin(judged, search.retrieval.wanted[at])[None]  # [1, L]
    scores = logits.astype(np.float64)[None]
    length = len(search.lists[at])
    union = retrieval_metrics.ranked(scores, wanted)
    behind = scores.copy()
    behind[0, length:] = scores.min() - 1 - np.arange(len(judged) - length)  # they stand behind the whole list
    found = retrieval_metrics.ranked(behind, wanted)
    shares = chances(logits)
    return Reranked(
        place=int(found.places[0]) if wanted[0, :length].any() else int(search.places[at]),
        ndcg=float(found.ndcg[0]),
        loss=float(union.losses[0]),
        top=[(int(judged[place]), float(shares[place])) for place in found.top[0].tolist() if 0 <= place < length],
        best=int(judged[union.best[0]]),
    )


def columns_of(search: Search, found: Sequence[Reranked]) -> dict[str, Floats]:
    """Figures of each query, [Q] each: of the new order, of the search, and what the first gains on the second."""
    places = np.array([one.place for one in found], dtype=np.int64)
    after = retrieval_metrics.columns(places, np.array([one.ndcg for one in found]))
    before = retrieval_metrics.columns(search.places, search.ndcg)
    return {
        **after,
        "mrr_gain": after["mrr"] - before["mrr"],
        "first_mrr": before["mrr"],
        "first_ndcg": before["ndcg"],
        "first_recall": search.held(),
        "loss": np.array([one.loss for one in found]),
    }


def graded(rows: PairRows | TextRows, score: Score) -> tuple[Floats, Floats] | None:
    """(logit, score) of the pairs that have a score; None without at least three, of at least two different scores."""
    chosen = graded_rows(rows)
    if chosen is None or not isinstance(rows, PairRows):
        return None
    places, scores = chosen
    return score([(rows.sources[at], rows.targets[at]) for at in places]).astype(np.float64), scores


def dev_figures(rows: PairRows | TextRows, search: Search, score: Score) -> dict[str, float]:
    """The figures without intervals, as a run measures them after each epoch."""
    figures: dict[str, float] = {}
    if search.retrieval.queries:
        columns = columns_of(search, list(reranked(search, score)))
        figures = {name: float(values.mean()) for name, values in columns.items() if not name.startswith("first_")}
    pairs = graded(rows, score)
    if pairs is not None:
        figures["spearman"] = retrieval_metrics.spearman(*pairs)
    return figures


def evaluate_ranking(
    rows: PairRows | TextRows, score: Score, *, candidates: int, least_score: float, seed: int = 17
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures with 95 % bootstrap intervals over queries (of Spearman over pairs), and a row per query.

    `mrr_gain` is the mean over queries of what the new order gains, so its interval is that of a paired bootstrap.
    """
    retrieval = retrieval_of(rows, least_score=least_score)
    search = searched(retrieval, candidates=candidates)
    found = list(reranked(search, score))
    headline = retrieval_metrics.headline(columns_of(search, found), seed=seed) if found else {}
    pairs = graded(rows, score)
    if pairs is not None:
        headline["spearman"] = retrieval_metrics.spearman_figure(*pairs, seed=seed)
    measured = {
        "rows": len(rows),
        "queries": len(retrieval.queries),
        "candidates": len(retrieval.candidates),
        "left_out": retrieval.left_out,
        "graded_pairs": 0 if pairs is None else len(pairs[0]),
        "headline": headline,
        "first_stage": {"way": "bm25", "candidates": candidates},
        "found_at": found_at(np.array([one.place for one in found], dtype=np.int64)),
        "first_found_at": found_at(search.places),
        "ties": {"decimals": retrieval_metrics.DECIMALS, "wanted": "last"},
        "interval": {"method": "percentile bootstrap over queries", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }
    return measured, list(_examples(search, found))


def _examples(search: Search, found: Sequence[Reranked]) -> Iterator[dict[str, Any]]:
    retrieval = search.retrieval
    for at, one in enumerate(found):
        wanted = set(retrieval.wanted[at].tolist())
        yield {
            "example_id": int(retrieval.ids[at]),
            "text": retrieval.queries[at][:TEXT_KEPT],
            "gold_text": retrieval.candidates[one.best][:TEXT_KEPT],
            "predicted_text": retrieval.candidates[one.top[0][0]][:TEXT_KEPT],
            "found_at": one.place,
            "first_at": int(search.places[at]),
            "candidates": [
                {"text": retrieval.candidates[place][:TEXT_KEPT], "score": score, "wanted": place in wanted}
                for place, score in one.top
            ],
            "probability": one.top[0][1],
            "loss": one.loss,
            "correct": one.place == 1,
        }


def write_ranked_rows(path: Path, examples: Sequence[dict[str, Any]]) -> None:
    """The rows as Parquet: those of a query, and where the search had found the first wanted text."""
    write_query_rows(path, examples, FIRST_AT)

"""Vectors measured by what they find: one metrics object and one row per query."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine import metrics, retrieval_metrics
from engine.data import TextRows
from engine.embedder import Vectors
from engine.pairs import PairRows
from engine.retrieval_metrics import Bools, Floats, Found, Ints, row_blocks
from engine.texts import normalised

TEXT_KEPT = 2_000
Embed = Callable[[Sequence[str]], Vectors]
CANDIDATE = [("text", pa.string()), ("score", pa.float64()), ("wanted", pa.bool_())]


@dataclass(frozen=True)
class Retrieval:
    """Queries, what they may find, and what they should.

    Texts that are equal once normalised are one query or one candidate. A query never finds its own text, and one that
    has nothing else to find is left out.
    """

    ids: Sequence[int]  # of the example each query comes from
    queries: Sequence[str]
    candidates: Sequence[str]
    wanted: Sequence[NDArray[np.int64]]  # candidates of each query
    own: Sequence[int]  # the candidate that is the query's own text, -1 where none is
    left_out: int = 0

    def block(self, rows: slice) -> tuple[Bools, Bools]:
        """(wanted, excluded) of some queries, [b, C] each."""
        numbers = range(*rows.indices(len(self.queries)))
        wanted, excluded = (np.zeros((len(numbers), len(self.candidates)), dtype=bool) for _ in range(2))
        for row, at in enumerate(numbers):
            wanted[row, self.wanted[at]] = True
            if self.own[at] >= 0:
                excluded[row, self.own[at]] = True
        return wanted, excluded


def retrieval_of(rows: PairRows | TextRows, *, least_score: float) -> Retrieval:
    """What the rows ask for: of pairs the target by its source, of texts with classes another text of the class."""
    return _of_pairs(rows, least_score) if isinstance(rows, PairRows) else _of_classes(rows)


def _of_pairs(rows: PairRows, least_score: float) -> Retrieval:
    candidates: dict[str, int] = {}
    shown: list[str] = []
    asked: dict[str, tuple[int, str]] = {}
    wanted: dict[str, set[int]] = defaultdict(set)
    for number, source, target, score in zip(rows.ids, rows.sources, rows.targets, rows.scores, strict=True):
        query, key = normalised(source), normalised(target)
        if key not in candidates:
            candidates[key] = len(shown)
            shown.append(target)
        if score is not None and not score >= least_score:
            continue
        asked.setdefault(query, (number, source))
        if query != key:
            wanted[query].add(candidates[key])
    usable = [query for query in asked if wanted[query]]
    return Retrieval(
        [asked[query][0] for query in usable],
        [asked[query][1] for query in usable],
        shown,
        [np.array(sorted(wanted[query])) for query in usable],
        [candidates.get(query, -1) for query in usable],
        len(asked) - len(usable),
    )


def _of_classes(rows: TextRows) -> Retrieval:
    first = distinct_texts(rows)
    names = class_names(rows)
    members: dict[str, list[int]] = defaultdict(list)
    for place, at in enumerate(first):
        members[names[at]].append(place)
    texts = [rows.texts[at] for at in first]
    usable = [place for place, at in enumerate(first) if len(members[names[at]]) > 1]
    whole = {name: np.array(places) for name, places in members.items()}
    return Retrieval(
        [rows.ids[first[place]] for place in usable],
        [texts[place] for place in usable],
        texts,
        [(others := whole[names[first[place]]])[others != place] for place in usable],
        usable,
        len(first) - len(usable),
    )


def distinct_texts(rows: TextRows) -> list[int]:
    """Positions of the different texts, the first of equal ones."""
    found: dict[str, int] = {}
    for at, text in enumerate(rows.texts):
        found.setdefault(normalised(text), at)
    return list(found.values())


def class_names(rows: TextRows) -> list[str]:
    """The class of each text: its label, or all of them together."""
    return [", ".join(sorted(names)) for names in rows.labels]


def looked_for(retrieval: Retrieval, embed: Embed, *, scale: float) -> tuple[dict[str, Any], list[Found]]:
    """(figures of each query with `losses`, [Q] each; the blocks behind them)."""
    if not retrieval.queries:
        return {}, []
    texts = [*retrieval.queries, *retrieval.candidates]
    vectors = embed(texts).astype(np.float64)
    asked, offered = vectors[: len(retrieval.queries)], vectors[len(retrieval.queries) :]
    blocks = [
        retrieval_metrics.ranked(asked[rows] @ offered.T, *retrieval.block(rows), scale=scale)
        for rows in row_blocks(len(asked), len(offered))
    ]
    places = np.concatenate([block.places for block in blocks])
    ndcg = np.concatenate([block.ndcg for block in blocks])
    return {
        **retrieval_metrics.columns(places, ndcg),
        "loss": np.concatenate([block.losses for block in blocks]),
        "places": places,
    }, blocks


def graded(rows: PairRows | TextRows, embed: Embed) -> tuple[Floats, Floats] | None:
    """(similarity, score) of the pairs that have a score; None without enough of them."""
    chosen = graded_rows(rows)
    if chosen is None or not isinstance(rows, PairRows):
        return None
    scored, scores = chosen
    sides = embed([*(rows.sources[at] for at in scored), *(rows.targets[at] for at in scored)]).astype(np.float64)
    return (sides[: len(scored)] * sides[len(scored) :]).sum(1), scores


def graded_rows(rows: PairRows | TextRows) -> tuple[list[int], Floats] | None:
    """(positions, scores) of the pairs that have a score; None without at least three, of at least two different ones."""
    if not isinstance(rows, PairRows):
        return None
    scored = [at for at, score in enumerate(rows.scores) if score is not None]
    scores = np.array([rows.scores[at] for at in scored], dtype=np.float64)
    return None if len(scored) < 3 or len(set(scores.tolist())) < 2 else (scored, scores)


def by_centroid(rows: PairRows | TextRows, embed: Embed) -> Ints | None:
    """The place of each text's own class among the centroids, of classes with at least two texts; None for pairs."""
    if isinstance(rows, PairRows):
        return None
    first, names = distinct_texts(rows), class_names(rows)
    numbers = {name: at for at, name in enumerate(dict.fromkeys(names[at] for at in first))}
    classes = np.array([numbers[names[at]] for at in first], dtype=np.int64)
    if not len(classes):
        return None
    places = retrieval_metrics.centroid_places(embed([rows.texts[at] for at in first]).astype(np.float64), classes)
    return places[places > 0] if (places > 0).any() else None


def dev_figures(rows: PairRows | TextRows, embed: Embed, *, scale: float, least_score: float) -> dict[str, float]:
    """The figures without intervals, as a run measures them after each epoch."""
    remembered = _remembering(embed)
    found, _ = looked_for(retrieval_of(rows, least_score=least_score), remembered, scale=scale)
    figures = {name: float(values.mean()) for name, values in found.items() if name != "places"}
    pairs, places = graded(rows, remembered), by_centroid(rows, remembered)
    if pairs is not None:
        figures["spearman"] = retrieval_metrics.spearman(*pairs)
    if places is not None:
        figures["centroid_accuracy"] = float((places == 1).mean())
    return figures


def evaluate_vectors(
    rows: PairRows | TextRows, embed: Embed, *, scale: float, least_score: float, seed: int = 17
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures with 95 % bootstrap intervals over queries (of Spearman over pairs), and a row per query."""
    embed = _remembering(embed)
    retrieval = retrieval_of(rows, least_score=least_score)
    found, blocks = looked_for(retrieval, embed, scale=scale)
    places = found.pop("places", np.zeros(0, dtype=np.int64))
    headline = retrieval_metrics.headline(found, seed=seed)
    pairs, classes = graded(rows, embed), by_centroid(rows, embed)
    if pairs is not None:
        headline["spearman"] = retrieval_metrics.spearman_figure(*pairs, seed=seed)
    if classes is not None:
        right = (classes == 1).astype(np.float64)
        low, high = metrics.bootstrap_mean(right, seed=seed)
        headline["centroid_accuracy"] = {"value": float(right.mean()), "low": low, "high": high}
    measured = {
        "rows": len(rows),
        "queries": len(retrieval.queries),
        "candidates": len(retrieval.candidates),
        "left_out": retrieval.left_out,
        "graded_pairs": 0 if pairs is None else len(pairs[0]),
        "headline": headline,
        "found_at": found_at(places),
        "ties": {"decimals": retrieval_metrics.DECIMALS, "wanted": "last"},
        "interval": {"method": "percentile bootstrap over queries", "rounds": metrics.BOOTSTRAP_ROUNDS, "seed": seed},
    }
    return measured, list(_examples(retrieval, blocks))


def found_at(places: Ints) -> list[dict[str, Any]]:
    """How many queries found a wanted text first at each of a few places, up to the end of the list."""
    edges = [1, 2, 3, 6, 11, 51, 101]
    ends = [*(edge - 1 for edge in edges[1:]), None]
    return [
        {"from": start, "to": end, "count": int(((places >= start) & (places <= (end or places.max()))).sum())}
        for start, end in zip(edges, ends, strict=True)
        if len(places)
    ]


def _remembering(embed: Embed) -> Embed:
    """`embed` that reads each text once."""
    known: dict[str, Any] = {}

    def remembered(texts: Sequence[str]) -> Vectors:
        fresh = [text for text in dict.fromkeys(texts) if text not in known]
        if fresh:
            known.update(zip(fresh, embed(fresh), strict=True))
        return np.stack([known[text] for text in texts])

    return remembered


def _examples(retrieval: Retrieval, blocks: Sequence[Found]) -> Iterator[dict[str, Any]]:
    at = 0
    for block in blocks:
        for row in range(len(block.places)):
            wanted = set(retrieval.wanted[at].tolist())
            shown = zip(block.top[row].tolist(), block.scores[row].tolist(), strict=True)
            top = [(place, score) for place, score in shown if place >= 0]
            yield {
                "example_id": int(retrieval.ids[at]),
                "text": retrieval.queries[at][:TEXT_KEPT],
                "gold_text": retrieval.candidates[int(block.best[row])][:TEXT_KEPT],
                "predicted_text": retrieval.candidates[top[0][0]][:TEXT_KEPT],
                "found_at": int(block.places[row]),
                "candidates": [
                    {"text": retrieval.candidates[place][:TEXT_KEPT], "score": score, "wanted": place in wanted}
                    for place, score in top
                ],
                "probability": min(1.0, max(0.0, top[0][1])),
                "loss": float(block.losses[row]),
                "correct": bool(block.places[row] == 1),
            }
            at += 1


def write_query_rows(path: Path, examples: Sequence[Mapping[str, Any]], more: Sequence[tuple[str, Any]] = ()) -> None:
    """The rows as Parquet, with `more` columns."""
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            *((name, pa.string()) for name in ("text", "gold_text", "predicted_text")),
            ("found_at", pa.int64()),
            ("candidates", pa.list_(pa.struct(CANDIDATE))),
            ("probability", pa.float64()),
            ("loss", pa.float64()),
            ("correct", pa.bool_()),
            *more,
        ]
    )
    pq.write_table(pa.Table.from_pylist([dict(row) for row in examples], schema=schema), path)

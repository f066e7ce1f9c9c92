"""Two versions on the same rows: paired tests and paired bootstrap intervals of the differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics, retrieval_metrics, span_metrics
from engine.spans import Span

Rows = Sequence[Sequence[str]]
SpanRows = Sequence[Sequence[Span]]


def compare(
    gold: Rows,
    first: Rows,
    second: Rows,
    *,
    seed: int = 17,
    rounds: int = metrics.BOOTSTRAP_ROUNDS,
) -> dict[str, Any]:
    """McNemar on "all labels right", and second minus first in accuracy and macro F1 with 95 % intervals.

    The rows of all three sequences are the same in the same order. Macro F1 is over the labels
    that are gold or said by that side, as in metrics.averages().
    """
    place = {
        label: at
        for at, label in enumerate(sorted({name for rows in (gold, first, second) for row in rows for name in row}))
    }
    one_right = np.array([set(a) == set(b) for a, b in zip(gold, first, strict=True)], dtype=bool)
    two_right = np.array([set(a) == set(b) for a, b in zip(gold, second, strict=True)], dtype=bool)
    sides = [_Counts(gold, said, place) for said in (first, second)]
    return {
        "rows": len(gold),
        "mcnemar": metrics.mcnemar(one_right, two_right),
        "accuracy": metrics.paired_bootstrap(
            one_right.astype(np.float64), two_right.astype(np.float64), seed=seed, rounds=rounds
        ),
        "macro_f1": _macro_f1(sides[0], sides[1], len(gold), seed=seed, rounds=rounds),
        "seed": seed,
        "rounds": rounds,
    }


@dataclass(frozen=True)
class ChatSide:
    """One side of a comparison of chat versions: mean loss per token, tokens and exact answers of the rows, [N] each."""

    losses: NDArray[np.float64]
    tokens: NDArray[np.int64]
    exact: NDArray[np.bool_]


def compare_chats(
    first: ChatSide, second: ChatSide, *, seed: int = 17, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """Second minus first in loss, by paired bootstrap and Wilcoxon's signed ranks, and in exact answers by McNemar.

    Losses are compared per token where both sides cut the answers into as many tokens, else per whole answer (the
    sum), which does not depend on the vocabulary; `unit` says which.
    """
    alike = bool((first.tokens == second.tokens).all())
    one, two = (side.losses if alike else side.losses * side.tokens for side in (first, second))
    return {
        "kind": "generation",
        "rows": len(one),
        "unit": "token" if alike else "answer",
        "loss": metrics.paired_bootstrap(one, two, seed=seed, rounds=rounds),
        "wilcoxon": _wilcoxon(one, two),
        "exact_match": metrics.paired_bootstrap(
            first.exact.astype(np.float64), second.exact.astype(np.float64), seed=seed, rounds=rounds
        ),
        "mcnemar": metrics.mcnemar(first.exact, second.exact),
        "seed": seed,
        "rounds": rounds,
    }


@dataclass(frozen=True)
class PairSide:
    """How one version fared on N pairs of answers: losses and wins over the base, [N] each."""

    losses: NDArray[np.float64]
    wins: NDArray[np.bool_]


def compare_pairs(
    first: PairSide, second: PairSide, *, seed: int = 17, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """Second minus first in the loss of pairs, by paired bootstrap and Wilcoxon's signed ranks, and in wins by McNemar."""
    wins = (side.wins.astype(np.float64) for side in (first, second))
    return {
        "kind": "preference",
        "rows": len(first.losses),
        "unit": "pair",
        "loss": metrics.paired_bootstrap(first.losses, second.losses, seed=seed, rounds=rounds),
        "wilcoxon": _wilcoxon(first.losses, second.losses),
        "win_rate": metrics.paired_bootstrap(*wins, seed=seed, rounds=rounds),
        "mcnemar": metrics.mcnemar(first.wins, second.wins),
        "seed": seed,
        "rounds": rounds,
    }


def compare_spans(
    gold: SpanRows, first: SpanRows, second: SpanRows, *, seed: int = 17, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """McNemar on "all spans right", and second minus first in the figures of entities by paired bootstrap over rows."""
    labels = sorted({span.label for rows in (gold, first, second) for row in rows for span in row})
    one_right, two_right = (
        np.array([set(a) == set(b) for a, b in zip(gold, side, strict=True)], dtype=bool) for side in (first, second)
    )
    whole, drawn = [], []
    for side in (first, second):
        table = span_metrics.row_counts(gold, side, labels)
        sums = metrics.resampled_sums(table.reshape(len(gold), -1).astype(np.float64), rounds, seed)
        whole.append(span_metrics.averages(table.sum(0, keepdims=True)))
        drawn.append(span_metrics.averages(sums.reshape(rounds, 3, -1)))
    return {
        "kind": "tagging",
        "rows": len(gold),
        "mcnemar": metrics.mcnemar(one_right, two_right),
        **{
            name: _difference(float(whole[1][name][0] - whole[0][name][0]), drawn[1][name] - drawn[0][name])
            for name in span_metrics.FIGURES
        },
        "seed": seed,
        "rounds": rounds,
    }


Answers = tuple[NDArray[np.float64], NDArray[np.bool_]]  # F1 and exact match of the rows, [N] each


def compare_answers(
    first: Answers, second: Answers, *, seed: int = 17, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """Second minus first in F1 and exact answers by paired bootstrap, and McNemar's test on exact answers."""
    exact = [side[1].astype(np.float64) for side in (first, second)]
    return {
        "kind": "extraction",
        "rows": len(first[0]),
        "f1": metrics.paired_bootstrap(first[0], second[0], seed=seed, rounds=rounds),
        "exact_match": metrics.paired_bootstrap(exact[0], exact[1], seed=seed, rounds=rounds),
        "mcnemar": metrics.mcnemar(first[1], second[1]),
        "seed": seed,
        "rounds": rounds,
    }


def compare_queries(
    first: NDArray[np.int64], second: NDArray[np.int64], *, seed: int = 17, rounds: int = metrics.BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """Second minus first in MRR@10 and recall, by paired bootstrap over queries, and McNemar's test on the first place.

    Given are the places [Q], from 1, of the first wanted text of each query.
    """
    sides = [retrieval_metrics.by_place(places) for places in (first, second)]
    return {
        "kind": "embedding",
        "rows": len(first),
        **{
            name: metrics.paired_bootstrap(sides[0][name], sides[1][name], seed=seed, rounds=rounds)
            for name in sides[0]
        },
        "mcnemar": metrics.mcnemar(first == 1, second == 1),
        "seed": seed,
        "rounds": rounds,
    }


def _difference(value: float, drawn: NDArray[np.float64]) -> dict[str, float]:
    """A difference with the 95 % interval and the two-sided p of its resamples, which is never an impossible zero."""
    low, high = np.quantile(drawn, (0.025, 0.975))
    tail = (1 + min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))) / (1 + len(drawn))
    return {"difference": value, "low": float(low), "high": float(high), "p": min(1.0, 2 * tail)}


def _wilcoxon(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, float]:
    """Signed-rank test of the paired losses; rows where both are equal say nothing and are left out."""
    difference = second - first
    lower, higher = int((difference > 0).sum()), int((difference < 0).sum())
    counts = {"first_lower": lower, "second_lower": higher}
    if not lower + higher:
        return {**counts, "statistic": 0.0, "p": 1.0}
    from scipy import stats  # a second to load: only for those who compare losses

    found = stats.wilcoxon(difference, zero_method="wilcox")
    return {**counts, "statistic": float(found.statistic), "p": float(found.pvalue)}


class _Counts:
    """Hits, said and gold labels of one side as (row, label) pairs, so that a resample is three weighted counts."""

    def __init__(self, gold: Rows, said: Rows, place: Mapping[str, int]) -> None:
        self.size = len(place)
        hits = [sorted(set(a) & set(b)) for a, b in zip(gold, said, strict=True)]
        self.hit, self.said, self.true = (_pairs(rows, place) for rows in (hits, said, gold))

    def macro_f1(self, weights: NDArray[np.float64]) -> float:
        """The mean F1 over labels when row i counts `weights[i]` times; labels that do not occur are left out."""
        hit, said, true = (
            np.bincount(labels, weights[rows], minlength=self.size) for rows, labels in (self.hit, self.said, self.true)
        )
        total = said + true
        seen = total > 0
        return float((2 * hit[seen] / total[seen]).mean()) if seen.any() else 0.0


def _macro_f1(first: _Counts, second: _Counts, size: int, *, seed: int, rounds: int) -> dict[str, float]:
    generator = np.random.default_rng(seed)
    drawn = np.empty(rounds)
    for at in range(rounds):  # one round at a time: memory does not grow with the rounds
        weights = np.bincount(generator.integers(0, size, size), minlength=size).astype(np.float64)
        drawn[at] = second.macro_f1(weights) - first.macro_f1(weights)
    even = np.ones(size)
    return _difference(second.macro_f1(even) - first.macro_f1(even), drawn)


def _pairs(rows: Rows, place: Mapping[str, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = [(at, place[label]) for at, labels in enumerate(rows) for label in labels]
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]

"""Figures of retrieval are those of their definitions, and of scikit-learn and SciPy where they offer them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score

from engine import retrieval_metrics as figures

SEEDS = st.integers(0, 10_000)


def drawn(seed: int, *, levels: int = 0) -> tuple[Any, Any]:
    """(scores [b, C], wanted [b, C] with at least one a row); with `levels` there are many ties."""
    maker = np.random.default_rng(seed)
    shape = (int(maker.integers(1, 6)), int(maker.integers(2, 70)))
    scores = maker.normal(size=shape) if not levels else maker.integers(0, levels, shape) / levels
    wanted = maker.random(shape) < maker.choice([0.02, 0.2, 0.6])
    wanted[np.arange(shape[0]), maker.integers(0, shape[1], shape[0])] = True
    return scores, wanted


def ordered(scores: Any, wanted: Any) -> list[bool]:
    """One row's candidates by falling score, wanted ones last among equals: whether each is wanted."""
    return [
        bool(w) for _, w in sorted(zip(-np.round(scores, 6), wanted, strict=True), key=lambda one: (one[0], one[1]))
    ]


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.sampled_from([0, 1, 3]))
def test_places_and_figures_are_those_of_the_ordered_list(seed: int, levels: int) -> None:
    scores, wanted = drawn(seed, levels=levels)

    found = figures.ranked(scores, wanted)
    rows = figures.columns(found.places, found.ndcg)

    for at in range(len(scores)):
        order = ordered(scores[at], wanted[at])
        place = order.index(True) + 1
        gain = sum(1 / np.log2(p + 2) for p, hit in enumerate(order[:10]) if hit)
        ideal = sum(1 / np.log2(p + 2) for p in range(min(10, sum(order))))
        assert found.places[at] == place
        assert rows["mrr"][at] == pytest.approx(1 / place if place <= 10 else 0)
        assert [rows[f"recall_at_{k}"][at] for k in (1, 5, 10)] == [float(place <= k) for k in (1, 5, 10)]
        assert rows["ndcg"][at] == pytest.approx(gain / ideal)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_ndcg_equals_scikit_learns(seed: int) -> None:
    scores, wanted = drawn(seed)

    found = figures.ranked(scores, wanted)

    assert found.ndcg.mean() == pytest.approx(ndcg_score(wanted.astype(float), np.round(scores, 6), k=10))


def test_equal_vectors_find_nothing() -> None:
    found = figures.ranked(np.ones((1, 40)), np.eye(1, 40, dtype=bool))

    assert found.places.tolist() == [40]
    assert found.ndcg.tolist() == [0.0]


def test_a_difference_beyond_the_sixth_decimal_is_a_tie() -> None:
    wanted = np.array([[True, False]])

    found = [figures.ranked(np.array([[0.5 + more, 0.5]]), wanted).places[0] for more in (1e-8, 1e-5)]

    assert found == [2, 1]


def test_a_candidate_taken_away_is_neither_counted_nor_shown() -> None:
    scores, wanted = np.array([[0.9, 0.5, 0.7]]), np.array([[False, True, False]])

    found = figures.ranked(scores, wanted, np.array([[True, False, False]]), scale=2.0)

    assert found.places.tolist() == [2]
    assert found.top.tolist() == [[2, 1, -1]]
    assert found.losses[0] == pytest.approx(-np.log(np.exp(1.0) / (np.exp(1.0) + np.exp(1.4))))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-2, 2)), min_size=3, max_size=40))
def test_spearman_equals_scipys_with_ties(rows: list[tuple[int, float]]) -> None:
    first, second = np.array([a for a, _ in rows], dtype=float), np.array([b for _, b in rows])
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert figures.spearman(first, second) == 0
        return

    assert figures.spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_a_resample_of_spearman_is_that_of_the_resampled_rows() -> None:
    maker = np.random.default_rng(3)
    first, second = maker.integers(0, 5, 30).astype(float), maker.normal(size=30)

    found = figures.spearman_figure(first, second, seed=5, rounds=1)

    rows = np.random.default_rng(5).integers(0, 30, 30)
    wanted = stats.spearmanr(first[rows], second[rows]).statistic
    assert (found["low"], found["high"]) == (pytest.approx(wanted), pytest.approx(wanted))


def test_intervals_hold_the_mean_and_shrink_with_more_queries() -> None:
    rows = np.random.default_rng(1).random(400)

    few, many = (figures.headline({"mrr": rows[:count]}, seed=3)["mrr"] for count in (25, 400))

    assert all(one["low"] < one["value"] < one["high"] for one in (few, many))
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 2


def test_a_centroid_leaves_the_text_itself_out() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.6, 0.8], [1.0, 0.0]])
    classes = np.array([0, 0, 1, 1, 2])

    places = figures.centroid_places(vectors, classes)

    # The first text's class is, without it, the second text alone: nothing like it. Class 2 is exactly it.
    assert places.tolist() == [3, 3, 1, 2, 0]

"""Figures agree with scikit-learn and scipy, and intervals hold what they should."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as judge

from engine import metrics
from engine.evaluate import evaluate
from engine.failures import RunFailed

SEEDS = st.integers(0, 10_000)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gold and predicted classes and probabilities of 2..6 classes over 1..60 rows."""
    generator = np.random.default_rng(seed)
    classes, rows = int(generator.integers(2, 7)), int(generator.integers(1, 60))
    gold = generator.integers(0, classes, rows)
    probabilities = generator.dirichlet(np.ones(classes), rows)
    return gold, probabilities.argmax(1), probabilities


@given(SEEDS)
@settings(deadline=None, max_examples=60)
def test_single_label_figures_agree_with_scikit_learn(seed: int) -> None:
    gold, predicted, probabilities = drawn(seed)
    size = probabilities.shape[1]
    table, decided = metrics.one_hot(gold, size), metrics.one_hot(predicted, size)

    found = metrics.averages(table, decided)

    assert found["accuracy"] == pytest.approx(judge.accuracy_score(gold, predicted))
    for name in ("macro", "micro", "weighted"):
        wanted = judge.f1_score(gold, predicted, average=name, zero_division=0)
        assert found[f"{name}_f1"] == pytest.approx(wanted), name
    precision, recall, f1, support = judge.precision_recall_fscore_support(
        gold, predicted, labels=range(size), zero_division=0
    )
    rows = metrics.per_class(metrics.counts(table, decided), [str(at) for at in range(size)])
    assert [row["precision"] for row in rows] == pytest.approx(list(precision))
    assert [row["recall"] for row in rows] == pytest.approx(list(recall))
    assert [row["f1"] for row in rows] == pytest.approx(list(f1))
    assert [row["support"] for row in rows] == list(support)
    matrix = metrics.confusion(gold, predicted, [str(at) for at in range(size)])
    assert matrix["matrix"] == judge.confusion_matrix(gold, predicted, labels=range(size)).tolist()
    assert sum(cell[2] for cell in matrix["cells"]) == len(gold)


@given(SEEDS)
@settings(deadline=None, max_examples=60)
def test_multi_label_figures_agree_with_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    gold, predicted = generator.random((2, int(generator.integers(1, 40)), 4)) < 0.4

    found = metrics.averages(gold, predicted)

    assert found["accuracy"] == pytest.approx(judge.accuracy_score(gold, predicted))
    assert found["micro_f1"] == pytest.approx(judge.f1_score(gold, predicted, average="micro", zero_division=0))
    assert found["weighted_f1"] == pytest.approx(judge.f1_score(gold, predicted, average="weighted", zero_division=0))


@given(SEEDS)
@settings(deadline=None, max_examples=60)
def test_area_under_the_curve_agrees_with_scikit_learn(seed: int) -> None:
    generator = np.random.default_rng(seed)
    gold = generator.random(30) < 0.3
    scores = generator.integers(0, 6, 30) / 5  # many ties
    assume(0 < gold.sum() < 30)

    assert metrics.roc_auc(gold, scores) == pytest.approx(judge.roc_auc_score(gold, scores))


def test_the_area_is_undefined_with_one_class() -> None:
    assert metrics.roc_auc(np.zeros(3, dtype=bool), np.arange(3.0)) is None


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (0, 5), (5, 5), (37, 40), (1, 1000)])
def test_wilson_agrees_with_scipy(hits: int, trials: int) -> None:
    low, high = metrics.wilson(hits, trials)

    if trials == 0:
        assert (low, high) == (0, 1)
    else:
        wanted = binomtest(hits, trials).proportion_ci(method="wilson")
        assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@given(st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None, max_examples=60)
def test_mcnemar_agrees_with_the_binomial_test(only_first: int, only_second: int) -> None:
    first = np.array([True] * only_first + [False] * only_second + [True] * 3, dtype=bool)
    second = np.array([False] * only_first + [True] * only_second + [True] * 3, dtype=bool)

    found = metrics.mcnemar(first, second)

    total = only_first + only_second
    wanted = binomtest(only_first, total).pvalue if total else 1.0
    assert found["exact_p"] == pytest.approx(wanted)
    assert found["mid_p"] <= found["exact_p"]


def test_bootstrap_intervals_are_seeded_and_hold_the_value() -> None:
    gold, predicted, probabilities = drawn(4)
    size = probabilities.shape[1]
    table, decided = metrics.one_hot(gold, size), metrics.one_hot(predicted, size)
    found = metrics.averages(table, decided)

    intervals = metrics.bootstrap_averages(table, decided, seed=1)

    assert intervals == metrics.bootstrap_averages(table, decided, seed=1)
    assert all(intervals[name][0] <= found[name] <= intervals[name][1] for name in ("accuracy", "micro_f1"))


def test_the_bootstrap_of_a_share_has_about_the_normal_width() -> None:
    values = np.array([1.0] * 800 + [0.0] * 200)

    low, high = metrics.bootstrap_mean(values, seed=3)

    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=0.1)


def test_a_clear_difference_is_found_and_none_where_there_is_none() -> None:
    generator = np.random.default_rng(0)
    first = (generator.random(400) < 0.5).astype(float)

    assert metrics.paired_bootstrap(first, np.ones(400), seed=1)["p"] < 0.01
    assert metrics.paired_bootstrap(first, first, seed=1)["p"] == 1.0


def test_calibration_error_of_an_honest_and_of_a_boasting_model() -> None:
    right = np.array([True] * 70 + [False] * 30)

    assert metrics.calibration(np.full(100, 0.7), right)["ece"] == pytest.approx(0.0, abs=1e-9)
    assert metrics.calibration(np.full(100, 1.0), right)["ece"] == pytest.approx(0.3)


def test_evaluation_measures_rows_and_keeps_each_of_them() -> None:
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.9, 0.1]])

    found, rows = evaluate(probabilities, [("a",), ("b",), ("b",)], [7, 8, 9], ["a", "b"])

    assert found["headline"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["brier"] == pytest.approx((0.08 + 0.32 + 1.62) / 3)
    assert found["headline"]["loss"]["value"] == pytest.approx(-np.log([0.8, 0.6, 0.1]).mean())
    assert [(row.example_id, row.predicted, row.correct) for row in rows] == [
        (7, ("a",), True),
        (8, ("b",), True),
        (9, ("a",), False),
    ]


def test_a_label_the_model_does_not_know_is_refused_with_its_row() -> None:
    with pytest.raises(RunFailed) as failure:
        evaluate(np.ones((2, 2)) / 2, [("a",), ("c",)], [7, 8], ["a", "b"])

    assert failure.value.code == "unknown_label"
    assert failure.value.rows == (8,)

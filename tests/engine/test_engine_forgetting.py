"""ACC, AIA, BWT, FWT and forgetting by hand, and what leaves them without a value."""

import pytest

from engine.specs import forgetting as figures

THREE = [[0.9, 0.2, 0.1], [0.7, 0.8, 0.3], [0.5, 0.9, 0.6]]
BEFORE = [0.1, 0.1, 0.2]


def test_every_figure_of_three_tasks_is_what_it_is_by_hand() -> None:
    assert figures.acc(THREE).value == pytest.approx((0.5 + 0.9 + 0.6) / 3)
    assert figures.aia(THREE).value == pytest.approx((0.9 + (0.7 + 0.8) / 2 + (0.5 + 0.9 + 0.6) / 3) / 3)
    assert figures.bwt(THREE).value == pytest.approx(((0.5 - 0.9) + (0.9 - 0.8)) / 2)
    assert figures.fwt(THREE, BEFORE).value == pytest.approx(((0.2 - 0.1) + (0.3 - 0.2)) / 2)
    assert [found.value for found in figures.forgetting(THREE)] == pytest.approx([0.9 - 0.5, 0.8 - 0.9])
    assert figures.mean_forgetting(THREE).value == pytest.approx((0.4 - 0.1) / 2)
    assert figures.most_forgotten(THREE).value == pytest.approx(0.4)


def test_forgetting_is_measured_from_the_best_a_task_ever_was() -> None:
    matrix = [[0.6, None, None], [0.8, 0.7, None], [0.5, 0.7, 0.9]]

    assert figures.forgetting(matrix)[0].value == pytest.approx(0.8 - 0.5)
    assert figures.best_row(matrix, 0) == 1
    assert figures.bwt(matrix).value == pytest.approx(((0.5 - 0.6) + 0.0) / 2)


def test_one_task_has_nothing_to_forget_and_says_so() -> None:
    one = [[0.9]]

    assert figures.acc(one).value == figures.aia(one).value == 0.9
    for found in (figures.bwt(one), figures.fwt(one, [0.1]), figures.mean_forgetting(one), figures.most_forgotten(one)):
        assert found.value is None and found.why == "Only one task was learnt."
    assert figures.forgetting(one) == []
    assert figures.acc([]).why == figures.aia([]).why == figures.bwt([]).why == "There is no task."


def test_a_missing_number_leaves_only_what_needs_it_undefined() -> None:
    matrix = [[0.9, None, None], [None, 0.8, None], [0.5, 0.9, 0.6]]

    assert figures.acc(matrix).value is not None and figures.bwt(matrix).value is not None
    assert figures.aia(matrix).value is None and figures.aia(matrix).why == "R[2, 1] is not known."
    assert figures.fwt(matrix, BEFORE).why == "R[1, 2] is not known."
    assert figures.forgetting(matrix)[0].why == "R[2, 1] is not known."
    assert figures.forgetting(matrix)[1].value == pytest.approx(0.8 - 0.9)
    assert figures.most_forgotten(matrix).value is None and figures.mean_forgetting(matrix).value is None
    assert figures.fwt(THREE, [None, None, 0.2]).why == "The model before the first task has no figure on task 2."
    assert figures.acc([[0.9, None], [None, 0.5]]).why == "R[2, 1] is not known."
    assert figures.bwt([[None, None], [0.5, 0.5]]).why == "R[1, 1] is not known."


def test_an_interval_is_two_standard_errors_wide_on_either_side() -> None:
    found = figures.Figure(-0.2).within(0.05)

    assert (found.low, found.high) == pytest.approx((-0.298, -0.102), abs=1e-3)
    assert figures.Figure(None, "why").within(0.05).low is None and figures.Figure(0.2).within(None).low is None

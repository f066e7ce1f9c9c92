"""The course of an alert."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.sentiment.alerting.course import FIRING, INACTIVE, PENDING, RESOLVED, Course, step

BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def states(said: list[bool | None], *, hold: int = 0, keep: int = 0) -> list[str]:
    """The states after each judgement, one every five minutes; hold and keep in minutes."""
    course, found = Course(), []
    for at, holds in enumerate(said):
        moment = BEGIN + at * timedelta(minutes=5)
        course = step(course, holds, moment, hold_seconds=60 * hold, keep_seconds=60 * keep)
        found.append(course.state)
    return found


def test_a_rule_that_holds_fires_at_once_and_is_over_when_it_does_not() -> None:
    assert states([False, True, True, False]) == [INACTIVE, FIRING, FIRING, RESOLVED]


def test_a_rule_that_must_hold_for_a_while_is_pending_first() -> None:
    assert states([True, True, True], hold=10) == [PENDING, PENDING, FIRING]


def test_a_pending_alert_lapses_when_the_rule_does_not_hold() -> None:
    assert states([True, False, True], hold=10) == [PENDING, INACTIVE, PENDING]


def test_a_firing_alert_is_kept_for_a_while() -> None:
    said = [True, False, True, False, False, False]

    assert states(said, keep=10) == [FIRING, FIRING, FIRING, FIRING, RESOLVED, RESOLVED]


def test_a_hole_in_the_data_moves_nothing() -> None:
    assert states([True, None, True], hold=10) == [PENDING, PENDING, FIRING]
    assert states([True, None, None]) == [FIRING, FIRING, FIRING]
    assert states([None, None]) == [INACTIVE, INACTIVE]


def test_a_resolved_alert_begins_anew() -> None:
    first = step(Course(), True, BEGIN, hold_seconds=0, keep_seconds=0)
    over = step(first, False, BEGIN + timedelta(minutes=5), hold_seconds=0, keep_seconds=0)

    again = step(over, True, BEGIN + timedelta(minutes=10), hold_seconds=0, keep_seconds=0)

    assert again.state == FIRING
    assert again.started_at == BEGIN + timedelta(minutes=10)


@pytest.mark.parametrize("hold", [0, 5, 30])
def test_firing_never_comes_before_the_rule_has_held_for_so_long(hold: int) -> None:
    course = Course()
    for at in range(20):
        moment = BEGIN + at * timedelta(minutes=5)
        course = step(course, True, moment, hold_seconds=60 * hold, keep_seconds=0)
        assert (course.state == FIRING) == (moment - BEGIN >= timedelta(minutes=hold))

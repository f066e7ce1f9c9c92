"""Weekly times in which nobody is told."""

from datetime import UTC, datetime

import pytest

from apps.sentiment.alerting.quiet import is_mute_time, is_muted

NIGHTS = [{"days": [0, 1, 2, 3, 4], "begin": "22:00", "end": "07:00"}]
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "hour", "muted"),
    [(2, 21, False), (2, 22, True), (3, 6, True), (3, 7, False), (7, 6, True), (7, 23, False), (2, 6, False)],
)
def test_a_night_goes_on_into_the_next_day(day: int, hour: int, muted: bool) -> None:
    assert is_muted(NIGHTS, MONDAY.replace(day=day, hour=hour), "UTC") is muted


def test_times_are_those_of_the_monitor() -> None:
    at_night_in_shanghai = MONDAY.replace(hour=15)  # 23:00

    assert is_muted(NIGHTS, at_night_in_shanghai, "Asia/Shanghai")
    assert not is_muted(NIGHTS, at_night_in_shanghai, "UTC")


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        {"days": [], "begin": "08:00", "end": "09:00"},
        {"days": [7], "begin": "08:00", "end": "09:00"},
        {"days": [True], "begin": "08:00", "end": "09:00"},
        {"days": [1], "begin": "8:00", "end": "09:00"},
        {"days": [1], "begin": "24:00", "end": "09:00"},
        {"days": [1], "begin": "08:00", "end": "08:00"},
        {"days": [1], "begin": "08:00", "end": "09:00", "zone": "UTC"},
    ],
)
def test_what_is_no_weekly_time_is_told(wrong: object) -> None:
    assert not is_mute_time(wrong)
    assert is_mute_time(NIGHTS[0])

"""Schedules: cron in a time zone over the days that lack or repeat an hour, run once, after downtime too, by one runner."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation

from core.access import Actor
from core.errors import Refused
from core.schedules import cron, services
from core.schedules.actions import Planned
from core.schedules.models import Schedule
from workers import tasks

BERLIN = ZoneInfo("Europe/Berlin")


def times(expression: str, begin: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """The next times, in UTC, each asked for at the one before it."""
    found, moment = [], datetime.fromisoformat(begin)
    for _each in range(count):
        moment = cron.next_after(expression, zone, moment)
        found.append(moment.astimezone(UTC).strftime("%d %H:%M"))
    return found


def test_a_time_that_a_day_lacks_runs_once_the_clock_has_jumped() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00+01:00", 3) == ["29 01:00", "30 00:30", "31 00:30"]


def test_a_time_that_a_day_has_twice_runs_once() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00+02:00", 3) == ["25 00:30", "26 01:30", "27 01:30"]


def test_every_half_hour_goes_on_through_both_days() -> None:
    assert times("*/30 * * * *", "2026-10-25T02:15+02:00", 4) == ["25 00:30", "25 01:00", "25 01:30", "25 02:00"]
    assert times("*/30 * * * *", "2026-03-29T01:15+01:00", 3) == ["29 00:30", "29 01:00", "29 01:30"]


def test_no_next_time_lies_in_the_past_of_an_hour_that_comes_twice() -> None:
    assert times("30 2 * * *", "2026-10-25T02:10+01:00", 1) == ["26 01:30"]


def test_a_morning_in_shanghai_is_one_in_utc() -> None:
    assert times("0 8 * * 1-5", "2026-11-27T00:00+00:00", 2, ZoneInfo("Asia/Shanghai")) == ["30 00:00", "01 00:00"]


@pytest.mark.parametrize(
    "expression",
    ["", "* * * *", "0 0 0 0 0", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@daily", "0 8 * * 1-5 x", "9" * 200],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(Refused):
        cron.check(expression, BERLIN, timezone.now())


@pytest.mark.parametrize(
    ("expression", "english", "chinese"),
    [
        ("*/15 * * * *", "Every 15 minutes", "每 15 分钟"),
        ("5 * * * *", "Every hour at minute 5", "每小时的第 5 分钟"),
        ("0 8 * * *", "Every day at 08:00", "每天 08:00"),
        ("30 8,18 * * 1-5", "Monday to Friday at 08:30, 18:30", "周一至周五 08:30、18:30"),
        ("0 9 * * 1,0", "Every Monday, Sunday at 09:00", "每个星期一、星期日 09:00"),
        ("0 9 1,15 * *", "Every month on day 1, 15 at 09:00", "每月 1、15 日 09:00"),
        ("0 9 L * *", "Every month on its last day at 09:00", "每月最后一天 09:00"),
        ("0 9 1 1 *", "At times of “0 9 1 1 *”", "按“0 9 1 1 *”所定的时间"),
        ("0 9 1 * 1", "At times of “0 9 1 * 1”", "按“0 9 1 * 1”所定的时间"),
    ],
)
def test_habits_are_told_in_words(expression: str, english: str, chinese: str) -> None:
    assert cron.described(expression) == english
    with translation.override("zh-hans"):
        assert cron.described(expression) == chinese


def scheduled(actor: Actor, **columns: Any) -> Schedule:
    given = {"name": "Morning", "arguments": {"word": "hi"}, "expression": "0 8 * * *", "time_zone": "UTC", **columns}
    return services.create(workspace=actor.workspace, by=actor.user, action_name="test.note", **given)


def due(schedule: Schedule, ago: timedelta = timedelta(minutes=1)) -> datetime:
    """Its time came a while ago."""
    at = (timezone.now() - ago).replace(hour=8, minute=0, second=0, microsecond=0)
    if at > timezone.now():
        at -= timedelta(days=1)
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=at)
    return at


def test_a_run_that_is_due_is_done_once_and_written_down(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule)

    assert services.tick() == [schedule.pk]
    for _twice in range(2):
        tasks.run_schedule(schedule.pk)
    assert services.tick() == []

    schedule.refresh_from_db()
    assert len(noting) == 1 and noting[0].workspace == actor.workspace and noting[0].arguments == {"word": "hi"}
    assert schedule.last_result == "Noted." and schedule.last_error == "" and schedule.last_seconds is not None
    assert schedule.next_run_at is not None and timedelta(0) < schedule.next_run_at - timezone.now() <= timedelta(
        days=1
    )


def test_after_days_of_downtime_it_runs_once_for_the_newest_time(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule, timedelta(days=10))

    services.tick()
    tasks.run_schedule(schedule.pk)
    services.tick()
    tasks.run_schedule(schedule.pk)

    (run,) = noting
    assert timedelta(0) <= timezone.now() - run.at < timedelta(days=1) and (run.at.hour, run.at.minute) == (8, 0)


def test_of_two_beats_that_find_it_due_one_moves_its_time(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule)
    seen = Schedule.objects.get(pk=schedule.pk)
    services.tick()
    tasks.run_schedule(schedule.pk)

    services._owe(seen, timezone.now())  # it looked before the other moved

    assert services.tick() == [] and len(noting) == 1


def test_a_lost_message_is_sent_again_and_a_dead_runner_is_followed(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule)
    services.tick()
    assert services.tick() == [schedule.pk]  # the first message was lost
    dead = services.claim(schedule.pk)
    assert dead is not None and services.claim(schedule.pk) is None and services.tick() == []
    Schedule.objects.update(lease_until=timezone.now())

    assert services.tick() == [schedule.pk]
    tasks.run_schedule(schedule.pk)

    assert len(noting) == 1 and services.ended(dead, result="too late") is False
    schedule.refresh_from_db()
    assert schedule.last_result == "Noted."


def test_a_run_whose_runners_all_die_is_given_up_with_a_reason(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule)
    services.tick()
    for _each in range(services.MAX_ATTEMPTS):
        services.claim(schedule.pk)
        Schedule.objects.update(lease_until=timezone.now())

    tasks.run_schedule(schedule.pk)

    schedule.refresh_from_db()
    assert noting == [] and "did not come back" in schedule.last_error and services.tick() == []


def test_what_falls_due_while_it_runs_is_run_afterwards(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule, timedelta(days=3))
    Schedule.objects.update(planned_at=timezone.now() - timedelta(days=5))
    running = services.claim(schedule.pk)
    assert running is not None and services.tick() == []

    services.ended(running, result="done")

    assert services.tick() == [schedule.pk]


@pytest.mark.parametrize(("word", "told"), [("refuse", "It refuses."), ("break", "failed unexpectedly")])
def test_a_run_that_fails_says_why_and_the_next_is_planned(
    word: str, told: str, actor: Actor, noting: list[Planned]
) -> None:
    schedule = scheduled(actor, arguments={"word": word})
    due(schedule)
    services.tick()

    tasks.run_schedule(schedule.pk)

    schedule.refresh_from_db()
    assert told in schedule.last_error and schedule.last_result == "" and schedule.planned_at is None
    assert schedule.next_run_at is not None and schedule.next_run_at > timezone.now()


@pytest.mark.parametrize("columns", [{"time_zone": "Gone/Zone"}, {"expression": "0 0 30 2 *"}, {"expression": "x"}])
def test_one_whose_time_cannot_be_told_is_paused_and_the_others_go_on(
    columns: Any, actor: Actor, noting: list[Planned]
) -> None:
    broken, other = scheduled(actor), scheduled(actor, name="Other")
    due(broken, timedelta(days=1))
    due(other)
    Schedule.objects.filter(pk=broken.pk).update(**columns)

    assert services.tick() == [other.pk]

    broken.refresh_from_db()
    assert not broken.is_enabled and broken.next_run_at is None and "cannot be told" in broken.last_error
    assert cron.described(broken.expression)


def test_a_pause_drops_what_is_owed_and_resuming_counts_from_now(actor: Actor, noting: list[Planned]) -> None:
    schedule = scheduled(actor)
    due(schedule, timedelta(days=3))
    services.tick()

    paused, changed = services.change(schedule=schedule, is_enabled=False)
    assert changed == {"is_enabled": True} and paused.next_run_at is None and services.tick() == []
    resumed, _changed = services.change(schedule=schedule, is_enabled=True)

    assert resumed.next_run_at is not None and resumed.next_run_at > timezone.now() and services.tick() == []


@pytest.mark.parametrize(
    "columns", [{"time_zone": "Mars/Olympus"}, {"expression": "never"}, {"arguments": {"x": 1}}, {"arguments": []}]
)
def test_wrong_columns_are_refused(columns: Any, actor: Actor, noting: list[Planned]) -> None:
    with pytest.raises(Refused):
        scheduled(actor, **columns)
    assert not Schedule.objects.exists()


def test_only_actions_of_the_table_can_be_scheduled(actor: Actor, noting: list[Planned]) -> None:
    with pytest.raises(Refused):
        services.create(
            workspace=actor.workspace, by=actor.user, action_name="os.system", name="x", expression="* * * * *"
        )

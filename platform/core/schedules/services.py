"""Schedules: set up, changed, paused, found due by one static beat entry, and run by whoever claims the run."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSimError
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from core.errors import Refused, conflict
from core.queue import Task, enqueue
from core.requests import zones
from core.schedules import cron
from core.schedules.actions import action
from core.schedules.models import Schedule
from words import say

logger = logging.getLogger(__name__)

RUN = Task("workers.run_schedule", "io")
FIELDS = ("name", "arguments", "expression", "time_zone", "is_enabled")
RUNNER_DEAD_AFTER = timedelta(minutes=10)
MAX_ATTEMPTS = 3
MOST_AT_ONCE = 200
MOST_SCHEDULES = 100  # of a workspace


@transaction.atomic
def create(*, workspace: Any, by: Any, action_name: str, **columns: Any) -> Schedule:
    """A schedule that runs from now on."""
    if Schedule.objects.filter(workspace=workspace).count() >= MOST_SCHEDULES:
        raise conflict("too_many_schedules", say("A workspace has at most {most} schedules.", most=MOST_SCHEDULES))
    schedule = Schedule(workspace=workspace, created_by=by, action=action_name)
    _set(schedule, columns)
    schedule.next_run_at = _next(schedule, timezone.now())
    _save(schedule)
    return schedule


@transaction.atomic
def change(*, schedule: Schedule, **columns: Any) -> tuple[Schedule, dict[str, Any]]:
    """(the schedule, what it was before of what changed). Other times count from now on; a pause drops a run that is owed."""
    found = Schedule.objects.select_for_update().get(pk=schedule.pk)
    before = {name: getattr(found, name) for name in FIELDS}
    _set(found, columns)
    changed = {name: before[name] for name in FIELDS if getattr(found, name) != before[name]}
    if changed.keys() & {"expression", "time_zone", "is_enabled"}:
        found.next_run_at = _next(found, timezone.now())
        if not found.is_enabled:
            found.planned_at = None
    _save(found)
    return found, changed


@transaction.atomic
def run_now(*, schedule: Schedule) -> None:
    """Let it run as soon as a worker is free; one that is owed already is not owed twice."""
    moved = Schedule.objects.filter(pk=schedule.pk, planned_at=None).update(planned_at=timezone.now(), attempt_count=0)
    if not moved:
        raise conflict("runs_already", say("It is about to run, or runs already."))
    enqueue(RUN, schedule.pk)


def tick(now: datetime | None = None) -> list[int]:
    """Note which runs are owed and wake workers for them; returns their schedules.

    What was missed while nothing ticked is owed once, at the newest of the missed times.
    """
    now = now or timezone.now()
    due = Schedule.objects.filter(is_enabled=True, next_run_at__lte=now).order_by("next_run_at", "pk")
    for schedule in due[:MOST_AT_ONCE]:
        try:
            _owe(schedule, now)
        except (CronSimError, StopIteration, ZoneInfoNotFoundError):
            _stop(schedule)  # the others must go on
    owed = Schedule.objects.filter(planned_at__isnull=False).filter(_free(now)).order_by("planned_at", "pk")
    ids = list(owed.values_list("pk", flat=True)[:MOST_AT_ONCE])
    for pk in ids:
        enqueue(RUN, pk)
    return ids


def _owe(schedule: Schedule, now: datetime) -> None:
    """Move the time on; of two who find it due, one moves it."""
    assert schedule.next_run_at is not None
    zone = ZoneInfo(schedule.time_zone)
    planned = cron.last_until(schedule.expression, zone, schedule.next_run_at, now)
    Schedule.objects.filter(pk=schedule.pk, is_enabled=True, next_run_at=schedule.next_run_at).update(
        next_run_at=cron.next_after(schedule.expression, zone, now), planned_at=planned, attempt_count=0
    )


def _stop(schedule: Schedule) -> None:
    """Pause one whose next time cannot be told any more, and say why."""
    logger.exception("schedule %s has no next time", schedule.pk)
    said = say("Its next time cannot be told any more. Give another expression or time zone.")
    Schedule.objects.filter(pk=schedule.pk).update(is_enabled=False, next_run_at=None, last_error=said)


def claim(pk: int, now: datetime | None = None) -> Schedule | None:
    """The schedule whose owed run is now the caller's; None when nothing is owed or another runs it."""
    now = now or timezone.now()
    owed = Schedule.objects.filter(pk=pk, planned_at__isnull=False).filter(_free(now))
    if not owed.update(
        lease_until=now + RUNNER_DEAD_AFTER, run_token=F("run_token") + 1, attempt_count=F("attempt_count") + 1
    ):
        return None
    schedule = Schedule.objects.select_related("workspace").get(pk=pk)
    if schedule.attempt_count > MAX_ATTEMPTS:
        ended(schedule, error=say("Whoever ran it did not come back."))
        return None
    return schedule


def ended(schedule: Schedule, *, result: str = "", error: str = "", seconds: float | None = None) -> bool:
    """Write down how a claimed run went; False when another has claimed it since. A run that fell due meanwhile stays owed."""
    mine = Schedule.objects.filter(pk=schedule.pk, run_token=schedule.run_token)
    told = {"last_run_at": timezone.now(), "last_seconds": seconds, "last_result": result, "last_error": error}
    if not mine.update(lease_until=None, **told):
        return False
    mine.filter(planned_at=schedule.planned_at).update(planned_at=None, attempt_count=0)
    return True


def _free(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lte=now)


def _next(schedule: Schedule, now: datetime) -> datetime | None:
    return cron.next_after(schedule.expression, ZoneInfo(schedule.time_zone), now) if schedule.is_enabled else None


def _set(schedule: Schedule, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(schedule, name, value)
    if schedule.time_zone not in zones():
        raise Refused("unknown_time_zone", say("There is no such time zone."), field="time_zone")
    schedule.expression = cron.check(schedule.expression, ZoneInfo(schedule.time_zone), timezone.now())
    found = action(schedule.action)
    if not isinstance(schedule.arguments, dict):
        raise Refused("bad_arguments", say("Arguments are an object."), field="arguments")
    schedule.arguments = found.check(schedule.workspace, schedule.arguments)


def _save(schedule: Schedule) -> None:
    try:
        with transaction.atomic():
            schedule.save()
    except IntegrityError as error:
        raise conflict("name_taken", say("There is a schedule of this name already.")) from error

"""Runs what schedules owe: claimed, done by its action, and written down."""

import logging
from time import monotonic
from zoneinfo import ZoneInfo

from core.errors import Refused
from core.schedules import services
from core.schedules.actions import Planned, action
from core.schedules.models import Schedule
from words import join, say

logger = logging.getLogger(__name__)


def run_schedule(pk: int) -> None:
    """Run one that is owed; the row decides whether this message still holds."""
    schedule = services.claim(pk)
    if schedule is None:
        return
    begun = monotonic()
    result, error = _done(schedule)
    services.ended(schedule, result=result, error=error, seconds=monotonic() - begun)


def _done(schedule: Schedule) -> tuple[str, str]:
    """(what it did, why it did not)"""
    assert schedule.planned_at is not None
    planned = Planned(schedule.workspace, schedule.arguments, schedule.planned_at, ZoneInfo(schedule.time_zone))
    try:
        return action(schedule.action).run(planned), ""
    except Refused as refused:
        return "", join([refused.message, refused.hint])
    except Exception:
        # whatever an action meets, the others must go on and people must see that this one did not
        logger.exception("schedule %s failed", schedule.pk)
        return "", say("It failed unexpectedly. The log of the workers tells why.")

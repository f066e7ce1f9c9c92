"""Cron expressions of five fields in a time zone: when is next, when was last, and how people say it.

Daylight saving as Debian's cron has it (the library's rule): a time that a day skips runs as soon as the clock has jumped, one
that a day has twice runs the first time; expressions that begin with a star in minute or hour follow the real clock.
"""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext as _

from core.errors import Refused
from words import say

LONGEST = 100
_TIMES = re.compile(r"[0-9]{1,2}(,[0-9]{1,2}){0,5}")


def check(expression: str, zone: ZoneInfo, now: datetime) -> str:
    """The expression with single spaces; Refused when it is none, or its time never comes."""
    tidy = " ".join(expression.split())
    if len(tidy) > LONGEST or len(tidy.split(" ")) != 5:
        raise _bad()
    try:
        next_after(tidy, zone, now)
    except (CronSimError, StopIteration) as error:
        raise _bad() from error
    return tidy


def _bad() -> Refused:
    return Refused(
        "bad_cron",
        say("This is no cron expression whose time ever comes."),
        field="expression",
        hint=say("Write minute, hour, day of month, month and day of week, for example 0 8 * * 1-5."),
    )


def next_after(expression: str, zone: ZoneInfo, moment: datetime) -> datetime:
    """The first time after `moment`. Within an hour that a day has twice the library counts by the face of the clock, and
    may tell a time that is over."""
    return next(found for found in CronSim(expression, moment.astimezone(zone)) if _utc(found) > _utc(moment))


def last_until(expression: str, zone: ZoneInfo, due: datetime, now: datetime) -> datetime:
    """The last time from `due`, which is one of them, until `now`: after a long pause the newest, not all in between."""
    minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return max(_utc(next(CronSim(expression, minute.astimezone(zone), reverse=True))), _utc(due))


def _utc(moment: datetime) -> datetime:
    """Times of one zone compare by the face of the clock; in UTC they compare as they come."""
    return moment.astimezone(UTC)


def described(expression: str) -> str:
    """In words of the moment's language; an expression that is no plain habit is told as it is written."""
    as_written = _("At times of “{expression}”").format(expression=expression)
    if len(expression.split(" ")) != 5:
        return as_written
    minute, hour, day, month, weekday = expression.split(" ")
    if month == "*" and day == "*" and weekday == "*":
        if hour == "*" and (found := re.fullmatch(r"\*/([0-9]{1,2})", minute)):
            return _("Every {count} minutes").format(count=int(found[1]))
        if hour == "*" and minute.isdigit():
            return _("Every hour at minute {minute}").format(minute=int(minute))
    if not (minute.isdigit() and _TIMES.fullmatch(hour)) or month != "*":
        return as_written
    times = _(", ").join(f"{int(each):02}:{int(minute):02}" for each in hour.split(","))
    return _days(day, weekday, times) or as_written


def _days(day: str, weekday: str, times: str) -> str:
    """On which days at these times; empty where it takes more words."""
    if day == "*" and weekday == "*":
        return _("Every day at {times}").format(times=times)
    if day == "*" and weekday.upper() in {"1-5", "MON-FRI"}:
        return _("Monday to Friday at {times}").format(times=times)
    if day == "*" and re.fullmatch(r"[0-7](,[0-7])*", weekday):
        names = _(", ").join(str(WEEKDAYS[(int(each) - 1) % 7]) for each in weekday.split(","))
        return _("Every {days} at {times}").format(days=names, times=times)
    if weekday == "*" and re.fullmatch(r"[0-9]{1,2}(,[0-9]{1,2})*", day):
        return _("Every month on day {days} at {times}").format(days=day.replace(",", _(", ")), times=times)
    if weekday == "*" and day.upper() == "L":
        return _("Every month on its last day at {times}").format(times=times)
    return ""

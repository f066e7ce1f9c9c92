"""When nobody is to be told: weekly times in the time zone of a monitor."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
MOST_TIMES = 20


def is_mute_time(value: Any) -> bool:
    """Whether a value names a weekly time: {"days": [0..6], "begin": "18:00", "end": "08:00"}, Monday being 0."""
    if not isinstance(value, Mapping) or set(value) != {"days", "begin", "end"}:
        return False
    days = value["days"]
    fit = isinstance(days, list) and days and all(type(day) is int and 0 <= day <= 6 for day in days)
    clocks = [value["begin"], value["end"]]
    return bool(fit) and all(isinstance(one, str) and CLOCK.fullmatch(one) for one in clocks) and len(set(clocks)) == 2


def is_muted(times: Sequence[Mapping[str, Any]], now: datetime, zone: str) -> bool:
    """Whether `now` lies in one of the times; one that ends before it begins goes on into the next day."""
    local = now.astimezone(ZoneInfo(zone))
    clock, day = local.time(), local.weekday()
    return any(_holds(each, day, clock) for each in times)


def _holds(each: Mapping[str, Any], day: int, clock: time) -> bool:
    begin, end = time.fromisoformat(each["begin"]), time.fromisoformat(each["end"])
    if begin < end:
        return day in each["days"] and begin <= clock < end
    return (day in each["days"] and clock >= begin) or ((day - 1) % 7 in each["days"] and clock < end)

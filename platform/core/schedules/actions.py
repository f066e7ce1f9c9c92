"""What a schedule may do: the installation's table of actions, which settings name and rooms define."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from core.errors import Refused
from words import say

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Planned:
    """One run: for whom, with what, the time it was planned for, and the zone in which that time is meant."""

    workspace: Any
    arguments: Arguments
    at: datetime
    zone: ZoneInfo


@dataclass(frozen=True)
class Action:
    """Something that schedules may do. It may be run twice for one planned time, and must then do nothing new."""

    title: str | Promise
    permission: str  # that whoever sets up a schedule of it must hold
    check: Callable[[Any, Arguments], dict[str, Any]]  # (workspace, arguments) -> the arguments to keep; Refused
    run: Callable[[Planned], str]  # -> what it did, one sentence; Refused with one when it could not
    page: Callable[[Arguments], str]  # path below the workspace of what it is about


def action(name: str) -> Action:
    """The action of a name; Refused when the table has none."""
    if name not in settings.SCHEDULE_ACTIONS:
        raise Refused("unknown_action", say("There is no such action."), field="action")
    found: Action = import_string(settings.SCHEDULE_ACTIONS[name])
    return found


def names() -> list[str]:
    """Names of all actions."""
    return sorted(settings.SCHEDULE_ACTIONS)

"""Schedules as people set them up: with the permission of their action, and with an entry in the trail."""

from typing import Any

from apps.accounts.services import audit
from core.access import Actor, require
from core.schedules import services
from core.schedules.actions import action
from core.schedules.models import Schedule

TOLD = ("name", "action", "arguments", "expression", "time_zone", "is_enabled")


def create(*, actor: Actor, action_name: str, **columns: Any) -> Schedule:
    """A schedule that runs from now on."""
    require(actor, action(action_name).permission)
    made = services.create(workspace=actor.workspace, by=actor.user, action_name=action_name, **columns)
    audit(actor=actor, action="schedule.create", obj=made, after={name: getattr(made, name) for name in TOLD})
    return made


def change(*, actor: Actor, schedule: Schedule, **columns: Any) -> Schedule:
    """Change what is given."""
    require(actor, action(schedule.action).permission)
    found, before = services.change(schedule=schedule, **columns)
    if before:
        after = {name: getattr(found, name) for name in before}
        audit(actor=actor, action="schedule.change", obj=found, before=before, after=after)
    return found


def run_now(*, actor: Actor, schedule: Schedule) -> None:
    """As soon as a worker is free."""
    require(actor, action(schedule.action).permission)
    services.run_now(schedule=schedule)
    audit(actor=actor, action="schedule.run", obj=schedule)


def delete(*, actor: Actor, schedule: Schedule) -> None:
    """Take a schedule away."""
    require(actor, action(schedule.action).permission)
    audit(actor=actor, action="schedule.delete", obj=schedule, before={name: getattr(schedule, name) for name in TOLD})
    schedule.delete()

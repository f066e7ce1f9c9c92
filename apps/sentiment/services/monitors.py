"""Monitors: made, changed and taken away, each with an entry in the trail."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts.services import audit
from apps.registry.models import Task
from apps.registry.selectors import resolve_version
from apps.sentiment.models import Monitor
from apps.sentiment.services.scoring import score_again
from core.access import Actor
from core.errors import Refused, conflict
from core.requests import zones
from words import say

FIELDS = (
    "name",
    "description",
    "time_zone",
    "sentiment_model",
    "negative_label",
    "positive_label",
    "abstain_below",
    "body_days",
)
READS = ("sentiment_model", "negative_label", "positive_label", "abstain_below")  # what decides how an article is meant


@transaction.atomic
def create_monitor(*, actor: Actor, **columns: Any) -> Monitor:
    """A monitor of the workspace; its sources come next."""
    monitor = Monitor(workspace=actor.workspace, created_by=actor.user)
    _set(monitor, columns)
    _save(monitor)
    audit(actor=actor, action="monitor.create", obj=monitor, after=_told(monitor, FIELDS))
    return monitor


@transaction.atomic
def change_monitor(*, actor: Actor, monitor: Monitor, **columns: Any) -> Monitor:
    """Change what is given. Articles that wait are read by what is named now; those that were scored keep their scores."""
    found = Monitor.objects.select_for_update().get(pk=monitor.pk)
    before = _told(found, FIELDS)
    _set(found, columns)
    changed = [name for name in FIELDS if getattr(found, name) != before[name]]
    if not changed:
        return found
    if set(changed) & set(READS):
        found.scoring_error = ""
    _save(found)
    if "sentiment_model" in changed and not before["sentiment_model"]:
        score_again(found, only_never=True)
    audit(
        actor=actor,
        action="monitor.change",
        obj=found,
        before={name: before[name] for name in changed},
        after=_told(found, changed),
    )
    return found


@transaction.atomic
def delete_monitor(*, actor: Actor, monitor: Monitor) -> None:
    """With its sources, articles and figures."""
    audit(actor=actor, action="monitor.delete", obj=monitor, before=_told(monitor, FIELDS))
    monitor.delete()


def _set(monitor: Monitor, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(monitor, name, value)
    if monitor.time_zone not in zones():
        raise Refused("unknown_time_zone", say("There is no such time zone."), field="time_zone")
    if not 0 <= monitor.abstain_below <= 1:
        raise Refused("bad_share", say("Give a number from 0 to 1."), field="abstain_below")
    if monitor.sentiment_model:
        version = resolve_version(monitor.workspace, monitor.sentiment_model)
        if version.task != Task.CLASSIFICATION:
            raise Refused(
                "not_a_classifier",
                say("The version “{version}” does not label texts.", version=version),
                field="sentiment_model",
            )


def _save(monitor: Monitor) -> None:
    try:
        with transaction.atomic():
            monitor.save()
    except IntegrityError as error:
        raise conflict("name_taken", say("There is a monitor of this name already.")) from error


def _told(monitor: Monitor, names: Any) -> dict[str, Any]:
    return {name: getattr(monitor, name) for name in names}

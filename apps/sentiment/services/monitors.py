"""Monitors: made, changed and taken away, each with an entry in the trail."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts.models import Membership, User
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
    "target_model",
    "topic_models",
    "topic_threshold",
    "link_threshold",
    "body_days",
    "is_restricted",
)
READS = (
    "sentiment_model",
    "target_model",
    "topic_models",
    "negative_label",
    "positive_label",
    "abstain_below",
)  # what decides how an article is meant
MODELS = ("sentiment_model", "target_model", "topic_models")
MOST_TOPIC_MODELS = 8


@transaction.atomic
def create_monitor(*, actor: Actor, members: Iterable[User] | None = None, **columns: Any) -> Monitor:
    """A monitor of the workspace; its sources come next. `members`: who sees it where it is not open to the workspace."""
    monitor = Monitor(workspace=actor.workspace, created_by=actor.user)
    _set(monitor, columns)
    _save(monitor)
    named = _name(monitor, members)
    audit(actor=actor, action="monitor.create", obj=monitor, after={**_told(monitor, FIELDS), **named})
    return monitor


@transaction.atomic
def change_monitor(*, actor: Actor, monitor: Monitor, members: Iterable[User] | None = None, **columns: Any) -> Monitor:
    """Change what is given. Articles that wait are read by what is named now; those that were scored keep their scores."""
    found = Monitor.objects.select_for_update().get(pk=monitor.pk)
    before, was_read = _told(found, FIELDS), found.is_read
    _set(found, columns)
    changed = [name for name in FIELDS if getattr(found, name) != before[name]]
    named = _name(found, members)
    if not changed and not named:
        return found
    if set(changed) & set(READS):
        found.scoring_error = ""
    _save(found)
    if found.is_read and not was_read:
        score_again(found, only_never=True)
    audit(
        actor=actor,
        action="monitor.change",
        obj=found,
        before={name: before[name] for name in changed},
        after={**_told(found, changed), **named},
    )
    return found


@transaction.atomic
def delete_monitor(*, actor: Actor, monitor: Monitor) -> None:
    """With its sources, articles and figures."""
    audit(actor=actor, action="monitor.delete", obj=monitor, before=_told(monitor, FIELDS))
    monitor.delete()


def _name(monitor: Monitor, members: Iterable[User] | None) -> dict[str, Any]:
    """Set who sees a monitor; what the trail says of it, empty where nothing changed."""
    if members is None:
        return {}
    wanted = {user.pk: user for user in members}
    if wanted.keys() == set(monitor.members.values_list("pk", flat=True)):
        return {}
    if Membership.objects.filter(workspace=monitor.workspace_id, user__in=wanted).count() < len(wanted):
        raise Refused("unknown_person", say("Nobody of this name is in the workspace."), field="members")
    monitor.members.set(wanted.values())
    return {"members": sorted(user.email for user in wanted.values())}


def _set(monitor: Monitor, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(monitor, name, value)
    if monitor.time_zone not in zones():
        raise Refused("unknown_time_zone", say("There is no such time zone."), field="time_zone")
    for name in ("abstain_below", "topic_threshold", "link_threshold"):
        if not 0 <= getattr(monitor, name) <= 1:
            raise Refused("bad_share", say("Give a number from 0 to 1."), field=name)
    monitor.topic_models = list(dict.fromkeys(name.strip() for name in monitor.topic_models if name.strip()))
    if len(monitor.topic_models) > MOST_TOPIC_MODELS:
        raise Refused(
            "too_many_models", say("Name at most {most} versions.", most=MOST_TOPIC_MODELS), field="topic_models"
        )
    for field in MODELS:
        named = getattr(monitor, field)
        for reference in [named] if isinstance(named, str) else named:
            if reference and field in columns:
                _labels_texts(monitor, reference, field)


def _labels_texts(monitor: Monitor, reference: str, field: str) -> None:
    version = resolve_version(monitor.workspace, reference)
    if version.task != Task.CLASSIFICATION:
        said = say("The version “{version}” does not label texts.", version=version)
        raise Refused("not_a_classifier", said, field=field)


def _save(monitor: Monitor) -> None:
    try:
        with transaction.atomic():
            monitor.save()
    except IntegrityError as error:
        raise conflict("name_taken", say("There is a monitor of this name already.")) from error


def _told(monitor: Monitor, names: Any) -> dict[str, Any]:
    return {name: getattr(monitor, name) for name in names}

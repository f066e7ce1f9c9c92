"""What people do with alerts: acknowledge, assign, note, close, and say whether they were of use."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import audit
from apps.notifications.services import notify
from apps.sentiment.alerting.course import FIRING, PENDING, RESOLVED
from apps.sentiment.models import Alert, AlertEvent, Usefulness
from apps.sentiment.selectors_alerts import people_of
from core.access import Actor
from core.errors import Refused, conflict
from words import say

LONGEST_NOTE = 500


@transaction.atomic
def acknowledge(*, actor: Actor, alert: Alert) -> Alert:
    """Somebody has seen it: it is told no more until it is over. Whoever is first stays named."""
    now = timezone.now()
    found = Alert.objects.filter(pk=alert.pk, acknowledged_at=None).update(
        acknowledged_at=now, acknowledged_by=actor.user
    )
    if found:
        _step(actor, alert, AlertEvent.Kind.ACKNOWLEDGED)
    alert.refresh_from_db()
    return alert


@transaction.atomic
def assign(*, actor: Actor, alert: Alert, user: User | None) -> Alert:
    """Make one person who sees the monitor answer for it, or nobody; they are told."""
    if user is not None and not people_of(alert.monitor).filter(pk=user.pk).exists():
        raise Refused("unknown_person", say("Nobody of this name sees the monitor."), field="user")
    changed = Alert.objects.filter(pk=alert.pk).exclude(assigned_to=user).update(assigned_to=user)
    if changed:
        made = _step(actor, alert, AlertEvent.Kind.ASSIGNED, str(user or ""))
        if user is not None and user != actor.user:
            notify(
                workspace=actor.workspace, user=user, kind="alert.assigned", event_key=f"alert-assigned-{made.pk}",
                title=say("Assigned to you: {name}", name=str(alert)), page=f"monitors/alerts/{alert.pk}",
            )  # fmt: skip
    alert.refresh_from_db()
    return alert


@transaction.atomic
def note(*, actor: Actor, alert: Alert, text: str) -> AlertEvent:
    """Add a note to an alert's life."""
    if not text.strip():
        raise Refused("empty", say("Write a few words."), field="text")
    return _step(actor, alert, AlertEvent.Kind.NOTED, text.strip()[:LONGEST_NOTE])


@transaction.atomic
def close(*, actor: Actor, alert: Alert) -> Alert:
    """It is over for people. While the rule goes on to hold without a break, no new alert of it is opened."""
    now = timezone.now()
    if not Alert.objects.filter(pk=alert.pk, state=FIRING).update(
        state=RESOLVED, resolved_at=now, resolved_by=actor.user
    ):
        waits = alert.state == PENDING
        message = say("It does not fire yet.") if waits else say("It is over already.")
        raise conflict("not_firing", message)
    _step(actor, alert, AlertEvent.Kind.RESOLVED)
    alert.refresh_from_db()
    return alert


@transaction.atomic
def judge(*, actor: Actor, alert: Alert, usefulness: str) -> Alert:
    """Say whether it was of use; the last word counts."""
    if usefulness not in Usefulness.values:
        raise Refused("bad_choice", say("This is not one of the choices."), field="usefulness")
    if alert.fired_at is None:
        raise conflict("not_firing", say("It does not fire yet."))
    changed = Alert.objects.filter(pk=alert.pk).exclude(usefulness=usefulness)
    if changed.update(usefulness=usefulness, judged_by=actor.user, judged_at=timezone.now()):
        _step(actor, alert, AlertEvent.Kind.JUDGED, usefulness)
    alert.refresh_from_db()
    return alert


def _step(actor: Actor, alert: Alert, kind: Any, detail: str = "") -> AlertEvent:
    audit(actor=actor, action=f"alert.{kind.value}", obj=alert, detail=detail)
    return AlertEvent.objects.create(alert=alert, kind=kind, by=actor.user, detail=detail)

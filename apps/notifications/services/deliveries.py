"""Deliveries: claimed by one sender, tried until they arrive or cannot, and sent again when somebody asks for it."""

import logging
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts.services import audit
from apps.notifications.channels import CHANNELS, NotDelivered
from apps.notifications.models import MAX_ATTEMPTS, Delivery, Dispatch, Notice
from apps.notifications.models.deliveries import LONGEST_WAIT, SENDER_DEAD_AFTER, pause_after
from apps.notifications.selectors import due_delivery_ids
from apps.notifications.services.waking import wake
from core.access import Actor
from core.errors import conflict
from core.redaction import redacted
from words import say

logger = logging.getLogger(__name__)

READ_KEPT = timedelta(days=90)
UNREAD_KEPT = timedelta(days=365)
SENT_KEPT = timedelta(days=90)


def deliver(*, delivery_id: int) -> Delivery | None:
    """Try one delivery; None when there is nothing to do (sent, not due, or in another worker's hands).

    A sender that dies between the channel's answer and its row is followed by another: then the same message, under the
    same id, may arrive a second time. It is never lost.
    """
    now = timezone.now()
    due = Delivery.objects.filter(pk=delivery_id, state__in=["waiting", "sending"], next_try_at__lte=now)
    if not due.update(
        state=Delivery.State.SENDING, attempt_count=F("attempt_count") + 1, next_try_at=now + SENDER_DEAD_AFTER
    ):
        return None
    rows = Delivery.objects.select_related("notice__user", "notice__workspace", "dispatch__receiver__workspace")
    delivery = rows.get(pk=delivery_id)
    if delivery.attempt_count > delivery.attempt_limit:  # the last sender died without an answer
        error = delivery.last_error or say("Whoever sent it did not come back.")
        return _move(delivery, state=Delivery.State.FAILED, last_error=error)
    begun = monotonic()
    try:
        outcome = CHANNELS[delivery.channel](delivery)
    except NotDelivered as failure:
        return _failed(delivery, failure, monotonic() - begun)
    return _move(
        delivery,
        state=Delivery.State.SENT,
        sent_at=timezone.now(),
        last_error="",
        status=outcome.status,
        answer=redacted(outcome.answer),
        seconds=monotonic() - begun,
    )


def deliver_due() -> list[int]:
    """Wake workers for deliveries whose time has come; returns their ids."""
    ids = due_delivery_ids()
    for pk in ids:
        wake(pk)
    return ids


@transaction.atomic
def resend(*, actor: Actor, delivery: Delivery) -> Delivery:
    """Send a delivery that ended once more, under the same id, with all its attempts before it."""
    ended = Delivery.objects.filter(pk=delivery.pk, state__in=["sent", "failed"])
    moved = ended.update(
        state=Delivery.State.WAITING,
        attempt_limit=F("attempt_count") + MAX_ATTEMPTS,
        next_try_at=timezone.now(),
        sent_at=None,
    )
    if not moved:
        raise conflict("still_waiting", say("It is on its way already."))
    assert delivery.dispatch is not None
    audit(actor=actor, action="receiver.resend", obj=delivery.dispatch.receiver, delivery=delivery.pk)
    wake(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def _failed(delivery: Delivery, failure: NotDelivered, seconds: float) -> Delivery:
    """Wait longer each time, and as long as the other side asks; give up at once where trying again cannot help."""
    logger.warning("delivery %s, attempt %s: %s", delivery.pk, delivery.attempt_count, redacted(str(failure.reason)))
    told = {
        "last_error": redacted(failure.reason),
        "status": failure.status,
        "answer": redacted(failure.answer),
        "seconds": seconds,
    }
    if failure.is_final or delivery.attempt_count >= delivery.attempt_limit:
        return _move(delivery, state=Delivery.State.FAILED, **told)
    tried = delivery.attempt_count - (delivery.attempt_limit - MAX_ATTEMPTS)  # since it was last sent by hand
    pause = max(pause_after(tried), min(timedelta(seconds=failure.wait_seconds), LONGEST_WAIT))
    return _move(delivery, state=Delivery.State.WAITING, next_try_at=timezone.now() + pause, **told)


def _move(delivery: Delivery, **columns: Any) -> Delivery:
    """Write what came of an attempt, unless a later one has begun."""
    for name, value in columns.items():
        setattr(delivery, name, value)
    Delivery.objects.filter(pk=delivery.pk, attempt_count=delivery.attempt_count).update(**columns)
    return delivery


def apply_retention() -> int:
    """Notices go 90 days after they were read, and after a year in any case, messages 90 days after they were sent.

    Returns how many notices went.
    """
    now = timezone.now()
    Dispatch.objects.filter(created_at__lt=now - SENT_KEPT).delete()
    due = Notice.objects.filter(Q(read_at__lt=now - READ_KEPT) | Q(created_at__lt=now - UNREAD_KEPT))
    return due.delete()[1].get(Notice._meta.label, 0)

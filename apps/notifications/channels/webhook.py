"""Webhooks: JSON that is signed as the Standard Webhooks specification says, over id, time and body."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.notifications.channels.outcome import NotDelivered, Outcome, first_words, judged, not_reached
from apps.notifications.models import Delivery, Dispatch, Receiver
from apps.notifications.wording import Worded, worded
from core import outbound
from core.errors import Refused
from core.webhooks import sign
from words import say, spoken

READ_SECONDS = 15.0


def bring(delivery: Delivery) -> Outcome:
    """Post it; redirects are not followed, so that a body reaches nobody who was not named."""
    dispatch = delivery.dispatch
    assert dispatch is not None
    receiver, now = dispatch.receiver, timezone.now()
    if not receiver.url:
        raise address_lost()
    body = json.dumps(body_of(dispatch, worded(dispatch, receiver)), ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", **signed(delivery, receiver, body, now)}
    try:
        with outbound.request(receiver.url, method="POST", headers=headers, body=body, read_seconds=READ_SECONDS) as (
            response,
            _address,
        ):
            wait = outbound.retry_seconds(response.headers.get("Retry-After", ""), now)
            return judged(response.status, first_words(response), wait)
    except Refused as refused:
        raise not_reached(refused) from refused


def address_lost() -> NotDelivered:
    """The sealed address cannot be opened any more."""
    return NotDelivered(
        say("The address of this receiver can no longer be read: the installation's key has changed. Give it again."),
        is_final=True,
    )


def body_of(dispatch: Dispatch, words: Worded) -> dict[str, Any]:
    """What is posted, as plain JSON."""
    return {
        "id": identity(dispatch),
        "kind": dispatch.kind,
        "event": dispatch.event_key,
        "severity": dispatch.severity,
        "title": words.title,
        "text": words.body,
        "facts": [{"name": name, "value": value} for name, value in words.facts],
        "url": words.link,
        "workspace": dispatch.receiver.workspace.slug,
        "created_at": dispatch.created_at.isoformat(),
        "data": spoken(dispatch.content.get("payload", {})),
    }


def identity(dispatch: Dispatch) -> str:
    """The same at every attempt, so that a repetition can be dropped."""
    return f"msg_{dispatch.pk}"


def signed(delivery: Delivery, receiver: Receiver, body: bytes, now: datetime) -> dict[str, str]:
    """webhook-id, webhook-timestamp and webhook-signature; two signatures for as long as the old secret counts."""
    assert delivery.dispatch is not None
    number, at = identity(delivery.dispatch), str(int(now.timestamp()))
    return {
        "webhook-id": number,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(sign(secret, number, at, body) for secret in secrets_of(receiver, now)),
        "Lingxi-Attempt": str(delivery.attempt_count),
    }


def secrets_of(receiver: Receiver, now: datetime) -> Sequence[str]:
    """The secret, and the one before it for a while."""
    is_kept = receiver.previous_secret and receiver.previous_until and receiver.previous_until > now
    return [receiver.secret, receiver.previous_secret] if is_kept else [receiver.secret]

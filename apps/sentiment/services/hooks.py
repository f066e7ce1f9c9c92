"""Signed webhooks of sources: their address, their secret, and each message taken once."""

import hashlib
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.sentiment.models import Source, SourceKind
from core.access import Actor
from core.api.idempotency import IdempotencyKey
from core.errors import Refused, conflict
from core.webhooks import is_signed, new_secret
from words import say

OVERLAP = timedelta(hours=24)  # that an old secret counts beside the new one
AT_WORK = timedelta(minutes=5)


def new_address() -> str:
    """The last part of a webhook's address; it finds the source and proves nothing."""
    return secrets.token_urlsafe(18)


@transaction.atomic
def rotate_hook_secret(*, actor: Actor, source: Source) -> str:
    """Another secret, shown this once; the old one counts beside it for a day."""
    found = Source.objects.select_for_update().get(pk=source.pk)
    if found.kind != SourceKind.WEBHOOK:
        raise conflict("no_secret", say("Only webhooks are signed."))
    now = timezone.now()
    found.previous_secret, found.previous_until = found.secret, now + OVERLAP if found.secret else None
    found.secret = secret = new_secret()
    found.save(update_fields=["secret", "previous_secret", "previous_until"])
    audit(actor=actor, action="source.secret", obj=found)
    return secret


def require_signed(source: Source, *, number: str, at: str, signatures: str, body: bytes) -> None:
    """Refused (401) unless the body is signed by one of the source's secrets and fresh."""
    now = timezone.now()
    is_kept = source.previous_until is not None and source.previous_until > now
    keys = [source.secret, source.previous_secret if is_kept else ""]
    if not is_signed(keys, number=number, at=at, body=body, signatures=signatures, now=now):
        raise Refused(
            "bad_signature",
            say("The signature is not of this body, its secret is old, or its time is more than five minutes away."),
            status=401,
        )


def taken_once(
    source: Source, number: str, body: bytes, take: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], bool]:
    """(what `take` answers to the message of this id, whether it did so before); other content under an id is refused."""
    digest = hashlib.sha256(body).hexdigest()
    key = f"hook/{source.pk}/{hashlib.sha256(number.encode()).hexdigest()}"
    row, is_new = IdempotencyKey.objects.get_or_create(
        workspace=source.monitor.workspace, key=key, defaults={"fingerprint": digest}
    )
    if row.fingerprint != digest:
        raise conflict("id_again", say("A message of this id came before with other content."))
    if row.status is not None:
        return dict(row.body or {}), True
    if not is_new and timezone.now() - row.created_at < AT_WORK:
        raise conflict("in_progress", say("This message is being taken at this moment."))
    try:
        found = take()
    except BaseException:
        row.delete()  # nothing that is refused keeps its id
        raise
    IdempotencyKey.objects.filter(pk=row.pk).update(status=207, body=found)
    return found, False

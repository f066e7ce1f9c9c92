"""Idempotency-Key: a create that arrives twice happens once and is answered the same."""

import datetime as dt
import hashlib
import json
from collections.abc import Collection
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Actor
from core.errors import Refused
from words import say

AT_WORK = dt.timedelta(minutes=5)  # no request takes longer; one that did was killed on the way


class IdempotencyKey(models.Model):
    """A key a client sent with a create, and the answer it got."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)  # null while the first request is at work
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key


def begin(request: Request, actor: Actor) -> tuple[IdempotencyKey | None, Response | None]:
    """Claim the request's key. Returns (row to finish, None), (None, earlier answer) or (None, None)."""
    key = request.headers.get("Idempotency-Key", "")
    if request.method != "POST" or not key:
        return None, None
    if len(key) > 200:
        raise Refused("idempotency_key_too_long", say("An Idempotency-Key has at most 200 characters."))
    fingerprint = _fingerprint(request)
    row, made = IdempotencyKey.objects.get_or_create(
        workspace=actor.workspace, key=key, defaults={"fingerprint": fingerprint}
    )
    if made:
        return row, None
    if row.fingerprint != fingerprint:
        raise Refused(
            "idempotency_key_reused",
            say("This Idempotency-Key was sent before with another request. Use a new key."),
        )
    if row.status is None and timezone.now() - row.created_at > AT_WORK:
        raise Refused(
            "idempotency_outcome_unknown",
            say("The first request with this Idempotency-Key ended without an answer; it may have worked."),
            status=409,
            hint=say("Look whether it did. If not, send it again with a new key."),
        )
    if row.status is None:
        raise Refused(
            "idempotency_in_progress",
            say("The first request with this Idempotency-Key is still at work. Try again shortly."),
            status=409,
        )
    return None, Response(row.body, status=row.status, headers={"Idempotency-Replayed": "true"})


def finish(row: IdempotencyKey, response: Response, *, without: Collection[str] = ()) -> None:
    """Keep the answer, `without` the fields that are shown once.

    A server error frees the key for another try, and so does an answer that streams: it is nowhere as a whole.
    """
    if response.status_code >= 500 or response.streaming:
        row.delete()
        return
    row.status = response.status_code
    row.body = json.loads(json.dumps(response.data, default=str))
    for name in without:
        if name in row.body:
            row.body[name] = None
    row.save(update_fields=["status", "body"])


def _fingerprint(request: Request) -> str:
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    data: Any = request.data
    for name, upload in sorted(request.FILES.items()):
        digest.update(f"{name}:{upload.name}:{upload.size}".encode())
    plain = {k: v for k, v in data.items() if k not in request.FILES} if hasattr(data, "items") else data
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    return digest.hexdigest()

"""A create that a client sends again because the first answer got lost happens once.

OpenAI's clients repeat a POST after a lost connection or a timeout and send no Idempotency-Key, but they tell how
often they tried (X-Stainless-Retry-Count). An equal body of the same key counts as the same create when the client
says that it tries again, and, from clients that say nothing, within a few seconds. A first try is always new.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from core.access import Actor
from core.api.idempotency import AT_WORK, IdempotencyKey
from core.errors import conflict
from words import say

TRIED_AGAIN = timedelta(minutes=30)  # the clients wait 10 minutes for an answer, and try twice more
SAID_NOTHING = timedelta(seconds=10)
HEADER = "X-Stainless-Retry-Count"


def begin(
    request: Request, actor: Actor, is_gone: Callable[[Any], bool]
) -> tuple[IdempotencyKey | None, Response | None]:
    """Claim the body. Returns (row to finish, None), or (None, the answer that an equal create got before).

    `is_gone` tells whether what an earlier answer shows was deleted since: then the create is a new one.
    """
    now = timezone.now()
    digest = _digest(request)
    row, made = IdempotencyKey.objects.get_or_create(
        workspace=actor.workspace,
        key=f"body:{actor.key.pk if actor.key else 0}:{digest}",
        defaults={"fingerprint": digest},
    )
    if made:
        return row, None
    window = _window(request)
    if row.status is None and now - row.created_at < min(window, AT_WORK):
        raise conflict("idempotency_in_progress", say("The first of two equal requests is still at work. Try again."))
    if row.status is not None and now - row.created_at < window and not is_gone(row.body):
        return None, Response(row.body, status=row.status, headers={"Idempotency-Replayed": "true"})
    taken = IdempotencyKey.objects.filter(pk=row.pk, created_at=row.created_at)
    if not taken.update(created_at=now, status=None, body=None):
        raise conflict("idempotency_in_progress", say("The first of two equal requests is still at work. Try again."))
    return row, None


def finish(row: IdempotencyKey, response: Response) -> None:
    """Keep a good answer for whoever asks again; an error may be asked for anew at once."""
    if 200 <= response.status_code < 300:
        body = json.loads(json.dumps(response.data, default=str))
        IdempotencyKey.objects.filter(pk=row.pk).update(status=response.status_code, body=body)
    else:
        row.delete()


def _window(request: Request) -> timedelta:
    tries = request.headers.get(HEADER, "")
    if not tries:
        return SAID_NOTHING
    return TRIED_AGAIN if tries.strip("0") else timedelta(0)


def _digest(request: Request) -> str:
    """Path, fields, and files by their content."""
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode())
    data: Any = request.data
    plain = (
        {name: value for name, value in data.items() if name not in request.FILES} if hasattr(data, "items") else data
    )
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    for name, upload in sorted(request.FILES.items()):
        digest.update(f"\n{name}:{upload.name}:{upload.size}\n".encode())
        for piece in upload.chunks(1 << 20):
            digest.update(piece)
        upload.seek(0)
    return digest.hexdigest()

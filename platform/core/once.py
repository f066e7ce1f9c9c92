"""A form that arrives twice (a double click, Enter pressed again, a second tab) starts its work once."""

import hashlib
import json
import time
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import PageRequest, View
from core.api.idempotency import IdempotencyKey
from core.errors import conflict

WAIT_SECONDS = 10.0  # how long the second of two equal forms waits for the first
LOOK_SECONDS = 0.1


def once(seconds: float = 10.0) -> Callable[[View], View]:
    """Decorate a page's view, below @page: an equal form of the same person within `seconds` makes nothing new.

    It is led to where the first one was led. A form that was answered with errors may be sent again at once.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapped(request: PageRequest, **kwargs: Any) -> HttpResponseBase:
            if request.method != "POST":
                return view(request, **kwargs)
            row = _claim(request, seconds)
            if row.body:
                messages.info(request, _("You sent this a moment ago. This is what it started."))
                return redirect(row.body["location"])
            try:
                response = view(request, **kwargs)
            except BaseException:
                row.delete()
                raise
            return _kept(row, response)

        return wrapped

    return decorate


def _claim(request: PageRequest, seconds: float) -> IdempotencyKey:
    """A row that is ours to finish, or one with the place the first form was led to."""
    digest = _digest(request)
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        row, made = IdempotencyKey.objects.get_or_create(
            workspace=request.actor.workspace, key=f"page:{digest}", defaults={"fingerprint": digest}
        )
        if made or _taken_over(row, seconds) or row.body:
            return row
        time.sleep(LOOK_SECONDS)
    raise conflict("still_at_work", _("The same form is still at work. Look again in a moment."))


def _taken_over(row: IdempotencyKey, seconds: float) -> bool:
    """Whether the row was too old to count and is now ours."""
    now = timezone.now()
    old = Q(pk=row.pk, created_at=row.created_at, created_at__lt=now - timedelta(seconds=seconds))
    if not IdempotencyKey.objects.filter(old).update(created_at=now, status=None, body=None):
        return False
    row.body = None
    return True


def _kept(row: IdempotencyKey, response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, HttpResponse) and response.status_code == 302:
        row.status, row.body = 302, {"location": response["Location"]}
        row.save(update_fields=["status", "body"])
    else:
        row.delete()
    return response


def _digest(request: PageRequest) -> str:
    """Who sends what to where."""
    digest = hashlib.sha256(f"{request.user.pk} {request.get_full_path()}\n".encode())
    fields = {name: values for name, values in request.POST.lists() if name != "csrfmiddlewaretoken"}
    digest.update(json.dumps(fields, sort_keys=True).encode())
    for name, uploads in sorted(request.FILES.lists()):
        digest.update(json.dumps([name, [(upload.name, upload.size) for upload in uploads]]).encode())
    return digest.hexdigest()

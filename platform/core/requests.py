"""Middleware of every request: an id, the person's time zone, and refusals as answers."""

import logging
import re
import uuid
import zoneinfo
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from os import SEEK_END

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from core.errors import Refused
from core.storage import disk_full, for_want_of_space

Handler = Callable[[HttpRequest], HttpResponse]
logger = logging.getLogger(__name__)

_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


class RequestIdMiddleware:
    """Give every request an id (taken from X-Request-Id when it is sane) and return it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-Id", "")
        request.request_id = given if _ID.match(given) else uuid.uuid4().hex  # type: ignore[attr-defined]
        response = self.handler(request)
        response["X-Request-Id"] = request.request_id  # type: ignore[attr-defined]
        return response


class NotBusy(logging.Filter):
    """Who is told to wait (503) has met no error of ours, and thousands may be told within a minute."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", 0) != HTTPStatus.SERVICE_UNAVAILABLE


class BodyLengthMiddleware:
    """Say how long a body is that was sent in chunks: Django and DRF take a body without a length for none."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if isinstance(request, ASGIRequest) and "Content-Length" not in request.headers:
            body = request._stream  # all of it: the handler has received and kept it
            if body.seekable():  # what a test's client sends is not
                request.META["CONTENT_LENGTH"] = str(body.seek(0, SEEK_END))
                body.seek(0)
        return self.handler(request)


class TimeZoneMiddleware:
    """Show times in the person's own zone."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = getattr(request.user, "time_zone", "")
        if name in zones():
            with timezone.override(zoneinfo.ZoneInfo(name)):
                return self.handler(request)
        return self.handler(request)


@cache
def zones() -> frozenset[str]:
    """The names of all time zones; finding them walks through a folder of hundreds of files."""
    return frozenset(zoneinfo.available_timezones())


class RefusedMiddleware:
    """Turn a refusal that no view caught into a page (or an htmx part) that says what to do."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.handler(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a Refused, and a full disk like one; leave the rest to Django."""
        if for_want_of_space(error):
            error = disk_full()
        if not isinstance(error, Refused):
            return None
        htmx = bool(getattr(request, "htmx", False))
        template = "core/_refused.html" if htmx else "core/refused.html"
        response = render(request, template, {"refused": error}, status=error.status)
        if error.wait_seconds:
            response["Retry-After"] = str(error.wait_seconds)
        if htmx:
            response["HX-Retarget"], response["HX-Reswap"] = "#messages", "beforeend"
        return response

"""Carries the requests that Apprise's plug-ins write by our checked way out, in place of the library they call.

A plug-in's module speaks to `requests`; it gets a session of ours under that name, whose one adapter asks core.outbound.
So every hop is resolved, checked and bounded as all our requests are, and what was answered is kept for the log.
"""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from django.utils import timezone
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse as Raw

from apps.notifications.channels.outcome import KEPT
from core import outbound
from core.errors import Refused

READ_SECONDS = 15.0
MOST_SECONDS = 90.0  # for all requests of one message
MOST_BYTES = 1_000_000  # of an answer


@dataclass
class Trip:
    """What one message met on its way: the last refusal or answer."""

    begun: float = field(default_factory=monotonic)
    refused: Refused | None = None
    status: int | None = None
    answer: str = ""
    wait_seconds: float = 0.0
    request_count: int = 0


_trip: ContextVar[Trip | None] = ContextVar("trip", default=None)


@contextmanager
def carried(plugin: Any) -> Iterator[Trip]:
    """Requests of the plug-in go our way inside the block; outside of it they are refused."""
    module = sys.modules[type(plugin).__module__]
    if not isinstance(module.__dict__.get("requests"), Carrier):
        module.__dict__["requests"] = Carrier()
    trip = Trip()
    token = _trip.set(trip)
    try:
        yield trip
    finally:
        _trip.reset(token)


class Carrier:
    """Stands where a plug-in looks for `requests`."""

    def __getattr__(self, name: str) -> Any:
        if name in {"get", "post", "put", "patch", "delete", "head", "request"}:
            return getattr(_session(), name)
        if name in {"codes", "exceptions", "RequestException", "TooManyRedirects"}:
            return getattr(requests, name)
        raise AttributeError(f"plug-ins may not use requests.{name}")


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy, no .netrc
    session.adapters.clear()
    for begin in ("http://", "https://"):
        session.mount(begin, _Adapter())
    return session


class _Adapter(BaseAdapter):
    def send(self, request: requests.PreparedRequest, *_args: Any, **_options: Any) -> requests.Response:
        """One request by core.outbound; a refusal is a connection that failed."""
        trip = _trip.get()
        if trip is None:
            raise requests.ConnectionError("not now", request=request)
        trip.request_count += 1
        if monotonic() - trip.begun > MOST_SECONDS:
            raise requests.Timeout("the message takes too long", request=request)
        try:
            return _asked(request, trip)
        except Refused as refused:
            trip.refused = refused
            raise requests.ConnectionError(str(refused), request=request) from refused

    def close(self) -> None:
        """Nothing is kept open."""


def _asked(request: requests.PreparedRequest, trip: Trip) -> requests.Response:
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if not isinstance(body, bytes | None):
        raise requests.RequestException("plug-ins send texts only", request=request)
    headers = {str(name): str(value) for name, value in request.headers.items() if name.lower() != "content-length"}
    with outbound.request(
        _bare(request.url or ""), method=request.method or "GET", headers=headers, body=body, read_seconds=READ_SECONDS
    ) as (answer, address):
        data = b"".join(outbound.parts(answer, max_bytes=MOST_BYTES, max_seconds=READ_SECONDS))
        trip.refused, trip.status = None, answer.status
        trip.answer = data[: 4 * KEPT].decode(errors="replace").replace("\x00", "")[:KEPT]
        trip.wait_seconds = outbound.retry_seconds(answer.headers.get("Retry-After", ""), timezone.now())
        return _response(request, address, answer.status, answer.headers.items(), data)


def _bare(url: str) -> str:
    """Without the user and password, which stand in a header by now."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _response(request: requests.PreparedRequest, url: str, status: int, headers: Any, data: bytes) -> requests.Response:
    made = requests.Response()
    made.status_code, made.url, made.request = status, url, request
    made.headers.update(dict(headers))
    made.raw = Raw(body=io.BytesIO(data), status=status, headers=dict(headers), preload_content=False)
    made._content = data
    return made

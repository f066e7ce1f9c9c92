"""Answers that come piece by piece: too long for memory, or not finished yet."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header

from core.errors import Refused
from words import say

CHUNK_BYTES = 1 << 20
WAIT_SECONDS = 5
P = ParamSpec("P")
R = TypeVar("R")


def streamed(pieces: Iterator[str | bytes], *, filename: str, content_type: str) -> StreamingHttpResponse:
    """A download made of `pieces`, sent as they come."""
    return StreamingHttpResponse(
        pieces,
        content_type=content_type,
        headers={
            "Content-Disposition": content_disposition_header(True, filename) or "attachment",
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        },
    )


def streamed_file(
    path: Path, *, filename: str, content_type: str = "application/octet-stream"
) -> StreamingHttpResponse:
    """A file as a download of known length."""
    response = streamed(_chunks(path), filename=filename, content_type=content_type)
    response["Content-Length"] = path.stat().st_size
    return response


def releasing(work: Callable[P, R]) -> Callable[P, R]:
    """`work`, after which its thread holds no database connection.

    Django gives connections back when a response is closed; one that waits for minutes would keep its own.
    """

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        finally:
            _release()

    return done


class StreamMiddleware:
    """The outermost: a response that is still to be sent piece by piece leaves its thread without a connection.

    Not the view, because what lies around it may ask for one again: a session that is saved, for example.

    Django collects a plain iterator whole before it sends the first byte under ASGI; an asynchronous one it sends as it comes.
    """

    def __init__(self, handler: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.handler(request)
        if isinstance(response, StreamingHttpResponse):
            if isinstance(request, ASGIRequest) and not response.is_async:
                response.streaming_content = _one_by_one(iter(response))
            if response.is_async:
                _release()
        return response


def _release() -> None:
    """Give this thread's connections back."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


class _Listeners:
    """How many event streams this process has open. Only the event loop's thread counts."""

    def __init__(self) -> None:
        self.count = 0

    async def counted(self, events: AsyncIterator[str]) -> AsyncIterator[str]:
        self.count += 1
        try:
            async for event in events:
                yield event
        finally:
            self.count -= 1
            if isinstance(events, AsyncGenerator):
                await events.aclose()  # what it has to tidy up is done now, not when it is collected


_listeners = _Listeners()


def need_room() -> None:
    """Refuse (503 `too_many_listeners`) when this process has as many event streams open as it may.

    Whoever only asks is not concerned: the memory and the files of a process are kept for them.
    """
    if _listeners.count >= settings.MOST_LISTENERS:
        said = say("Too many answers are followed at this moment. Try again in a few seconds.")
        raise Refused("too_many_listeners", said, status=503, wait_seconds=WAIT_SECONDS)


def event_stream(events: AsyncIterator[str]) -> StreamingHttpResponse:
    """Server-sent events as they come, past every buffer on the way. The view has asked `need_room` before its work."""
    told = _listeners.counted(events)
    return StreamingHttpResponse(
        told, content_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk


async def _one_by_one(pieces: Iterator[str | bytes]) -> AsyncIterator[str | bytes]:
    def step() -> str | bytes | None:
        return next(pieces, None)

    while (piece := await sync_to_async(step)()) is not None:
        yield piece

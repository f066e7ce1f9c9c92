"""Answers that come piece by piece: too long for memory, or not finished yet."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connections
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

CHUNK_BYTES = 1 << 20
P = ParamSpec("P")
R = TypeVar("R")


def streamed(
    request: HttpRequest, pieces: Iterator[str | bytes], *, filename: str, content_type: str
) -> StreamingHttpResponse:
    """A download made of `pieces`.

    Django collects a plain iterator whole before it sends the first byte under ASGI; an asynchronous one it
    sends as it comes.
    """
    content = _one_by_one(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(
        content,
        content_type=content_type,
        headers={
            "Content-Disposition": content_disposition_header(True, filename) or "attachment",
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        },
    )


def streamed_file(
    request: HttpRequest, path: Path, *, filename: str, content_type: str = "application/octet-stream"
) -> StreamingHttpResponse:
    """A file as a download of known length."""
    response = streamed(request, _chunks(path), filename=filename, content_type=content_type)
    response["Content-Length"] = path.stat().st_size
    return response


def releasing(work: Callable[P, R]) -> Callable[P, R]:
    """`work`, after which its thread holds no database connection.

    Django gives connections back when a response is closed; one that waits or streams for minutes would keep its own.
    """

    @wraps(work)
    def done(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return work(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                if not connection.in_atomic_block:
                    connection.close()

    return done


def event_stream(events: AsyncIterator[str]) -> StreamingHttpResponse:
    """Server-sent events as they come, past every buffer on the way."""
    return StreamingHttpResponse(
        events, content_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
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

"""Answers that are too long for memory, sent piece by piece under ASGI and WSGI alike."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse


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
            "Content-Disposition": f'attachment; filename="{filename}"',
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        },
    )


async def _one_by_one(pieces: Iterator[str | bytes]) -> AsyncIterator[str | bytes]:
    def step() -> str | bytes | None:
        return next(pieces, None)

    while (piece := await sync_to_async(step)()) is not None:
        yield piece

"""Bodies beyond the upload limit are answered with 413 before they fill the disk."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings
from django.utils.html import escape
from django.utils.translation import gettext as _

from core.language import in_language_of_header
from core.openai.shape import error_body

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

FORM_BYTES = 1_000_000  # what a form adds around its file


def limit_bytes() -> int:
    """The largest body of a request."""
    return int(settings.UPLOAD_LIMIT_BYTES) + FORM_BYTES


def sentence() -> str:
    """What to do instead."""
    return _("The file is larger than the limit of %d MB. Compress it with gzip, split it, or give an address.") % (
        settings.UPLOAD_LIMIT_BYTES // 1_000_000
    )


class BodyLimit:
    """Wraps an ASGI application: Django itself would first write any body to disk, however long."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        limit, seen, refused, begun = limit_bytes(), 0, False, False
        if _declared(scope) > limit:
            await _refuse(scope, send)
            return

        async def counted() -> Message:
            nonlocal seen, refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                refused = True
                return {"type": "http.disconnect"}  # Django lets go without an answer; ours comes below
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        await self.application(scope, counted, watched)
        if refused and not begun:
            await _refuse(scope, send)


def _declared(scope: Message) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _accepted(scope: Message) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-language"), "")


async def _refuse(scope: Message, send: Send) -> None:
    with in_language_of_header(_accepted(scope)):
        kind, body = _answer(scope)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answer(scope: Message) -> tuple[bytes, bytes]:
    """Content type and body, in the active language."""
    if str(scope["path"]).startswith("/v1/"):
        told = error_body(413, sentence(), code="upload_too_large", param="file")
        return b"application/json", json.dumps(told, ensure_ascii=False).encode()
    if str(scope["path"]).startswith("/api/"):
        problem = {
            "type": "about:blank",
            "title": _("Too large"),
            "status": 413,
            "code": "upload_too_large",
            "detail": sentence(),
            "request_id": "",
            "errors": [{"code": "upload_too_large", "message": sentence(), "field": "file"}],
        }
        return b"application/problem+json", json.dumps(problem, ensure_ascii=False).encode()
    text = f"<!doctype html><meta charset=utf-8><title>413</title><p>{escape(sentence())}</p>"
    return b"text/html; charset=utf-8", text.encode()

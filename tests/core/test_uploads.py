"""Bodies beyond the limit are refused before Django keeps them, whether or not they say how long they are."""

import asyncio
import json
from typing import Any

import pytest

from core.uploads import BodyLimit, limit_bytes


async def swallow(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads its body as Django does and answers 200."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def ask(path: str, chunks: list[bytes], headers: list[tuple[bytes, bytes]]) -> list[Any]:
    sent: list[Any] = []
    last = len(chunks) - 1
    waiting = [{"type": "http.request", "body": c, "more_body": at < last} for at, c in enumerate(chunks)]

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(BodyLimit(swallow)(scope, receive, send))
    return sent


@pytest.fixture(autouse=True)
def small(settings: Any) -> None:
    settings.UPLOAD_LIMIT_BYTES = 1_000_000


def test_a_body_that_says_it_is_too_long_is_refused_unread() -> None:
    sent = ask("/api/v1/datasets/1/imports", [b"x"], [(b"content-length", b"2000000001")])

    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["code"] == "upload_too_large"


def test_a_body_that_does_not_say_how_long_it_is_is_counted() -> None:
    sent = ask("/w/a/datasets/1/imports/new", [b"x" * 900_000] * 4, [])

    assert sent[0]["status"] == 413
    assert "larger than the limit of 1 MB" in sent[1]["body"].decode()


def test_a_body_within_the_limit_passes() -> None:
    sent = ask("/", [b"x" * (limit_bytes() // 2)] * 2, [(b"content-length", str(limit_bytes()).encode())])

    assert sent[0]["status"] == 200


def test_the_refusal_is_told_in_the_callers_language() -> None:
    length = (b"content-length", b"2000000001")

    sent = ask("/api/v1/datasets/1/imports", [b"x"], [length, (b"accept-language", b"fr, zh-CN;q=0.8, en;q=0.5")])

    assert json.loads(sent[1]["body"])["title"] == "过大"

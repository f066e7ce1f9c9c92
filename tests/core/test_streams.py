"""Answers that are sent piece by piece: what they hold while they last, and how many may last at once."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.utils.log import log_response

from core import events
from core.errors import Refused
from core.streaming import StreamMiddleware, event_stream, need_room


async def said(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("streams", [True, False])
def test_a_stream_holds_no_connection_even_when_the_session_is_saved_behind_its_view(
    streams: bool, rf: RequestFactory
) -> None:
    def handler(_request: HttpRequest) -> Any:
        get_user_model().objects.exists()  # as a middleware does when it saves the session
        return event_stream(said("data: 1\n\n")) if streams else HttpResponse("whole")

    StreamMiddleware(handler)(rf.get("/"))

    assert (connection.connection is None) == streams


def test_a_plain_iterator_is_sent_as_it_comes_and_not_collected_first() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"%d" % number

    async def first(request: HttpRequest) -> bytes:
        response = StreamMiddleware(lambda _request: StreamingHttpResponse(pieces()))(request)
        assert isinstance(response, StreamingHttpResponse)
        return await anext(aiter(response))

    assert asyncio.run(first(AsyncRequestFactory().get("/"))) == b"0"
    assert made == [0]


def test_one_more_listener_than_a_process_takes_is_told_to_wait_and_has_room_when_another_leaves(
    settings: Any,
) -> None:
    settings.MOST_LISTENERS = 2

    async def listen() -> list[Any]:
        seen: list[Any] = []
        streams = [aiter(event_stream(said("a", "b"))) for _each in range(2)]
        for stream in streams:
            need_room()
            await anext(stream)
        try:
            need_room()
        except Refused as refused:
            seen.append((refused.status, refused.code, refused.wait_seconds))
        assert [piece async for piece in streams[0]] == [b"b"]
        need_room()
        await streams[1].aclose()  # type: ignore[attr-defined]
        return seen

    assert asyncio.run(listen()) == [(503, "too_many_listeners", 5)]


def test_what_a_stream_has_to_tidy_up_is_done_when_its_listener_leaves() -> None:
    tidied = []

    async def pieces() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            tidied.append(True)

    async def leave() -> None:
        stream = aiter(event_stream(pieces()))
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert tidied == [True]


async def read_slowly(name: str, count: int, told: Any) -> list[str]:
    """What a follower hears who lets `told` happen behind its first event."""
    hub = events.Hub()
    follow, heard = hub.follow(name, patience=5), []
    async for event in follow:
        assert event is not None
        heard.append(event["id"])
        if len(heard) == 1:
            told()
            await asyncio.sleep(0.2)  # the live ones come now, more than a queue takes
        if len(heard) == count:
            break
    await follow.aclose()  # type: ignore[attr-defined]
    assert hub._listening
    hub._listening.cancel()
    await hub._redis.aclose()
    return heard


def test_who_reads_slowly_hears_everything_once_and_never_has_a_long_stream_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "QUEUED", 4)
    monkeypatch.setattr(events, "READ_AT_ONCE", 8)
    asked: list[int] = []

    class Watched(events.AsyncRedis):  # type: ignore[name-defined,misc]
        async def xrange(self, *args: Any, **kwargs: Any) -> Any:
            found = await super().xrange(*args, **kwargs)
            asked.append(len(found))
            return found

    monkeypatch.setattr(events, "AsyncRedis", Watched)
    teller, name = events.Teller(), f"slow:{uuid.uuid4()}"

    def tell(begin: int, end: int) -> None:
        teller.tell([(name, {"id": f"1.{number}", "text": "x"}) for number in range(begin, end)])

    tell(1, 21)
    heard = asyncio.run(read_slowly(name, 60, lambda: tell(21, 61)))
    teller.close()

    assert heard == [f"1.{number}" for number in range(1, 61)]
    assert max(asked) == 8


@pytest.mark.parametrize(("status", "is_logged"), [(503, False), (500, True)])
def test_those_who_are_told_to_wait_do_not_fill_the_log(
    status: int, is_logged: bool, rf: RequestFactory, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("django.request")
    logger.addHandler(caplog.handler)

    log_response("%s", "x", response=HttpResponse(status=status), request=rf.get("/"), logger=logger)

    logger.removeHandler(caplog.handler)
    assert bool(caplog.records) == is_logged

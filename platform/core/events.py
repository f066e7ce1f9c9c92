"""Events of things in the making, from a worker to whoever follows them: kept for a while, told at once.

Each thing has a Redis stream of its own, which is read from the beginning or behind the last event that was seen; one message
per step on a common channel tells all of them live. A web process listens once and fans out in memory. The database stays
the truth: whoever follows looks at its row when nothing comes for a while.
"""

import asyncio
import json
import logging
import weakref
from collections.abc import AsyncIterator, Sequence
from typing import Any

from django.conf import settings
from redis import Redis, RedisError
from redis.asyncio import Redis as AsyncRedis

logger = logging.getLogger(__name__)

CHANNEL = "lingxi:events"
KEPT_SECONDS = 600
MOST_KEPT = 20_000  # events of one thing
QUEUED = 256  # events for one follower; a slower one reads the stream again
READ_AT_ONCE = 256  # events of a stream: a long one is never whole in memory
RETRY_SECONDS = 0.5

Event = dict[str, Any]
"""Has "id": "token.number", growing; everything else is the teller's."""


def position(identity: str) -> tuple[int, int]:
    """(token, number) of an event's id; (0, 0), before all events, for what is none."""
    token, _, number = identity.partition(".")
    is_one = token.isascii() and token.isdigit() and number.isascii() and number.isdigit() and len(identity) < 40
    return (int(token), int(number)) if is_one else (0, 0)


class Teller:
    """A worker's side: tells the events of one step together."""

    def __init__(self) -> None:
        self._redis = Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2)

    def tell(self, events: Sequence[tuple[str, Event]]) -> None:
        """Keep and tell (name, event) pairs; without Redis they are lost, and the rows say how it ended."""
        if not events:
            return
        try:
            pipe = self._redis.pipeline(transaction=False)
            for name, event in events:
                pipe.xadd(_key(name), {"e": json.dumps(event)}, maxlen=MOST_KEPT, approximate=True)
                if position(event["id"])[1] == 1 or event.get("last"):
                    pipe.expire(_key(name), KEPT_SECONDS)
            pipe.publish(CHANNEL, json.dumps([[name, event] for name, event in events]))
            pipe.execute()
        except RedisError as error:
            logger.warning("events were not told: %s", error)

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()


class Follower:
    """One listener's queue; `is_behind` when events were left out, which the stream still has."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue(QUEUED)
        self.is_behind = False

    def put(self, event: Event) -> None:
        """Take an event, or remember that one was left out."""
        if self.is_behind or self.queue.full():
            self.is_behind = True
        else:
            self.queue.put_nowait(event)

    def catch_up(self) -> None:
        """Forget the queue, and take events again: all that was told until now stands in the stream."""
        self.is_behind = False
        while not self.queue.empty():
            self.queue.get_nowait()


class Hub:
    """The events of one process and event loop: one connection that listens, one that reads streams."""

    def __init__(self) -> None:
        self._redis = AsyncRedis.from_url(settings.REDIS_URL, socket_connect_timeout=2)
        self._followers: dict[str, set[Follower]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    async def follow(self, name: str, *, after: str = "", patience: float = 1.0) -> AsyncIterator[Event | None]:
        """Events behind `after` as they come; None whenever nothing came for `patience` seconds. The caller ends it."""
        follower, seen, read_to = Follower(), position(after), ""
        self._followers.setdefault(name, set()).add(follower)
        try:
            await self._listen()
            follower.is_behind = True  # what was told before
            while True:
                if follower.is_behind:
                    follower.catch_up()
                    found: list[Event] | None = None
                    while found is None or len(found) == READ_AT_ONCE:
                        read_to, found = await self._kept(name, read_to)
                        for event in found:
                            if position(event["id"]) > seen:
                                seen = position(event["id"])
                                yield event
                    continue
                try:
                    event = await asyncio.wait_for(follower.queue.get(), patience)
                except TimeoutError:
                    yield None
                    continue
                if position(event["id"]) > seen:
                    seen = position(event["id"])
                    yield event
        finally:
            others = self._followers[name]
            others.discard(follower)
            if not others:
                del self._followers[name]

    async def _listen(self) -> None:
        if self._listening is None or self._listening.done():
            self._ready.clear()
            self._listening = asyncio.create_task(self._run())
        try:
            await asyncio.wait_for(self._ready.wait(), 2)
        except TimeoutError:
            logger.warning("redis does not answer; followers look at their rows")

    async def _run(self) -> None:
        """Listen for good; after a lost connection everybody reads the streams again."""
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    self._ready.set()
                    for followers in self._followers.values():
                        for follower in followers:
                            follower.is_behind = True
                    async for message in channel.listen():
                        self._fan_out(json.loads(message["data"]))
            except (RedisError, OSError) as error:
                logger.warning("redis is away, listening again in a moment: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    def _fan_out(self, events: Sequence[tuple[str, Event]]) -> None:
        for name, event in events:
            for follower in self._followers.get(name, ()):
                follower.put(event)

    async def _kept(self, name: str, read_to: str) -> tuple[str, list[Event]]:
        """(where the next reading begins, events of the stream behind `read_to`), READ_AT_ONCE at most."""
        try:
            found: Any = await self._redis.xrange(_key(name), f"({read_to}" if read_to else "-", count=READ_AT_ONCE)
        except (RedisError, OSError) as error:
            logger.warning("redis is away: %s", error)
            return read_to, []
        last = found[-1][0].decode() if found else read_to
        return last, [json.loads(fields[b"e"]) for _id, fields in found]


_hubs: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub]" = weakref.WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def _key(name: str) -> str:
    return f"lingxi:events:{name}"

"""Waits on a Redis channel: what was said since the last look, or silence when Redis is away."""

import time
from typing import Any, Self

from django.conf import settings
from redis import Redis, RedisError


class Bell:
    """One channel; use it as a context."""

    def __init__(self, channel: str) -> None:
        self.name = channel

    def __enter__(self) -> Self:
        self._client = Redis.from_url(settings.REDIS_URL)
        self._channel: Any = None
        return self

    def __exit__(self, *_error: object) -> None:
        if self._channel is not None:
            self._channel.close()
        self._client.close()

    def heard(self, seconds: float) -> list[str]:
        """Everything that was said, waiting for the first word at most `seconds`."""
        found: list[str] = []
        try:
            if self._channel is None:
                self._channel = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._channel.subscribe(self.name)
            message = self._channel.get_message(timeout=seconds)
            while message is not None:
                found.append(message["data"].decode(errors="replace"))
                message = self._channel.get_message(timeout=0)
        except RedisError:
            self._channel = None
            time.sleep(seconds)
        return found

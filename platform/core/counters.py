"""Counters of an installation in one Redis hash: processes add what happened, whoever asks reads one truth.

A process collects and sends its additions together, in one transaction that is never sent again: what happened is counted at
most once, whoever restarts, and what is on its way when Redis goes away is not counted at all.
"""

import json
import logging
from bisect import bisect_left
from collections.abc import Sequence

from django.conf import settings
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

KEY = "lingxi:counters"

Labels = tuple[str, ...]
Counter = tuple[str, Labels]
"""A name, and what tells its series apart, in the order that the name is known for."""

END = "+Inf"


def _client() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


class Additions:
    """What one process has to add; not safe for threads."""

    def __init__(self) -> None:
        self._client = _client()
        self._waiting: dict[Counter, float] = {}

    def add(self, name: str, labels: Labels, value: float = 1) -> None:
        """Count `value` more."""
        if value:
            self._waiting[name, labels] = self._waiting.get((name, labels), 0) + value

    def observe(self, name: str, labels: Labels, value: float, bounds: Sequence[float]) -> None:
        """Count one more value of a histogram: its bucket (not those above it) and the sum."""
        at = bisect_left(bounds, value)
        self.add(f"{name}_bucket", (*labels, str(bounds[at]) if at < len(bounds) else END))
        self.add(f"{name}_sum", labels, value)

    def send(self) -> None:
        """Add all of it, once."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        try:
            with self._client.pipeline(transaction=True) as pipe:
                for (name, labels), value in waiting.items():
                    pipe.hincrbyfloat(KEY, json.dumps([name, *labels]), value)
                pipe.execute()
        except RedisError as error:
            logger.warning("counters were not added to: %s", error)


def counted() -> dict[Counter, float]:
    """All counters as they stand; {} when Redis does not answer."""
    try:
        with _client() as redis:
            found: dict[str, str] = redis.hgetall(KEY)
    except RedisError as error:
        logger.warning("counters cannot be read: %s", error)
        return {}
    return {(name, tuple(labels)): float(value) for (name, *labels), value in _named(found)}


def _named(found: dict[str, str]) -> list[tuple[list[str], str]]:
    return [(json.loads(key), value) for key, value in found.items()]

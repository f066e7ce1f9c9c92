"""What resident roles say of themselves: plain facts in Redis that expire with their process, for pages and API to show."""

import json
import logging
import time
from typing import Any

from django.conf import settings
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

KEPT_SECONDS = 15  # after which a silent process counts as gone

Facts = dict[str, Any]
"""Plain JSON."""


def _client() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def tell(role: str, process: str, facts: Facts) -> None:
    """Say how `process` of a role is; without Redis nobody hears it."""
    now = time.time()
    try:
        with _client() as redis, redis.pipeline(transaction=False) as pipe:
            pipe.set(f"lingxi:resident:{role}:{process}", json.dumps(facts), ex=KEPT_SECONDS)
            pipe.zadd(_index(role), {process: now + KEPT_SECONDS})
            pipe.zremrangebyscore(_index(role), 0, now)
            pipe.expire(_index(role), 10 * KEPT_SECONDS)
            pipe.execute()
    except RedisError as error:
        logger.warning("facts were not told: %s", error)


def told(role: str) -> dict[str, Facts]:
    """Process -> what it said last, of those that live; {} also when Redis does not answer."""
    try:
        with _client() as redis:
            found: Any = redis.zrangebyscore(_index(role), time.time(), "+inf")
            names = [name.decode() for name in found]
            facts: Any = redis.mget([f"lingxi:resident:{role}:{name}" for name in names]) if names else []
    except RedisError as error:
        logger.warning("facts cannot be read: %s", error)
        return {}
    return {name: json.loads(each) for name, each in zip(names, facts, strict=True) if each is not None}


def leave(role: str, process: str) -> None:
    """The process ends: what it said goes at once."""
    try:
        with _client() as redis:
            redis.delete(f"lingxi:resident:{role}:{process}")
            redis.zrem(_index(role), process)
    except RedisError as error:
        logger.warning("facts were not taken back: %s", error)


def _index(role: str) -> str:
    return f"lingxi:residents:{role}"

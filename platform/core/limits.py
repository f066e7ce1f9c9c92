"""How much a caller may do: requests and tokens a minute and requests at once, counted in Redis.

Each caller has two buckets that fill continuously, and leases of the requests it has at work. One script checks all three
and takes from them, by the clock of Redis, so that no two processes let the same request in. Without Redis everybody is let
in, and the log says so: a counter must not stop a service whose database works.
"""

import logging
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.conf import settings
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 60.0  # after which a request that nobody follows any more counts no longer as at work
RENEW_SECONDS = 15.0
LARGEST_LIMIT = 2_000_000_000
KEPT_SECONDS = 3600  # what is reserved waits so long to be settled

BUCKET = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function level(name, limit)
  local kept = redis.call('HMGET', KEYS[1], name, name .. '_at')
  local passed = math.max(0, now - tonumber(kept[2] or now))
  return math.min(limit, tonumber(kept[1] or limit) + passed * limit / 60000)
end
local function keep(name, value)
  redis.call('HSET', KEYS[1], name, string.format('%.3f', value), name .. '_at', now)
  redis.call('EXPIRE', KEYS[1], ARGV[1])
end
"""
ENTER = (
    BUCKET
    + """
local kept, slot, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local requests, tokens, at_once, cost = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local left = level('requests', requests)
local room = tokens > 0 and level('tokens', tokens) or 0
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local refused, wait = '', 0
if slot ~= '' and at_once > 0 and redis.call('ZCARD', KEYS[2]) >= at_once then
  refused, wait = 'concurrent', 1000
elseif left < 1 then
  refused, wait = 'requests', (1 - left) * 60000 / requests
elseif slot ~= '' and tokens > 0 and cost > tokens then
  refused = 'size'
elseif slot ~= '' and tokens > 0 and room < cost then
  refused, wait = 'tokens', (cost - room) * 60000 / tokens
else
  left = left - 1
  keep('requests', left)
  if slot ~= '' then
    if tokens > 0 then
      room = room - cost
      keep('tokens', room)
    end
    redis.call('ZADD', KEYS[2], now + lease, slot)
    redis.call('EXPIRE', KEYS[2], kept)
    redis.call('SET', KEYS[3], cost .. ' ' .. tokens, 'EX', kept)
  end
end
return {refused, math.ceil(wait), math.floor(left), math.ceil((requests - left) * 60000 / requests),
        math.floor(room), tokens > 0 and math.ceil((tokens - room) * 60000 / tokens) or 0}
"""
)
SETTLE = (
    BUCKET
    + """
redis.call('ZREM', KEYS[2], ARGV[2])
local reserved = redis.call('GET', KEYS[3])
if not reserved then return 0 end
redis.call('DEL', KEYS[3])
local cost, tokens = string.match(reserved, '(%d+) (%d+)')
if tonumber(tokens) > 0 then
  keep('tokens', math.min(tonumber(tokens), level('tokens', tonumber(tokens)) + tonumber(cost) - tonumber(ARGV[3])))
end
return 1
"""
)
RENEW = """
local time = redis.call('TIME')
return redis.call('ZADD', KEYS[1], 'XX', 'CH', time[1] * 1000 + ARGV[2], ARGV[1])
"""


@dataclass(frozen=True)
class Limits:
    """What a caller may do; None is no limit."""

    requests: int  # a minute
    tokens: int | None = None  # a minute
    at_once: int | None = None


@dataclass(frozen=True)
class Entry:
    """What was decided about a request, and what is left."""

    limits: Limits
    slot: str  # names the lease; "" when there is none
    refused: str  # "", "concurrent", "requests", "tokens" or "size": more than the limit at once
    wait_seconds: float
    requests_left: int
    requests_reset_seconds: float
    tokens_left: int
    tokens_reset_seconds: float


@cache
def _redis(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1)


@cache
def _script(url: str, text: str) -> Any:
    return _redis(url).register_script(text)


def enter(caller: str, limits: Limits, *, tokens: int | None = None) -> Entry | None:
    """Count a request of `caller`; with `tokens` reserve them and a place among the requests at once.

    None when Redis does not answer: then nothing is counted.
    """
    slot = f"{caller}/{secrets.token_hex(8)}" if tokens is not None else ""
    values = (limits.requests, limits.tokens or 0, limits.at_once or 0, tokens or 0)
    found = _run(ENTER, caller, slot, slot, int(LEASE_SECONDS * 1000), *values)
    if found is None:
        return None
    refused, wait, left, reset, room, full = found
    return Entry(
        limits=limits,
        slot=slot if not refused else "",
        refused=refused.decode(),
        wait_seconds=wait / 1000,
        requests_left=max(0, left),
        requests_reset_seconds=max(0, reset) / 1000,
        tokens_left=max(0, room),
        tokens_reset_seconds=max(0, full) / 1000,
    )


def settle(slot: str, tokens: int) -> bool:
    """Give a place back and replace what was reserved by what was used; the second time nothing happens (False)."""
    return bool(_run(SETTLE, slot.partition("/")[0], slot, slot, tokens))


def renew(slot: str) -> bool:
    """Lengthen the lease of a request that is still followed; False when it has ended."""
    try:
        keys = [f"lingxi:limit:{slot.partition('/')[0]}:at_work"]
        return bool(_script(settings.REDIS_URL, RENEW)(keys=keys, args=[slot, int(LEASE_SECONDS * 1000)]))
    except RedisError as error:
        logger.warning("redis unreachable, a lease was not renewed: %s", error)
        return False


def _run(script: str, caller: str, slot: str, *values: int | str) -> Any:
    keys = [f"lingxi:limit:{caller}", f"lingxi:limit:{caller}:at_work", f"lingxi:limit:{slot or caller}:reserved"]
    try:
        return _script(settings.REDIS_URL, script)(keys=keys, args=[KEPT_SECONDS, *values])
    except RedisError as error:
        logger.warning("redis unreachable, limits are not counted: %s", error)
        return None

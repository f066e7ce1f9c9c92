"""Requests, tokens and requests at once are counted in Redis by one script, by its clock."""

import secrets
import threading
from typing import Any

import pytest
from django.conf import settings as django_settings
from redis import Redis

from core import limits
from core.api.throttle import in_words
from core.limits import Limits, enter, renew, settle


@pytest.fixture
def caller() -> str:
    return f"test-{secrets.token_hex(6)}"


def test_requests_are_let_in_until_the_minute_is_used_up(caller: str) -> None:
    found = [enter(caller, Limits(3)) for _ in range(4)]

    assert [entry.refused for entry in found if entry] == ["", "", "", "requests"]
    assert [entry.requests_left for entry in found if entry] == [2, 1, 0, 0]
    assert found[3] is not None and 0 < found[3].wait_seconds <= 20
    assert 59 < found[3].requests_reset_seconds <= 60


def test_many_at_once_never_pass_the_limit_together(caller: str) -> None:
    let_in, threads = [], []

    def ask() -> None:
        for _ in range(10):
            entry = enter(caller, Limits(1000, at_once=7), tokens=0)
            let_in.append(entry is not None and not entry.refused)

    for _ in range(8):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    for thread in threads:
        thread.join()

    assert (len(let_in), sum(let_in)) == (80, 7)


def test_reserved_tokens_become_used_tokens_once(caller: str) -> None:
    first = enter(caller, Limits(100, tokens=1000), tokens=400)
    assert first is not None and first.tokens_left == 600

    assert settle(first.slot, 50)
    assert not settle(first.slot, 50)

    second = enter(caller, Limits(100, tokens=1000), tokens=0)
    assert second is not None and 950 <= second.tokens_left < 1000


def test_what_was_used_beyond_the_reservation_is_owed(caller: str) -> None:
    first = enter(caller, Limits(100, tokens=600), tokens=100)
    assert first is not None
    settle(first.slot, 1200)

    second = enter(caller, Limits(100, tokens=600), tokens=1)

    assert second is not None and second.refused == "tokens" and second.tokens_left == 0
    assert 55 < second.wait_seconds < 62


def test_a_request_beyond_the_whole_limit_is_told_so(caller: str) -> None:
    entry = enter(caller, Limits(100, tokens=600), tokens=601)

    assert entry is not None and entry.refused == "size"


def test_a_place_is_free_again_when_its_request_ends_or_its_lease_does(caller: str, monkeypatch: Any) -> None:
    one = Limits(100, at_once=1)
    first = enter(caller, one, tokens=0)
    refused = enter(caller, one, tokens=0)
    assert first is not None and refused is not None and refused.refused == "concurrent"

    settle(first.slot, 0)
    monkeypatch.setattr(limits, "LEASE_SECONDS", 0.0)  # the process that holds this one dies
    died = enter(caller, one, tokens=0)
    after = enter(caller, one, tokens=0)

    assert died is not None and not died.refused
    assert after is not None and not after.refused
    assert renew(after.slot) and not renew(died.slot)


def test_without_redis_everybody_is_let_in_and_the_log_says_so(settings: Any, caplog: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    assert enter("key-1", Limits(1)) is None
    assert not settle("key-1/x", 5) and not renew("key-1/x")
    assert "limits are not counted" in caplog.text


def test_nothing_of_a_caller_stays_for_ever(caller: str) -> None:
    enter(caller, Limits(10, tokens=10, at_once=1), tokens=1)

    redis = Redis.from_url(django_settings.REDIS_URL)
    ages = [redis.ttl(key) for key in redis.scan_iter(f"lingxi:limit:{caller}*")]

    assert len(ages) == 3 and all(0 < age <= limits.KEPT_SECONDS for age in ages)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (360, "6m0s"), (61.25, "1m1.25s")],
)
def test_lengths_of_time_are_written_as_openai_writes_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words

"""Readings of sources: claimed by moving their time on, recorded as their health."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.sentiment.models import Fetch, Host, Source
from apps.sentiment.services import hosts
from apps.sentiment.services.buckets import mark_watched
from core.queue import Task, enqueue

COLLECT = Task("workers.collect", "io")
READ = Task("workers.read_source", "io")
READER_DEAD_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 50
MOST_LOOKED_AT = 2_000  # due sources, of which each host gives one
PROBLEMS_KEPT = 20
MOST_PAUSE = timedelta(hours=6)
FETCHES_KEPT = 500  # of one source


@dataclass
class Reading:
    """What came of one reading; `problems` are those of items that were dropped."""

    status: int | None = None
    seconds: float = 0.0
    size_bytes: int = 0
    item_count: int = 0
    new_count: int = 0
    seen_count: int = 0
    crawl_delay: float | None = None  # of its host, where robots.txt was read
    left_count: int = 0  # pages that wait for the next reading
    problems: list[dict[str, Any]] = field(default_factory=list)
    error_code: str = ""
    error_message: str = ""
    etag: str = ""
    last_modified: str = ""
    wait_seconds: float = 0.0  # the server's Retry-After


def claim_sources(now: datetime | None = None) -> list[tuple[int, int]]:
    """(id, token) of the sources that are due, the longest due first, of each host one; whoever dies with one loses it
    after a while."""
    now = now or timezone.now()
    until = now + READER_DEAD_AFTER
    found = []
    with transaction.atomic():
        for pk, host in _due(now):
            rows = Source.objects.select_for_update(skip_locked=True).filter(pk=pk, next_fetch_at__lte=now)
            source = rows.filter(is_enabled=True).only("fetch_token").first()
            taken = source and hosts.take(host, now=now, until=until)
            if not source or not taken:
                continue
            token = source.fetch_token + 1
            Source.objects.filter(pk=pk).update(next_fetch_at=until, fetch_token=token, host=host, host_token=taken[0])
            found.append((pk, token))
            enqueue(READ, pk, token)
    return found


def _due(now: datetime) -> list[tuple[int, str]]:
    """(id, host) of the sources that may be claimed, of each host the one that is longest due."""
    rows = Source.objects.filter(is_enabled=True, next_fetch_at__lte=now).exclude(host__in=hosts.held(now))
    first: dict[str, int] = {}
    for pk, host, url in rows.order_by("next_fetch_at", "pk").values_list("pk", "host", "url")[:MOST_LOOKED_AT]:
        first.setdefault(host or hosts.host_of(url), pk)
    return [(pk, host) for host, pk in first.items()][:MOST_AT_ONCE]


def claim_source(pk: int, token: int) -> Source | None:
    """The source whose reading this message is about; None when another has claimed it since, or it is gone."""
    found = Source.objects.select_related("monitor__workspace").filter(pk=pk, fetch_token=token, is_enabled=True)
    return found.first()


def wait_seconds_of(source: Source) -> float:
    """Until its host may be asked: whoever claims a source a moment too early waits."""
    host = Host.objects.filter(name=source.host).first()
    return max(0.0, (host.next_at - timezone.now()).total_seconds()) if host else 0.0


@transaction.atomic
def record_reading(source: Source, reading: Reading) -> Fetch | None:
    """Keep how a reading went and say when the next is due; None when the source was claimed by another meanwhile."""
    now = timezone.now()
    failed = bool(reading.error_code)
    count = source.failure_count + 1 if failed else 0
    columns: dict[str, Any] = {
        "next_fetch_at": now + pause_of(source.interval_minutes, count, reading.wait_seconds),
        "last_fetch_at": now,
        "failure_count": count,
        "last_error": reading.error_message,
    }
    if not failed:
        columns |= {"last_success_at": now, "etag": reading.etag[:500], "last_modified": reading.last_modified[:100]}
    hosts.let_go(
        source.host,
        source.host_token,
        is_troubled=reading.status in hosts.TROUBLE or (failed and reading.status is None),
        crawl_delay=reading.crawl_delay,
        wait_seconds=reading.wait_seconds,
        now=now,
    )
    if not Source.objects.filter(pk=source.pk, fetch_token=source.fetch_token).update(**columns):
        return None
    if not failed:
        mark_watched(source, _watched_since(source, now), now)
    if Source.objects.filter(host=source.host, is_enabled=True, next_fetch_at__lte=now).exclude(pk=source.pk).exists():
        enqueue(COLLECT)  # the next one of this host need not wait for the clock
    return _kept(
        source,
        at=now,
        seconds=reading.seconds,
        status=reading.status,
        size_bytes=reading.size_bytes,
        item_count=reading.item_count,
        new_count=reading.new_count,
        seen_count=reading.seen_count,
        dropped_count=len(reading.problems),
        problems=list(reading.problems)[:PROBLEMS_KEPT],
        error_code=reading.error_code,
        error_message=reading.error_message,
    )


def note_push(source: Source, results: Sequence[Mapping[str, Any]]) -> Fetch:
    """Keep what a push left out as a reading of the source; pushes of which all was taken leave no line."""
    states = Counter(each["state"] for each in results)
    problems = [
        {"code": problem["code"], "message": problem["message"], "item": each["external_id"]}
        for each in results
        for problem in each["problems"][:1]
    ]
    return _kept(
        source,
        item_count=len(results),
        new_count=states["created"],
        seen_count=states["seen"],
        dropped_count=states["refused"],
        problems=problems[:PROBLEMS_KEPT],
    )


def _kept(source: Source, **columns: Any) -> Fetch:
    made = Fetch.objects.create(source=source, **columns)
    old = Fetch.objects.filter(source=source).order_by("-id").values_list("pk", flat=True)[FETCHES_KEPT:]
    Fetch.objects.filter(pk__in=list(old)).delete()
    return made


def _watched_since(source: Source, now: datetime) -> datetime:
    """A reading vouches for the time since the last one that succeeded, if that was when it should have been."""
    usual = timedelta(minutes=2 * source.interval_minutes)
    last = source.last_success_at
    return last if last is not None and now - last <= usual else now


def pause_of(interval_minutes: int, failure_count: int, wait_seconds: float = 0.0) -> timedelta:
    """Time until the next reading: the interval, doubled by each failure in a row, never less than the server asks for."""
    usual = timedelta(minutes=interval_minutes)
    doubled = usual * (1 << min(failure_count, 10))
    return max(min(doubled, max(MOST_PAUSE, usual)), min(timedelta(seconds=wait_seconds), timedelta(days=1)))

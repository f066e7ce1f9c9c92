"""Sources that are due are read: asked under conditions, understood, and taken in; how it went is their health."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import urljoin
from zoneinfo import ZoneInfo

from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.collecting.feeds import read_feed
from apps.sentiment.collecting.items import Item, Problem
from apps.sentiment.collecting.pages import read_page
from apps.sentiment.collecting.robots import Robots, robots_for_status
from apps.sentiment.collecting.sitemaps import Sitemap, read_sitemap
from apps.sentiment.models import Source, SourceKind
from apps.sentiment.services import hosts
from apps.sentiment.services.readings import Reading
from core import outbound
from core.errors import Refused
from words import join, say

MOST_BYTES = 20_000_000
MOST_SECONDS = 60.0
AGENT = "Lingxi (news monitor)"
FEEDS = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
PAGES = "text/html, application/xhtml+xml;q=0.9"
MOST_SITEMAPS = 3  # of an index, the newest
MOST_PAGES = 20  # of one reading; the others wait for the next
PAGES_SECONDS = 120.0  # for all of them, well within the time after which a reader is taken for dead
LEAST_DELAY_SECONDS = 1.0  # between two pages of a host
MOST_DELAY_SECONDS = 20.0
OLD_AFTER = timedelta(days=7)  # what was published earlier is no news when it is found
FOREIGN_PAGE = timedelta(minutes=3)  # for which a page's host is held


@dataclass(frozen=True)
class Answer:
    """What an address said; `address` is where it came from in the end."""

    address: str
    status: int
    kind: str
    data: bytes
    etag: str = ""
    last_modified: str = ""
    wait_seconds: float = 0.0


def read_source(pk: int, token: int) -> None:
    """Read one source that was claimed under `token`."""
    source = services.claim_source(pk, token)
    if source is None:
        return
    time.sleep(min(services.wait_seconds_of(source), MOST_DELAY_SECONDS))
    begun = time.monotonic()
    reading = Reading(etag=source.etag, last_modified=source.last_modified)
    try:
        _read(source, reading)
    except Refused as refused:
        reading.error_code = refused.code
        reading.error_message = join([refused.message, refused.hint])
    reading.seconds = time.monotonic() - begun
    services.record_reading(source, reading)


def _read(source: Source, reading: Reading) -> None:
    conditions = {"If-None-Match": source.etag, "If-Modified-Since": source.last_modified}
    headers = {"Accept": FEEDS, **{name: value for name, value in conditions.items() if value}}
    answer = _get(source.url, headers)
    reading.status, reading.wait_seconds, reading.size_bytes = answer.status, answer.wait_seconds, len(answer.data)
    if answer.status != 304:
        _require_ok(answer)
        if source.kind == SourceKind.FEED:
            _take_feed(source, answer, reading)
        else:
            _take_pages(source, answer, reading)
            if reading.left_count:
                return  # it is to be read again, changed or not
        reading.etag, reading.last_modified = answer.etag, answer.last_modified  # only once all of it is stored


def _take_feed(source: Source, answer: Answer, reading: Reading) -> None:
    feed = read_feed(answer.data, content_type=answer.kind, url=answer.address, now=timezone.now(), zone=_zone(source))
    _require_something(feed.items, feed.problems)
    _take(source, feed.items, reading)
    _tell(reading, feed.problems)


def _take_pages(source: Source, answer: Answer, reading: Reading) -> None:
    """The pages of a sitemap that were not read before, the newest first, at the pace their host asks for."""
    found = _sitemap(answer, source)
    _require_something((*found.items, *found.sitemaps), found.problems)
    _tell(reading, found.problems)
    items = list(found.items)
    for address, _changed_at in found.sitemaps[:MOST_SITEMAPS]:
        below = _get(address, {"Accept": FEEDS})
        _require_ok(below)
        part = _sitemap(below, source)
        items += part.items
        _tell(reading, part.problems)
    fresh = sorted(services.not_taken(source, items), key=_newest, reverse=True)
    reading.item_count += len(items)
    reading.seen_count += len(items) - len(fresh)
    able = services.without_waiting(source, fresh)
    done = 0
    for item in _paced(able[:MOST_PAGES], answer.address, source, reading):
        done += 1
        _take_page(source, item, reading)
    reading.left_count = len(able) - done


def _take_page(source: Source, item: Item, reading: Reading) -> None:
    """One page; one that cannot be read is told, and known by its title where the sitemap tells it."""
    try:
        answer = _get(item.url, {"Accept": PAGES})
        _require_ok(answer)
        page = read_page(
            answer.data, content_type=answer.kind, url=answer.address, now=timezone.now(), zone=_zone(source)
        )
        reading.size_bytes += len(answer.data)
        dated = page if page.published_at else item
        whole = replace(
            page,
            external_id=item.external_id,
            title=page.title or item.title,
            published_at=dated.published_at,
            confidence=dated.confidence,
        )
    except Refused as refused:
        _tell(reading, [Problem(refused.code, refused.message, -1, item.url)])
        if not item.title:
            services.page_failed(source, item, refused.message)
            return
        whole = item
    services.page_was_read(source, item)
    taken = _ingested(source, [whole])
    reading.new_count += sum(each.state == "created" for each in taken)


def _paced(items: Sequence[Item], address: str, source: Source, reading: Reading) -> Iterator[Item]:
    """Items whose pages robots.txt allows, one after the other with a pause, until their time is over.

    A page on another host than its source's is read while nobody else reads there, else at a later reading.
    """
    rules: dict[str, Robots] = {}
    begun, is_first = time.monotonic(), True
    for item in items:
        host = urljoin(item.url or address, "/")
        with _held(host, source) as (is_ours, asked):
            if not is_ours:
                continue
            if host not in rules:
                rules[host] = _robots(host)
            asked["crawl_delay"] = crawl_delay = rules[host].crawl_delay(AGENT) or 0.0
            if hosts.host_of(host) == source.host:
                reading.crawl_delay = crawl_delay
            if not rules[host].allowed(item.url, AGENT):
                continue
            if not is_first:
                time.sleep(min(max(crawl_delay, LEAST_DELAY_SECONDS), MOST_DELAY_SECONDS))
            if time.monotonic() - begun > PAGES_SECONDS:
                return
            is_first = False
            yield item


@contextmanager
def _held(address: str, source: Source) -> Iterator[tuple[bool, dict[str, float]]]:
    """(whether this host may be asked now, what it asks for): that of the source is held already, another one is taken."""
    name, now = hosts.host_of(address), timezone.now()
    asked: dict[str, float] = {}
    taken = None if name == source.host else hosts.take(name, now=now, until=now + FOREIGN_PAGE)
    try:
        yield name == source.host or taken is not None, asked
    finally:
        if taken is not None:
            hosts.let_go(name, taken[0], crawl_delay=asked.get("crawl_delay"))


def _robots(host: str) -> Robots:
    """What a host allows; one that cannot be reached allows nothing now (RFC 9309, 2.3.1.4)."""
    try:
        answer = _get(urljoin(host, "/robots.txt"), {"Accept": "text/plain"})
    except Refused:
        return robots_for_status(503, b"")
    return robots_for_status(answer.status, answer.data)


def _sitemap(answer: Answer, source: Source) -> Sitemap:
    return read_sitemap(
        answer.data, content_type=answer.kind, url=answer.address, now=timezone.now(), zone=_zone(source)
    )


def _ingested(source: Source, items: Sequence[Item]) -> list[services.Taken]:
    """Take items, the earliest first, so that stories begin with whoever told them first and lists show the newest on top.

    What a source held before it was first read, and what is old when it is found, is no news: nobody is alarmed.
    """
    now = timezone.now()
    items = list(reversed(items))  # feeds name the newest first
    items.sort(key=lambda each: each.published_at or now)
    is_first = source.last_success_at is None
    parts: dict[bool, list[Item]] = {True: [], False: []}
    for item in items:
        is_old = item.published_at is not None and now - item.published_at > OLD_AFTER
        parts[is_first or is_old].append(item)
    return [
        each
        for is_history, some in parts.items()
        if some
        for each in services.ingest(source, some, now=now, is_history=is_history)
    ]


def _take(source: Source, items: Sequence[Item], reading: Reading) -> None:
    taken = _ingested(source, items)
    created = sum(each.state == "created" for each in taken)
    reading.item_count += len(items)
    reading.new_count += created
    reading.seen_count += len(taken) - created


def _tell(reading: Reading, problems: Sequence[Problem]) -> None:
    reading.problems += [
        {"code": each.code, "message": each.message, "item": each.identity or _place(each)} for each in problems
    ]


def _place(problem: Problem) -> str:
    """Which item it was, counted from one; empty for the whole."""
    return f"#{problem.position + 1}" if problem.position >= 0 else ""


def _require_something(found: Sequence[object], problems: Sequence[Problem]) -> None:
    """Refused with the first problem of the whole when nothing was found in it."""
    whole = next((each for each in problems if each.position < 0), None)
    if whole is not None and not found:
        raise Refused(whole.code, whole.message, field="url")


def _require_ok(answer: Answer) -> None:
    if answer.status != 200:
        message = say("The address answers with status {status}.", status=answer.status)
        raise Refused("url_status", message, field="url")


def _newest(item: Item) -> float:
    at = item.published_at or item.updated_at
    return at.timestamp() if at else 0.0


def _zone(source: Source) -> ZoneInfo:
    return ZoneInfo(source.time_zone or source.monitor.time_zone)


def _get(url: str, headers: Mapping[str, str]) -> Answer:
    with outbound.request(url, headers={"User-Agent": AGENT, **headers}) as (response, address):
        told = response.headers
        return Answer(
            address=address,
            status=response.status,
            kind=told.get("Content-Type", ""),
            data=b"".join(outbound.parts(response, max_bytes=MOST_BYTES, max_seconds=MOST_SECONDS))
            if response.status == 200
            else b"",
            etag=told.get("ETag", ""),
            last_modified=told.get("Last-Modified", ""),
            wait_seconds=outbound.retry_seconds(told.get("Retry-After", ""), timezone.now()),
        )

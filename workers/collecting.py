"""Sources that are due are read: asked under conditions, understood, and taken in; how it went is their health."""

import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from zoneinfo import ZoneInfo

from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.collecting.feeds import read_feed
from apps.sentiment.models import Source
from apps.sentiment.services.readings import Reading
from core import outbound
from core.errors import Refused
from words import join, say

MOST_BYTES = 20_000_000
MOST_SECONDS = 60.0
READ_BYTES = 65_536
AGENT = "Lingxi (news monitor)"
ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"


def read_source(pk: int, token: int) -> None:
    """Read one source that was claimed under `token`."""
    source = services.claim_source(pk, token)
    if source is None:
        return
    begun = time.monotonic()
    reading = Reading()
    try:
        _read(source, reading)
    except Refused as refused:
        reading.error_code = refused.code
        reading.error_message = join([refused.message, refused.hint])
    except (OSError, HTTPException):
        reading.error_code, reading.error_message = "download_cut", say("The download broke off.")
    reading.seconds = time.monotonic() - begun
    services.record_reading(source, reading)


def _read(source: Source, reading: Reading) -> None:
    headers = {"User-Agent": AGENT, "Accept": ACCEPT}
    if source.etag:
        headers["If-None-Match"] = source.etag
    if source.last_modified:
        headers["If-Modified-Since"] = source.last_modified
    with outbound.request(source.url, headers=headers) as (response, address):
        reading.status = response.status
        reading.wait_seconds = _wait_seconds(response.headers.get("Retry-After", ""))
        reading.etag, reading.last_modified = source.etag, source.last_modified
        if response.status == 304:
            return
        if response.status != 200:
            message = say("The address answers with status {status}.", status=response.status)
            raise Refused("url_status", message, field="url")
        data = _whole(response)
        kind = response.headers.get("Content-Type", "")
        etag, modified = response.headers.get("ETag", ""), response.headers.get("Last-Modified", "")
    reading.size_bytes = len(data)
    zone = ZoneInfo(source.time_zone or source.monitor.time_zone)
    feed = read_feed(data, content_type=kind, url=address, now=timezone.now(), zone=zone)
    whole = next((each for each in feed.problems if each.position < 0), None)
    if whole is not None and not feed.items:
        raise Refused(whole.code, whole.message, field="url")
    taken = services.ingest(source, feed.items)
    reading.item_count = len(feed.items) + len(feed.problems)
    reading.new_count = sum(each.state == "created" for each in taken)
    reading.seen_count = len(taken) - reading.new_count
    reading.problems = [
        {"code": each.code, "message": str(each.message), "item": each.identity} for each in feed.problems
    ]
    reading.etag, reading.last_modified = etag, modified  # only once all of it is stored


def _whole(response: HTTPResponse) -> bytes:
    begun, parts, size = time.monotonic(), [], 0
    while part := response.read1(READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise Refused(
                "feed_too_large", say("The feed is larger than {megabytes} MB.", megabytes=MOST_BYTES // 10**6)
            )
        if time.monotonic() - begun > MOST_SECONDS:
            raise Refused("host_slow", say("The download takes too long."))
    return b"".join(parts)


def _wait_seconds(text: str) -> float:
    """Retry-After as seconds (RFC 9110, 10.2.3); 0 for what is none."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError):
        until = parsedate_to_datetime(text)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return 0.0

"""Hosts are asked by one reader at a time, whatever number of sources they have, and not too often."""

import random
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.sentiment.collecting.robots import Manners, next_time
from apps.sentiment.models import Host, Source

MANNERS = Manners()
AHEAD = timedelta(seconds=2)  # a reader may take a host this long before its time, and waits
TROUBLE = (429, 500, 502, 503, 504)  # answers that speak of the host, not of one address
TAKE = """
    INSERT INTO sentiment_host AS host (name, busy_until, token, next_at, failure_count, crawl_delay_seconds)
    VALUES (%(name)s, %(until)s, 1, %(now)s, 0, 0)
    ON CONFLICT (name) DO UPDATE SET busy_until = %(until)s, token = host.token + 1
    WHERE (host.busy_until IS NULL OR host.busy_until < %(now)s) AND host.next_at <= %(soon)s
    RETURNING token, next_at
"""


def host_of(url: str) -> str:
    """Host and port of an address in one form; empty where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return ""
    return f"{parts.hostname.lower()}:{port}"[:300] if parts.hostname else ""


def take(name: str, *, now: datetime, until: datetime) -> tuple[int, datetime] | None:
    """(token, when it may be asked) of a host that nobody reads and whose time has come; else None.

    Whoever takes it lets go of it, or loses it at `until`.
    """
    with connection.cursor() as cursor:
        cursor.execute(TAKE, {"name": name, "now": now, "until": until, "soon": now + AHEAD})
        found = cursor.fetchone()
    return (int(found[0]), found[1]) if found else None


def let_go(
    name: str,
    token: int,
    *,
    is_troubled: bool = False,
    crawl_delay: float | None = None,
    wait_seconds: float = 0.0,
    now: datetime | None = None,
) -> bool:
    """Others may ask it after the pause it is due (`robots.next_time`); False when somebody else holds it by now."""
    now = now or timezone.now()
    host = Host.objects.filter(name=name, token=token).first()
    if host is None:
        return False
    errors = host.failure_count + 1 if is_troubled else 0
    delay = host.crawl_delay_seconds if crawl_delay is None else crawl_delay
    due = next_time(
        now=now,
        errors=errors,
        chance=random.SystemRandom(),
        crawl_delay=delay,
        wait_seconds=wait_seconds,
        manners=MANNERS,
    )
    return bool(
        Host.objects.filter(name=name, token=token).update(
            busy_until=None, next_at=due, failure_count=errors, crawl_delay_seconds=delay
        )
    )


def waits_until(source: Source, *, now: datetime | None = None) -> datetime | None:
    """Until when a source that is due waits because its host must not be asked; None where it does not wait."""
    now = now or timezone.now()
    if not source.is_enabled or source.next_fetch_at is None or source.next_fetch_at > now:
        return None
    rows = Host.objects.filter(name=source.host or host_of(source.url), next_at__gt=now + AHEAD)
    return rows.values_list("next_at", flat=True).first()


def held(now: datetime) -> list[str]:
    """Hosts that are read at this moment, or not to be asked yet."""
    kept = Q(busy_until__gte=now) | Q(next_at__gt=now + AHEAD)
    return list(Host.objects.filter(kept).values_list("name", flat=True))


def forget_hosts(*, now: datetime | None = None) -> int:
    """Let go of hosts that no source names and nobody waits for any more; how many there were."""
    now = now or timezone.now()
    named = Source.objects.filter(host=OuterRef("name"))
    return Host.objects.filter(~Exists(named), Q(busy_until=None) | Q(busy_until__lt=now), next_at__lt=now).delete()[0]

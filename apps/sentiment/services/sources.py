"""Sources of a monitor: added, changed, read at once and taken away."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.sentiment.models import Monitor, Source, SourceKind
from apps.sentiment.models.monitors import MOST_WEIGHT
from apps.sentiment.services.hooks import new_address
from apps.sentiment.services.hosts import host_of
from apps.sentiment.services.readings import COLLECT
from core.access import Actor
from core.errors import Refused, conflict
from core.outbound import check_url
from core.queue import enqueue
from core.requests import zones
from words import say

FIELDS = ("name", "url", "time_zone", "weight", "is_enabled", "interval_minutes")
FETCHED = (SourceKind.FEED, SourceKind.SITEMAP)
LEAST_MINUTES, MOST_MINUTES = 1, 1_440


@transaction.atomic
def add_source(*, actor: Actor, monitor: Monitor, kind: str, **columns: Any) -> Source:
    """A source of a monitor; a feed is read at once."""
    if kind == SourceKind.FILE:
        raise Refused("unknown_value", say("A source of files comes with its first file."), field="kind")
    source = Source(monitor=monitor, kind=kind)
    _set(source, columns)
    if source.kind in FETCHED:
        source.next_fetch_at = timezone.now()
    if source.kind == SourceKind.WEBHOOK:
        source.hook = new_address()
    _save(source)
    audit(actor=actor, action="source.add", obj=source, after=_told(source, FIELDS))
    if source.kind in FETCHED and source.is_enabled:
        enqueue(COLLECT)
    return source


@transaction.atomic
def change_source(*, actor: Actor, source: Source, **columns: Any) -> Source:
    """Change what is given; another address is read afresh."""
    found = Source.objects.select_for_update().get(pk=source.pk)
    before = _told(found, FIELDS)
    _set(found, columns)
    changed = [name for name in FIELDS if getattr(found, name) != before[name]]
    if not changed:
        return found
    if "url" in changed:
        found.etag = found.last_modified = ""
    if {"url", "is_enabled"} & set(changed) and found.kind in FETCHED:
        found.next_fetch_at, found.failure_count, found.last_error = timezone.now(), 0, ""
    _save(found)
    audit(
        actor=actor,
        action="source.change",
        obj=found,
        before={name: before[name] for name in changed},
        after=_told(found, changed),
    )
    return found


@transaction.atomic
def fetch_now(*, source: Source) -> None:
    """Read a feed as soon as a worker is free; one that is being read is not read twice."""
    if source.kind not in FETCHED:
        raise conflict("nothing_to_read", say("Articles of this source are pushed: there is nothing to read."))
    if not source.is_enabled:
        raise conflict("not_read", say("This source is switched off."))
    Source.objects.filter(pk=source.pk).update(next_fetch_at=timezone.now())
    enqueue(COLLECT)


@transaction.atomic
def remove_source(*, actor: Actor, source: Source) -> None:
    """With its articles."""
    audit(actor=actor, action="source.remove", obj=source, before=_told(source, FIELDS))
    source.delete()


def _set(source: Source, columns: Mapping[str, Any]) -> None:
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(source, name, value)
    if source.kind in FETCHED:
        check_url(source.url)
    elif source.url:
        raise Refused("no_address", say("Articles of this source are pushed: it has no address."), field="url")
    source.host = host_of(source.url)
    if source.time_zone and source.time_zone not in zones():
        raise Refused("unknown_time_zone", say("There is no such time zone."), field="time_zone")
    if not 1 <= source.weight <= MOST_WEIGHT:
        raise Refused("bad_weight", say("Give a weight from 1 to {most}.", most=MOST_WEIGHT), field="weight")
    if not LEAST_MINUTES <= source.interval_minutes <= MOST_MINUTES:
        raise Refused(
            "bad_interval",
            say("Give {least} to {most} minutes.", least=LEAST_MINUTES, most=MOST_MINUTES),
            field="interval_minutes",
        )


def _save(source: Source) -> None:
    try:
        with transaction.atomic():
            source.save()
    except IntegrityError as error:
        raise conflict("name_taken", say("This monitor has a source of this name already.")) from error


def _told(source: Source, names: Any) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}

"""What programs push, by API key or by a signed webhook: checked one by one, taken in order, a result for each."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive

from apps.sentiment import services
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.models import Source
from apps.sentiment.serializers import PushedSerializer, PushSerializer
from core.api.problems import flatten
from core.errors import conflict
from words import say

AHEAD = timedelta(hours=1)  # how far a clock of others may be ahead of ours


def take_push(source: Source, data: Any) -> dict[str, Any]:
    """The answer to a push: counts, and what became of each item; one that is refused takes no other with it."""
    if not source.is_enabled:
        raise conflict("not_read", say("This source is switched off."))
    asked = PushSerializer(data=data)
    asked.is_valid(raise_exception=True)
    items: list[Item] = []
    refused: dict[int, list[dict[str, Any]]] = {}
    given = asked.validated_data["items"]
    zone = ZoneInfo(source.time_zone or source.monitor.time_zone)
    for at, each in enumerate(given):
        item, problems = item_of(each, zone)
        if item is None:
            refused[at] = problems
        else:
            items.append(item)
    taken = iter(services.ingest(source, items, is_history=asked.validated_data["is_history"]))
    results: list[dict[str, Any]] = []
    for at, each in enumerate(given):
        if at in refused:
            name = _name_of(each)
            results.append({"external_id": name, "state": "refused", "article": None, "problems": refused[at]})
            continue
        one = next(taken)
        results.append(
            {
                "external_id": one.item.external_id,
                "state": one.state,
                "article": one.article.pk if one.article else None,
                "problems": [],
            }
        )
    counts = {
        f"{state}_count": sum(row["state"] == state for row in results) for state in ("created", "seen", "refused")
    }
    if refused:
        services.note_push(source, results)
    return {**counts, "results": results}


def _name_of(values: Any) -> str:
    """The id that an item gives itself; empty where it gives none."""
    return str(values.get("external_id", ""))[:200] if isinstance(values, dict) else ""


def item_of(values: Any, zone: ZoneInfo) -> tuple[Item | None, list[dict[str, Any]]]:
    """(the article that was given, nothing), or (None, why not). A time that names no zone is one of `zone`."""
    read = PushedSerializer(data=values)
    with timezone.override(zone):
        if not read.is_valid():
            return None, [problem.as_dict() for problem in flatten(read.errors)]
    told = read.validated_data
    published = told["published_at"]
    if published is not None and published > timezone.now() + AHEAD:
        problem = {
            "code": "in_the_future",
            "message": str(say("It is said to be published in the future.")),
            "field": "published_at",
        }
        return None, [problem]
    item = Item(
        external_id=told["external_id"],
        url=told["url"],
        title=told["title"].strip(),
        body=told["body"],
        published_at=published,
        confidence=_confidence(values["published_at"]) if published else Confidence.NONE,
        author=told["author"],
        language=told["language"],
    )
    return item, []


def _confidence(told: Any) -> Confidence:
    """How sure a time is that was given: with its zone, or without."""
    read = parse_datetime(str(told))
    return Confidence.ZONE_ASSUMED if read is not None and is_naive(read) else Confidence.STATED

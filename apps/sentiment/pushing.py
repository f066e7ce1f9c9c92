"""What programs push, by API key or by a signed webhook: checked one by one, taken in order, a result for each."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

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
    for at, each in enumerate(given):
        item, problems = item_of(each)
        if item is None:
            refused[at] = problems
        else:
            items.append(item)
    taken = iter(services.ingest(source, items, is_history=asked.validated_data["is_history"]))
    results: list[dict[str, Any]] = []
    for at, each in enumerate(given):
        if at in refused:
            name = str(each.get("external_id", ""))[:200]
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
    return {**counts, "results": results}


def item_of(values: Any) -> tuple[Item | None, list[dict[str, Any]]]:
    """(the article that was given, nothing), or (None, why not)."""
    read = PushedSerializer(data=values)
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
        confidence=Confidence.STATED if published else Confidence.NONE,
        author=told["author"],
        language=told["language"],
    )
    return item, []

"""A replay that has ended, walked through in time-lapse: counts, articles of the moment, and alerts as they would have fired."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import formats, timezone
from django.views.decorators.http import require_GET

from apps.notifications.models import Severity
from apps.sentiment import selectors, selectors_alerts
from apps.sentiment.models import BucketSize, Replay
from core.access import PageRequest, fetch, page

LONGEST_BY_HOUR = 14  # days; longer spans are walked through by day
HEIGHT = 100  # of the drawing, whatever the counts


@require_GET
@page("sentiment.read")
def play(request: PageRequest, pk: int) -> HttpResponse:
    """The time-lapse; every moment is in the page, and a module shows one after the other."""
    rows = Replay.objects.select_related("monitor", "job")
    found = fetch(request.actor, rows, "sentiment.read", pk=pk, within="monitor__workspace")
    context = {"replay": found, "monitor": found.monitor, **(_moments(found) if found.result else {})}
    return render(request, "sentiment/play.html", context)


def _moments(found: Replay) -> dict[str, Any]:
    """Times of the span with counts, and articles and alerts by the number of their time."""
    monitor = found.monitor
    seconds = BucketSize.HOUR if found.days <= LONGEST_BY_HOUR else BucketSize.DAY
    series = selectors.series_of(
        monitor, start_at=found.begin_at, end_at=found.end_at, seconds=seconds, clock=found.clock
    )
    times = selectors.spans_of(series)
    counts = {point["start_at"]: point for point in series.points}
    highest = max((point["article_count"] for point in series.points), default=0)
    articles = selectors_alerts.first_of_buckets(found, seconds=seconds)
    assert found.result is not None
    return {
        "moments": [_moment(at, counts.get(at), highest) for at in times],
        "articles": [(bisect_right(times, getattr(each, f"{found.clock}_at")) - 1, each) for each in articles],
        "alerts": [
            (
                bisect_right(times, datetime.fromisoformat(each["fired_at"])) - 1,
                {**each, "get_severity_display": Severity(each["severity"]).label},
            )
            for each in found.result["alerts"]
        ],
    }


def _moment(at: datetime, point: Mapping[str, Any] | None, highest: int) -> dict[str, Any]:
    """A time in words with its counts and the heights of its bar; None where nothing was counted."""
    every, negative = (point["article_count"], point["negative_count"]) if point else (None, None)
    return {
        "words": formats.date_format(timezone.localtime(at), "DATETIME_FORMAT"),
        "every": every,
        "negative": negative,
        "height": round(HEIGHT * (every or 0) / highest, 2) if highest else 0,
        "bad": round(HEIGHT * (negative or 0) / highest, 2) if highest else 0,
    }

"""Trends as charts: lines, the period before, the band of what was expected, and what happened meanwhile."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from apps.sentiment import selectors_trends as selectors
from apps.sentiment.models import BucketSize, Clock, Dimension, Monitor
from apps.sentiment.trends import COUNTED, Asked, Trend, TrendMeasure, TrendSeries

TONES = {"info": "plain", "warning": "unsure", "critical": "bad"}
LEAST_KNOWN = 10  # of so many buckets one must have an expectation
MOST_COMPARED = 2  # series that are drawn with the period before: more lines are not told apart


def chart_of(monitor: Monitor, trend: Trend, address: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    """What the chart of a trend draws. `address`: the monitor's list of articles, where its points lead."""
    chart = _lines(trend, address, marks)
    if len(trend.series) <= MOST_COMPARED:
        _add_before(chart, trend)
    if len(trend.series) == 1:
        _add_band(chart, trend, selectors.expectations_of(monitor, trend.asked, trend.series[0].key))
    return chart


def has_band(chart: dict[str, Any]) -> bool:
    """Whether it shows what was expected."""
    return any("band" in each for each in chart["series"])


def is_compared(chart: dict[str, Any]) -> bool:
    """Whether it draws the period before."""
    return any("of" in each for each in chart["series"])


def arrivals(monitor: Monitor, address: str, *, span: timedelta, seconds: int) -> dict[str, Any]:
    """All articles by the time of their arrival with what was expected of them; empty where that is known of few buckets.

    Expectations are of whole hours, and of days of UTC.
    """
    now = timezone.now()
    asked = Asked(now - span, now, seconds, clock=Clock.RECEIVED)
    expected = selectors.expectations_of(monitor, asked, "")
    known = sum(at in expected and expected[at].low is not None for at in asked.begins())
    if known * LEAST_KNOWN < len(asked.begins()):
        return {}
    trend = selectors.trend_of(monitor, asked)
    chart = _lines(trend, address, alert_marks(trend, selectors.alerts_in(monitor, asked)))
    _add_band(chart, trend, expected)
    return chart


def _lines(trend: Trend, address: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    """A span in which nothing was counted is a gap in its line."""
    asked = trend.asked
    return {
        "categories": [label(asked, at) for at in trend.begins],
        "places": [place_of(asked, at) for at in trend.begins],
        "series": [
            {
                "name": each.name,
                "points": [[at, value] for at, value in enumerate(trend.values(each))],
                "url": articles_url(asked, each, address, "{place}"),
            }
            for each in trend.series
        ],
        "share": asked.measure == TrendMeasure.NEGATIVE_SHARE or asked.is_voice,
        "counts": asked.measure in COUNTED and not asked.is_voice,
        "marks": marks,
    }


def _add_before(chart: dict[str, Any], trend: Trend) -> None:
    """The period before, drawn under each series bucket by bucket."""
    for at, each in enumerate(trend.series):
        values = trend.values_before(each)
        if any(value is not None for value in values):
            name = _("%s, the period before") % each.name
            points = [[x, value] for x, value in enumerate(values[: len(trend.begins)])]
            chart["series"].append({"name": name, "points": points, "dash": True, "of": at})


def _add_band(chart: dict[str, Any], trend: Trend, expected: dict[datetime, Any]) -> None:
    """What was expected when each bucket closed, as a line with the band of ordinary counts."""
    if not expected:
        return
    found = [expected.get(at) for at in trend.begins]
    chart["series"].append(
        {
            "name": _("Expected"),
            "points": [[x, round(each.expected, 2) if each else None] for x, each in enumerate(found)],
            "dash": True,
            "band": [[each.low, each.high] if each and each.low is not None else None for each in found],
        }
    )


def alert_marks(trend: Trend, alerts: list[Any]) -> list[dict[str, Any]]:
    """Where alerts fired."""
    marks = [(_at(trend, alert.fired_at), alert) for alert in alerts]
    return [{"x": x, "text": str(alert), "tone": TONES[alert.severity]} for x, alert in marks if x is not None]


def release_marks(trend: Trend, releases: list[selectors.Release]) -> list[dict[str, Any]]:
    """Where a version gave its first score."""
    marks = [(_at(trend, release.at), release) for release in releases]
    return [
        {"x": x, "text": _("New version: %s") % release.version, "tone": "good"}
        for x, release in marks
        if x is not None
    ]


def _at(trend: Trend, moment: datetime) -> int | None:
    """The bucket that holds a moment, or the last one shown before it."""
    found = [index for index, at in enumerate(trend.begins) if at <= moment]
    return found[-1] if found else None


def label(asked: Asked, at: datetime) -> str:
    """The name of a bucket."""
    form = "SHORT_DATE_FORMAT" if asked.seconds == BucketSize.DAY else _("M j, H:i")
    return formats.date_format(at.astimezone(asked.zone), form)


def articles_url(asked: Asked, series: TrendSeries, address: str, place: str) -> str:
    """The list of the articles that a point counts."""
    chosen: dict[str, Any] = {**asked.within.plain()}
    if asked.dimension != Dimension.TOTAL:
        chosen[str(asked.dimension)] = series.key
    if asked.measure in (TrendMeasure.NEGATIVE, TrendMeasure.NEGATIVE_SHARE) and "entity" not in chosen:
        chosen["sentiment"] = "negative"  # of an entity it counts how that is spoken of, which the list cannot ask for
    return f"{address}?{_query(asked, chosen, place)}"


def place_of(asked: Asked, at: datetime) -> str:
    """The span of a bucket as the list of articles takes it."""
    return f"{iso(at)}/{iso(min(asked.next(at), asked.end_at))}"


def span_of(asked: Asked) -> str:
    """All of it, as the list of articles takes it."""
    return _query(asked, asked.within.plain(), f"{iso(asked.begin(asked.start_at))}/{iso(asked.end_at)}")


def _query(asked: Asked, chosen: Mapping[str, Any], place: str) -> str:
    """What the list of articles is asked for `chosen` of its filters and a span; it knows topics with those below them."""
    query = urlencode({**chosen, "alone": "true"} if "topic" in chosen else chosen)
    return f"{query}{'&' if query else ''}{_clock(asked)}={place}"


def _clock(asked: Asked) -> str:
    """The filter of the list of articles by the clock of a trend."""
    return "published" if asked.clock == Clock.PUBLISHED else "received"


def iso(moment: datetime) -> str:
    """A moment in UTC, as addresses take it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

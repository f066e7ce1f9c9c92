"""Pages of trends."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import formats
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from apps.sentiment import selectors_trends as selectors
from apps.sentiment.forms_trends import TrendForm
from apps.sentiment.models import BucketSize, Clock, Dimension, Monitor
from apps.sentiment.trends import COUNTED, Asked, Trend, TrendMeasure, TrendSeries
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.pages import show_refusal, workspace_url

READ = "sentiment.read"
TONES = {"info": "plain", "warning": "unsure", "critical": "bad"}


@require_GET
@page(READ)
def trends(request: PageRequest, pk: int) -> HttpResponse:
    """Series over time beside one another, with what happened meanwhile."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    form = TrendForm(request.GET, monitor=found)
    context: dict[str, Any] = {"monitor": found, "form": form}
    if form.is_valid():
        try:
            context |= _shown(request, found, form.asked())
        except Refused as refused:
            show_refusal(form, refused)
    return render(request, "sentiment/trends.html", context, status=422 if form.errors else 200)


@require_GET
@page(READ)
def terms(request: PageRequest, pk: int) -> HttpResponse:
    """The part of the page that says which terms stand out."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    form = TrendForm(request.GET, monitor=found)
    if not form.is_valid():
        return render(request, "sentiment/_trend_terms.html", {"monitor": found}, status=422)
    asked = form.asked()
    context = {"monitor": found, "terms": selectors.terms_of(found, asked), "asked": asked, "iso": _span(asked)}
    return render(request, "sentiment/_trend_terms.html", context)


def _span(asked: Asked) -> str:
    """All of it, as the list of articles takes it."""
    return f"{_clock(asked)}={_iso(asked.begin(asked.start_at))}/{_iso(asked.end_at)}"


def _clock(asked: Asked) -> str:
    """The filter of the list of articles by the clock of a trend."""
    return "published" if asked.clock == Clock.PUBLISHED else "received"


def _shown(request: PageRequest, monitor: Monitor, asked: Asked) -> dict[str, Any]:
    trend = selectors.trend_of(monitor, asked)
    alerts, releases = selectors.alerts_in(monitor, asked), selectors.releases(monitor, asked)
    address = workspace_url(request.actor, "sentiment:articles", pk=monitor.pk)
    is_count = asked.measure in COUNTED
    chart = _chart(trend, address, [*_alert_marks(trend, alerts), *_release_marks(trend, releases)])
    if len(trend.series) == 1:
        _add_band(chart, trend, selectors.expectations_of(monitor, asked, trend.series[0].key))
    chosen = {each.key for each in trend.series}
    offered = list(dict.fromkeys([*chosen, *selectors.largest(monitor, asked)]))
    names = selectors.names_of(monitor, asked.dimension, offered)
    return {
        "trend": trend,
        "measure_name": TrendMeasure(asked.measure).label,
        "asked": asked,
        "is_count": is_count,
        "offered": [(key, names[key], key in chosen) for key in offered if key in names],
        "chart": chart,
        "has_band": len(chart["series"]) > len(trend.series),
        "rows": [_row(trend, each, address, is_count=is_count) for each in trend.series],
        "total": trend.totals.value(asked.measure),
        "alerts": alerts,
        "releases": releases,
        "has_figures": any(value is not None for each in trend.series for value in trend.values(each)),
    }


def _row(trend: Trend, series: TrendSeries, address: str, *, is_count: bool) -> dict[str, Any]:
    """A line of the table. Where it was highest is a link, so that a point can be reached without a pointer."""
    asked = trend.asked
    drawn = [(value, at) for value, at in zip(trend.values(series), trend.begins, strict=True) if value]
    value, at = max(drawn, key=lambda each: abs(each[0]), default=(None, None))
    return {
        "series": series,
        "value": series.totals.value(asked.measure),
        "before": series.before.value(asked.measure) if series.before else None,
        "change": series.change(asked.measure),
        "is_count": is_count,
        "url": _articles(asked, series, address, f"{_iso(trend.begins[0])}/{_iso(asked.end_at)}")
        if trend.begins
        else "",
        "highest": value,
        "highest_at": at,
        "highest_label": _label(asked, at) if at else "",
        "highest_url": _articles(asked, series, address, _place(asked, at)) if at else "",
    }


def _chart(trend: Trend, address: str, marks: list[dict[str, Any]]) -> dict[str, Any]:
    """A span in which nothing was counted is a gap in its line."""
    asked = trend.asked
    return {
        "categories": [_label(asked, at) for at in trend.begins],
        "places": [_place(asked, at) for at in trend.begins],
        "series": [
            {
                "name": each.name,
                "points": [[at, value] for at, value in enumerate(trend.values(each))],
                "url": _articles(asked, each, address, "{place}"),
            }
            for each in trend.series
        ],
        "share": asked.measure == TrendMeasure.NEGATIVE_SHARE or asked.is_voice,
        "marks": marks,
    }


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


def _label(asked: Asked, at: datetime) -> str:
    form = "SHORT_DATE_FORMAT" if asked.seconds == BucketSize.DAY else "SHORT_DATETIME_FORMAT"
    return formats.date_format(at.astimezone(asked.zone), form)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(asked: Asked, at: datetime) -> str:
    """The span of a bucket as the list of articles takes it."""
    return f"{_iso(at)}/{_iso(min(asked.next(at), asked.end_at))}"


def _articles(asked: Asked, series: TrendSeries, address: str, place: str) -> str:
    """The list of the articles that a point counts."""
    chosen = {} if asked.dimension == Dimension.TOTAL else {str(asked.dimension): series.key}
    if asked.measure in (TrendMeasure.NEGATIVE, TrendMeasure.NEGATIVE_SHARE) and asked.dimension != Dimension.ENTITY:
        chosen["sentiment"] = "negative"
    return f"{address}?{urlencode(chosen)}{'&' if chosen else ''}{_clock(asked)}={place}"


def _at(trend: Trend, moment: datetime) -> int | None:
    """The bucket that holds a moment, or the last one shown before it."""
    found = [index for index, at in enumerate(trend.begins) if at <= moment]
    return found[-1] if found else None


def _alert_marks(trend: Trend, alerts: list[Any]) -> list[dict[str, Any]]:
    marks = [(_at(trend, alert.fired_at), alert) for alert in alerts]
    return [{"x": x, "text": str(alert), "tone": TONES[alert.severity]} for x, alert in marks if x is not None]


def _release_marks(trend: Trend, releases: list[selectors.Release]) -> list[dict[str, Any]]:
    marks = [(_at(trend, release.at), release) for release in releases]
    return [
        {"x": x, "text": _("New version: %s") % release.version, "tone": "good"}
        for x, release in marks
        if x is not None
    ]

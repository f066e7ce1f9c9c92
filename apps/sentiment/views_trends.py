"""Pages of trends."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.sentiment import selectors_trends as selectors
from apps.sentiment.downloads import TABLES, menu
from apps.sentiment.forms_trends import TrendForm
from apps.sentiment.models import Monitor
from apps.sentiment.saved_bar import bar_of
from apps.sentiment.selectors_cells import names_within
from apps.sentiment.trend_charts import (
    alert_marks,
    articles_url,
    chart_of,
    has_band,
    is_compared,
    iso,
    label,
    place_of,
    release_marks,
    span_of,
)
from apps.sentiment.trends import COUNTED, Asked, Trend, TrendMeasure, TrendSeries
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.pages import show_refusal, workspace_url

READ = "sentiment.read"


@require_GET
@page(READ)
def trends(request: PageRequest, pk: int) -> HttpResponse:
    """Series over time beside one another, with what happened meanwhile."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    bar = bar_of(request, found, "trends")
    form = TrendForm(bar.data, monitor=found)
    context: dict[str, Any] = {"monitor": found, "form": form, "bar": bar}
    if form.is_valid():
        try:
            context |= _shown(request, found, form.asked())
            if context["has_figures"]:
                context["downloads"] = menu(request.actor, "sentiment:trend_export", TABLES, pk=found.pk)
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
    context = {"monitor": found, "terms": selectors.terms_of(found, asked), "asked": asked, "iso": span_of(asked)}
    return render(request, "sentiment/_trend_terms.html", context)


def _shown(request: PageRequest, monitor: Monitor, asked: Asked) -> dict[str, Any]:
    trend = selectors.trend_of(monitor, asked)
    alerts, releases = selectors.alerts_in(monitor, asked), selectors.releases(monitor, asked)
    address = workspace_url(request.actor, "sentiment:articles", pk=monitor.pk)
    is_count = asked.measure in COUNTED
    chart = chart_of(monitor, trend, address, [*alert_marks(trend, alerts), *release_marks(trend, releases)])
    chosen = {each.key for each in trend.series}
    offered = list(dict.fromkeys([*chosen, *selectors.largest(monitor, asked)]))
    names = selectors.names_of(monitor, asked.dimension, offered)
    return {
        "trend": trend,
        "measure_name": TrendMeasure(asked.measure).label,
        "limits": list(names_within(monitor, asked.within).values()),
        "asked": asked,
        "is_count": is_count,
        "offered": [(key, names[key], key in chosen) for key in offered if key in names],
        "chart": chart,
        "has_band": has_band(chart),
        "is_compared": is_compared(chart),
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
        "url": articles_url(asked, series, address, f"{iso(trend.begins[0])}/{iso(asked.end_at)}")
        if trend.begins
        else "",
        "highest": value,
        "highest_at": at,
        "highest_label": label(asked, at) if at else "",
        "highest_url": articles_url(asked, series, address, place_of(asked, at)) if at else "",
    }

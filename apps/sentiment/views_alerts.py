"""Pages of alerts: the inbox, one alert with its explanation, and what people do with it."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import formats, timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts.models import User
from apps.inference.attributing import picture_of
from apps.sentiment import rule_words, selectors_alerts, services
from apps.sentiment.downloads import TABLES, menu
from apps.sentiment.filters import AlertFilter
from apps.sentiment.models import Alert, Monitor, Usefulness
from apps.sentiment.selectors_tables import series_around
from apps.sentiment.services.telling import headline
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.pages import is_filtered, keyset, workspace_url

READ, WRITE = "sentiment.read", "sentiment.write"


@require_GET
@page(READ)
def everywhere(request: PageRequest) -> HttpResponse:
    """Alerts of all monitors."""
    rows = selectors_alerts.alerts_everywhere(request.actor)
    return _inbox(request, rows, None)


@require_GET
@page(READ)
def index(request: PageRequest, pk: int) -> HttpResponse:
    """Alerts of a monitor."""
    found = fetch(request.actor, Monitor, READ, pk=pk)
    return _inbox(request, selectors_alerts.alerts_of(found).select_related("monitor"), found)


def _inbox(request: PageRequest, rows: QuerySet[Alert], monitor: Monitor | None) -> HttpResponse:
    filters = AlertFilter(request.GET, rows, user=request.actor.user)
    found = filters.qs if filters.is_valid() else Alert.objects.none()
    context = {
        "monitor": monitor,
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": keyset(request, found, size=50),
        "downloads": _downloads(request, monitor),
        "pairs": [(name, value) for name in filters.filters if (value := request.GET.get(name))],
    }
    part = request.headers.get("HX-Request") == "true"
    return render(request, "sentiment/_alerts.html" if part else "sentiment/alerts.html", context)


def _downloads(request: PageRequest, monitor: Monitor | None) -> list[tuple[str, str]]:
    if monitor is None:
        return menu(request.actor, "sentiment:inbox_export", TABLES)
    return menu(request.actor, "sentiment:alerts_export", TABLES, pk=monitor.pk)


@require_GET
@page(READ)
def alert(request: PageRequest, pk: int) -> HttpResponse:
    """Why an alert was raised, what happened to it, and what people may do."""
    found = _fetch(request, pk, READ, selectors_alerts.with_events(Alert.objects.all()))
    explanation = found.explanation or {}
    context = {
        "alert": found,
        "monitor": found.monitor,
        "found": explanation,
        "samples": _samples(found),
        "headline": headline(found),
        "how": rule_words.METHODS.get(explanation.get("verdict", {}).get("method", ""), ""),
        "chart": _chart(found),
        "people": selectors_alerts.people_of(found.monitor),
        "similar": selectors_alerts.lately_similar(found),
        "usefulness": [each for each in Usefulness.choices if each[0]],
    }
    return render(request, "sentiment/alert.html", context)


def _samples(found: Alert) -> list[dict[str, Any]]:
    """The sample articles as they were then, with the words they were found negative by where these are known."""
    evidence = {each["id"]: each for each in (found.evidence or {}).get("samples", [])}
    return [_sample(row, evidence.get(row["id"], {})) for row in (found.explanation or {}).get("samples", [])]


def _sample(row: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    picture = picture_of(shown["text"], shown["told"], shown["version"]["name"]) if "told" in shown else None
    return {**row, "picture": picture, "language": shown.get("language", ""), "why_not": shown.get("error", "")}


def _chart(found: Alert) -> dict[str, Any]:
    """The series around the moment it fired, as it is counted now; with what was expected then."""
    series = series_around(found)
    if not series:
        return {}
    verdict = (found.explanation or {}).get("verdict", {})
    chart: list[dict[str, Any]] = [{"name": _("Counted"), "values": [count for _at, count in series]}]
    lines = ((_("Expected"), verdict.get("expected")), (_("Upper bound"), verdict.get("high")))
    for name, value in lines:
        if value is not None and found.kind != "share":
            values = [round(value, 2) if at == found.bucket_at else None for at, _count in series]
            chart.append({"name": name, "values": values})
    return {
        "categories": [formats.date_format(timezone.localtime(at), _("M j, H:i")) for at, _count in series],
        "series": chart,
    }


def _fetch(request: PageRequest, pk: int, permission: str, rows: QuerySet[Alert] | None = None) -> Alert:
    rows = Alert.objects.all() if rows is None else rows
    rows = rows.select_related("monitor", "rule", "assigned_to", "acknowledged_by", "resolved_by", "judged_by")
    return fetch(request.actor, rows, permission, pk=pk, within="monitor__workspace")


def _back(request: PageRequest, found: Alert) -> HttpResponse:
    return redirect(workspace_url(request.actor, "sentiment:alert", pk=found.pk))


@require_POST
@page(WRITE)
def acknowledge(request: PageRequest, pk: int) -> HttpResponse:
    """Somebody has seen it."""
    found = _fetch(request, pk, WRITE)
    services.acknowledge(actor=request.actor, alert=found)
    return _back(request, found)


@require_POST
@page(WRITE)
def close(request: PageRequest, pk: int) -> HttpResponse:
    """It is over for people."""
    found = _fetch(request, pk, WRITE)
    try:
        services.close(actor=request.actor, alert=found)
    except Refused as refused:
        messages.warning(request, refused.message)
    return _back(request, found)


@require_POST
@page(WRITE)
def assign(request: PageRequest, pk: int) -> HttpResponse:
    """Make one person answer for it."""
    found = _fetch(request, pk, WRITE)
    chosen = request.POST.get("user", "")
    user = User.objects.filter(pk=int(chosen)).first() if selectors_alerts.is_id(chosen) else None
    services.assign(actor=request.actor, alert=found, user=user)
    return _back(request, found)


@require_POST
@page(WRITE)
def note(request: PageRequest, pk: int) -> HttpResponse:
    """Write something down."""
    found = _fetch(request, pk, WRITE)
    try:
        services.note(actor=request.actor, alert=found, text=request.POST.get("text", ""))
    except Refused as refused:
        messages.warning(request, refused.message)
    return _back(request, found)


@require_POST
@page(WRITE)
def judge(request: PageRequest, pk: int) -> HttpResponse:
    """Say whether it was of use."""
    found = _fetch(request, pk, WRITE)
    try:
        services.judge(actor=request.actor, alert=found, usefulness=request.POST.get("usefulness", ""))
    except Refused as refused:
        messages.warning(request, refused.message)
    return _back(request, found)

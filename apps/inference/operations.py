"""How versions that write are doing: now, as their processes say, and over the last minutes, hours or day, from the rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from apps.inference.memory import Loaded, loaded_versions
from apps.inference.metrics import Busy, busy_versions
from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion
from core.access import PageRequest, page

WINDOWS: Final[dict[str, tuple[str | Promise, timedelta]]] = {
    "15m": (gettext_lazy("15 minutes"), timedelta(minutes=15)),
    "1h": (gettext_lazy("1 hour"), timedelta(hours=1)),
    "1d": (gettext_lazy("1 day"), timedelta(days=1)),
}
CHART_POINTS = 30
ENDED: Final = """
    SELECT model_version_id AS version, finished_at AS at, state, prompt_tokens, cached_tokens, answer_tokens,
        EXTRACT(EPOCH FROM first_token_at - created_at)::float8 AS first,
        CASE WHEN answer_tokens > 1
            THEN EXTRACT(EPOCH FROM finished_at - first_token_at)::float8 / (answer_tokens - 1) END AS each
    FROM inference_generation WHERE finished_at >= %(since)s AND workspace_id = %(workspace)s
"""
FIGURES: Final = f"""
    SELECT version, count(*), count(*) FILTER (WHERE state = 'failed'), sum(prompt_tokens), sum(cached_tokens),
        sum(answer_tokens), percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first),
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY each)
    FROM ({ENDED}) ended GROUP BY GROUPING SETS ((version), ())
"""  # noqa: S608 - only constants of this file
CURVES: Final = f"""
    SELECT floor(EXTRACT(EPOCH FROM at - %(since)s) / %(width)s)::int, sum(prompt_tokens), sum(answer_tokens),
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY first)
    FROM ({ENDED}) ended GROUP BY 1
"""  # noqa: S608 - only constants of this file


@dataclass(frozen=True)
class Figures:
    """What a version, or all together, did in the window, and how busy it is now; seconds, tokens, shares 0..1."""

    version: ModelVersion | None
    requests: int
    failed: int
    prompt_tokens: int
    answer_tokens: int
    cached_share: float | None
    in_rate: float  # tokens a second, over the whole window
    out_rate: float
    first: Sequence[float] | None  # p50, p95 of the time to the first token
    each: Sequence[float] | None  # p50, p95 of the time of a token behind it
    busy: Busy
    places: Sequence[Loaded] = ()


def figures(workspace: Any, window: timedelta, *, now: datetime) -> list[Figures]:
    """All together first, then each version that did something, is busy or is in memory."""
    values = {"since": now - window, "workspace": workspace.pk}
    with connection.cursor() as cursor:
        cursor.execute(FIGURES, values)
        done = {row[0]: row[1:] for row in cursor.fetchall()}
    busy, places = _busy(workspace), loaded_versions(workspace)
    wanted = {pk for pk in {*done, *busy, *places} if pk is not None}
    rows = ModelVersion.objects.filter(workspace=workspace, pk__in=wanted).select_related("family")
    known = list(rows.only("number", "family__name").order_by("family__name", "-number"))
    empty = (0, 0, 0, 0, 0, None, None)
    total = Busy()
    for each in busy.values():
        total = total + each
    found = [_figures(None, done.get(None, empty), window, total, ())]
    for version in known:
        told = busy.get(version.pk, Busy())
        found.append(_figures(version, done.get(version.pk, empty), window, told, places.get(version.pk, ())))
    return found


def _busy(workspace: Any) -> dict[int, Busy]:
    """Version -> what its processes say, with the requests that none of them has taken yet."""
    told = {pk: each for pk, each in busy_versions().items() if each.workspace == workspace.pk}
    rows = Generation.objects.filter(workspace=workspace, state=GenerationState.WAITING).order_by()
    for version, count in rows.values_list("model_version").annotate(count=Count("pk")):
        told[version] = told.get(version, Busy()) + Busy(waiting=count)
    return told


def _figures(
    version: ModelVersion | None, row: Sequence[Any], window: timedelta, busy: Busy, places: Sequence[Loaded]
) -> Figures:
    requests, failed, read, cached, written, first, each = row
    seconds = window.total_seconds()
    return Figures(
        version=version,
        requests=requests,
        failed=failed,
        prompt_tokens=read or 0,
        answer_tokens=written or 0,
        cached_share=cached / read if read else None,
        in_rate=(read or 0) / seconds,
        out_rate=(written or 0) / seconds,
        first=first if first and first[0] is not None else None,
        each=each if each and each[0] is not None else None,
        busy=busy,
        places=places,
    )


def curves(workspace: Any, window: timedelta, *, now: datetime) -> dict[str, dict[str, Any]]:
    """Tokens a second and time to the first token over the window, as the chart module draws them; x in minutes, 0 is now."""
    width = window.total_seconds() / CHART_POINTS
    values = {"since": now - window, "workspace": workspace.pk, "width": width}
    with connection.cursor() as cursor:
        cursor.execute(CURVES, values)
        rows = {min(row[0], CHART_POINTS - 1): row[1:] for row in cursor.fetchall()}
    minutes = [round((at + 1 - CHART_POINTS) * width / 60, 2) for at in range(CHART_POINTS)]
    rates: list[list[Any]] = [[], []]
    firsts: list[list[Any]] = [[], []]
    for at, minute in enumerate(minutes):
        read, written, first = rows.get(at, (0, 0, None))
        rates[0].append([minute, round(read / width, 2)])
        rates[1].append([minute, round(written / width, 2)])
        if first and first[0] is not None:
            firsts[0].append([minute, round(first[0], 4)])
            firsts[1].append([minute, round(first[1], 4)])
    return {
        "rates": _chart([_("read"), _("written")], rates, _("tokens a second")),
        "firsts": _chart(["p50", "p95"], firsts, _("seconds")),
    }


def _chart(names: Sequence[str], points: Sequence[Any], y: str) -> dict[str, Any]:
    series = [{"name": name, "points": each} for name, each in zip(names, points, strict=True)]
    return {"series": series, "x": _("minutes, 0 is now"), "y": y}


@require_GET
@page("workspace.manage")
def operations(request: PageRequest) -> HttpResponse:
    """The page; its figures ask for themselves every few seconds."""
    name = request.GET.get("window", "15m")
    window = WINDOWS.get(name, WINDOWS["15m"])[1]
    now = timezone.now()
    total, *versions = figures(request.actor.workspace, window, now=now)
    context: dict[str, Any] = {"total": total, "versions": versions, "window": name, "windows": WINDOWS}
    if request.htmx:
        return render(request, "inference/_operations.html", context)
    context["charts"] = curves(request.actor.workspace, window, now=now)
    return render(request, "inference/operations.html", context)

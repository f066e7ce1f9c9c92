"""The page of what was used."""

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from apps.inference import usage
from core.access import PageRequest, page
from core.pages import is_filtered, keyset
from core.rows_out import CONTENT_TYPES
from core.streaming import streamed


@require_GET
@page("inference.read")
def index(request: PageRequest) -> HttpResponse:
    """Sums, a chart and the rows by day, key and version."""
    workspace = request.actor.workspace
    filters = usage.UsageFilter(request.GET, queryset=usage.usage_of(workspace))
    context = {
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": keyset(request, filters.qs, size=50),
        "totals": usage.totals(filters.qs),
        "month": usage.month_of(workspace),
        "chart": usage.chart(filters.qs),
        "query": request.GET.urlencode(),
    }
    return render(request, "inference/usage.html", context)


@require_GET
@page("inference.read")
def export(request: PageRequest, kind: str) -> HttpResponseBase:
    """The filtered rows as a file."""
    if kind not in CONTENT_TYPES:
        raise Http404
    rows = usage.UsageFilter(request.GET, queryset=usage.usage_of(request.actor.workspace)).qs
    ending = "jsonl" if kind == "jsonl" else "csv"
    return streamed(usage.written(rows, kind), filename=f"usage.{ending}", content_type=CONTENT_TYPES[kind])

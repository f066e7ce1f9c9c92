"""Pages of requests: what was asked of versions, what they said, and what people thought of it."""

from dataclasses import asdict
from typing import Final

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.inference import services
from apps.inference.models import Generation, OnlineRequest
from apps.inference.request_filters import GenerationFilter, OnlineFilter
from apps.inference.selectors import generations, online_requests, ranked, similarities
from apps.inference.tasks import use_of
from apps.registry.models import Task
from core.access import PageRequest, fetch, page
from core.pages import is_filtered, keyset, workspace_url
from engine.specs.sampling import Sampling

SHOWN_ANSWERS = 16
USUAL: Final = asdict(Sampling())


@require_GET
@page("inference.read")
def written(request: PageRequest) -> HttpResponse:
    """Requests to versions that write, newest first."""
    rows = generations(request.actor.workspace)
    filters = GenerationFilter(request.GET, queryset=rows, request=request)
    found = keyset(request, filters.qs)
    live = any(row.is_open for row in found)
    context = {"filter": filters, "page": found, "filtered": is_filtered(request, filters), "live": live}
    return render(request, "inference/requests.html", {**context, "tab": "written"})


@require_GET
@page("inference.read")
def read(request: PageRequest) -> HttpResponse:
    """Single requests to versions that read, newest first."""
    rows = online_requests(request.actor.workspace)
    filters = OnlineFilter(request.GET, queryset=rows, request=request)
    context = {"filter": filters, "page": keyset(request, filters.qs), "filtered": is_filtered(request, filters)}
    return render(request, "inference/requests.html", {**context, "tab": "read"})


@require_GET
@page("inference.read")
def generation(request: PageRequest, pk: int) -> HttpResponse:
    """One request with what was said, its answers and their feedback."""
    row = fetch(request.actor, generations(request.actor.workspace, texts=True), "inference.read", pk=pk)
    options = {
        name: value for name, value in row.sampling.items() if name != "seed" and value not in (USUAL.get(name), [])
    }
    context = {"row": row, "options": options, "answers": row.answers[:SHOWN_ANSWERS], "more": len(row.answers)}
    return render(request, "inference/request.html", {**context, "shown": SHOWN_ANSWERS})


@require_POST
@page("inference.write")
def cancel(request: PageRequest, pk: int) -> HttpResponse:
    """Enough: what was written stays."""
    row = fetch(request.actor, Generation, "inference.write", pk=pk)
    services.cancel_generation(row.pk)
    return redirect(workspace_url(request.actor, "inference:requests-one", pk=row.pk))


@require_GET
@page("inference.read")
def online(request: PageRequest, pk: int) -> HttpResponse:
    """One single request with what the version said of each text, and its feedback."""
    row: OnlineRequest = fetch(request.actor, online_requests(request.actor.workspace), "inference.read", pk=pk)
    context = {
        "row": row,
        "asked": row,
        "use": use_of(row.model_version),
        "pairs": list(zip(row.texts, row.results, strict=False)),
        "similarities": similarities(row),
        "ranked": ranked(row),
        "per_text": row.model_version.task == Task.CLASSIFICATION,
        "shown": SHOWN_ANSWERS,
    }
    return render(request, "inference/request_read.html", context)

"""Pages of batches by /v1/batches: list, live detail, the files of results, cancel."""

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.inference import services
from apps.inference.filters import ApiBatchFilter
from apps.inference.models import ApiBatch, ItemState
from apps.inference.selectors import api_batches, batch_items
from core.access import PageRequest, fetch, page
from core.keyset import keyset_by
from core.pages import is_filtered, keyset, workspace_url
from core.storage import home
from core.streaming import streamed_file

ITEMS_SHOWN = 10


@require_GET
@page("inference.read")
def index(request: PageRequest) -> HttpResponse:
    """All of them, newest first."""
    filters = ApiBatchFilter(request.GET, queryset=api_batches(request.actor.workspace))
    context = {"filter": filters, "page": keyset(request, filters.qs), "filtered": is_filtered(request, filters)}
    return render(request, "inference/batches.html", context)


@require_GET
@page("inference.read")
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """State, counts, files, what is wrong with its file, and requests with their results."""
    return render(request, "inference/batch.html", _detail(request, _one(request, pk)))


@require_GET
@page("inference.read")
def live(request: PageRequest, pk: int) -> HttpResponse:
    """The part that changes while it is worked on."""
    return render(request, "inference/_batch_live.html", _detail(request, _one(request, pk)))


@require_POST
@page("inference.write")
def cancel(request: PageRequest, pk: int) -> HttpResponse:
    """End it; a second click is harmless."""
    batch = fetch(request.actor, api_batches(request.actor.workspace), "inference.write", pk=pk)
    services.cancel_batch(actor=request.actor, batch=batch)
    return redirect(workspace_url(request.actor, "inference:batch", pk=batch.pk))


@require_GET
@page("inference.read")
def file(request: PageRequest, pk: int, what: str) -> HttpResponseBase:
    """One of its two files."""
    batch = _one(request, pk)
    found = {"output": batch.output_file, "errors": batch.error_file}.get(what)
    path = home() / found.path if found is not None else None
    if found is None or path is None or not path.is_file():
        raise Http404
    return streamed_file(path, filename=found.name)


def _one(request: PageRequest, pk: int) -> ApiBatch:
    return fetch(request.actor, api_batches(request.actor.workspace), "inference.read", pk=pk)


def _detail(request: PageRequest, batch: ApiBatch) -> dict[str, Any]:
    rows, state = batch_items(batch), request.GET.get("state", "")
    rows = rows.filter(state=state) if state in ItemState.values else rows
    moments = (
        (_("Created"), batch.created_at),
        (_("Checked"), batch.in_progress_at),
        (_("Cancel asked for"), batch.cancelling_at),
        (_("Completed"), batch.completed_at),
        (_("Failed"), batch.failed_at),
        (_("Cancelled"), batch.cancelled_at),
        (_("Expired"), batch.expired_at),
        (_("Ends at the latest"), None if batch.ended else batch.expires_at),
    )
    return {
        "batch": batch,
        "job": batch.job,
        "moments": [(words, moment) for words, moment in moments if moment],
        "page": keyset_by(request.GET, rows, "position", size=ITEMS_SHOWN),
    }

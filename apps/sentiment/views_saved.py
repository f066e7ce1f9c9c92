"""Pages that keep, change and take away saved views; each leads back to the page that was shown."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.sentiment import services
from apps.sentiment.forms_saved import SavedViewForm, kept_of
from apps.sentiment.models import Monitor, SavedView
from apps.sentiment.saved_bar import ALL, PLACES
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import show_refusal, workspace_url

READ = "sentiment.read"


@require_POST
@page(READ)
@once(seconds=30)
def save(request: PageRequest, pk: int) -> HttpResponse:
    """Keep what a page shows under a name."""
    monitor = fetch(request.actor, Monitor, READ, pk=pk)
    place = request.POST.get("place", "")
    place = place if place in PLACES else "articles"
    form = SavedViewForm(request.POST)
    if form.is_valid():
        try:
            kept = kept_of(monitor, PLACES[place], _filters(request))
            made = services.save_view(
                actor=request.actor, monitor=monitor, kind=PLACES[place], filters=kept.values, names=kept.names,
                **form.cleaned_data,
            )  # fmt: skip
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(_address(request, made, place))
    return _again(request, form, {"monitor": monitor, "place": place})


@require_POST
@page(READ)
def change(request: PageRequest, pk: int) -> HttpResponse:
    """Another name, shared or not."""
    view = _one(request, pk)
    form = SavedViewForm(request.POST)
    if form.is_valid():
        try:
            changed = services.change_view(actor=request.actor, view=view, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            is_there = changed.is_shared or view.owner.user_id == request.actor.user.pk
            return redirect(_address(request, view if is_there else None, _place(request, view), view.monitor_id))
    return _again(request, form, {"monitor": view.monitor, "place": _place(request, view), "view": view})


@require_POST
@page(READ)
def overwrite(request: PageRequest, pk: int) -> HttpResponse:
    """Keep what the page shows now in place of what was kept."""
    view = _one(request, pk)
    try:
        kept = kept_of(view.monitor, view.kind, _filters(request))
        services.change_view(actor=request.actor, view=view, filters=kept.values, names=kept.names)
    except Refused as refused:
        messages.error(request, " ".join(str(problem.message) for problem in refused.problems))
    else:
        messages.success(request, _("Saved."))
    return redirect(_address(request, view, _place(request, view)))


@require_POST
@page(READ)
def open_with(request: PageRequest, pk: int) -> HttpResponse:
    """Let the page open with a view from now on, or no more."""
    view = _one(request, pk)
    services.open_with(actor=request.actor, view=view, is_wanted=request.POST.get("on") == "1")
    return redirect(_address(request, view, _place(request, view)))


@require_POST
@page(READ)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take a view away."""
    view = _one(request, pk)
    place, monitor = _place(request, view), view.monitor_id
    services.delete_view(actor=request.actor, view=view)
    messages.success(request, _("“%s” is deleted.") % view.name)
    return redirect(_address(request, None, place, monitor))


def _one(request: PageRequest, pk: int) -> SavedView:
    rows = SavedView.objects.select_related("monitor", "owner")
    return fetch(request.actor, rows, READ, pk=pk, within="monitor__workspace")


def _filters(request: PageRequest) -> QueryDict:
    return QueryDict(request.POST.get("query", ""))


def _place(request: PageRequest, view: SavedView) -> str:
    """The page to go back to: the one that sent the form, where it has such views."""
    asked = request.POST.get("place", "")
    return asked if PLACES.get(asked) == view.kind else view.kind


def _address(request: PageRequest, view: SavedView | None, place: str, monitor: int | None = None) -> str:
    found = view.monitor_id if view else monitor
    return f"{workspace_url(request.actor, f'sentiment:{place}', pk=found)}?view={view.pk if view else ALL}"


def _again(request: PageRequest, form: Any, context: dict[str, Any]) -> HttpResponse:
    """The form by itself, with what is wrong."""
    context |= {"form": form, "query": request.POST.get("query", "")}
    return render(request, "sentiment/saved_view.html", context, status=422)

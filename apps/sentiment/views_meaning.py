"""Pages of topics and entities: tables, forms, the try-out, and the table as a file."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import formats
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.sentiment import forms_meaning as forms
from apps.sentiment import selectors_meaning as selectors
from apps.sentiment import services, tables
from apps.sentiment.models import Dimension, Entity, Monitor, Topic
from core.access import PageRequest, fetch, page, rows_of
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url
from core.streaming import streamed

READ, WRITE = "sentiment.read", "sentiment.write"


@require_GET
@page(READ)
def entities(request: PageRequest) -> HttpResponse:
    """The table, with what was written about each in the last 7 days, and a text to try it on."""
    workspace, words = request.actor.workspace, request.GET.get("q", "").strip()[:100]
    rows = selectors.with_aliases(selectors.entities_of(workspace))
    shown = keyset(request, selectors.named(rows, words) if words else rows, size=50)
    context = {
        "q": words,
        "page": shown,
        "rows": _with_shares(request, Dimension.ENTITY, list(shown)),
        "form": forms.TryForm(),
    }
    return render(request, "sentiment/entities.html", context)


@require_POST
@page(READ)
def try_out(request: PageRequest) -> HttpResponse:
    """Which entities and topics a text has, and why."""
    form = forms.TryForm(request.POST)
    if not form.is_valid():
        return render(request, "sentiment/_tried.html", {"form": form}, status=422)
    tried = services.try_text(request.actor.workspace, form.cleaned_data["text"])
    return render(request, "sentiment/_tried.html", {"tried": tried})


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def edit_entity(request: PageRequest, pk: int | None = None) -> HttpResponse:
    """An entity with its aliases, empty for a new one."""
    found = fetch(request.actor, Entity, WRITE, pk=pk) if pk else None
    form = forms.EntityForm(request.POST or None, instance=found)
    aliases = forms.AliasForms(request.POST or None, initial=forms.alias_rows(found), prefix="aliases")
    if request.method == "POST" and form.is_valid() and aliases.is_valid():
        given: dict[str, Any] = {**form.cleaned_data, "aliases": forms.aliases_of(aliases)}
        try:
            if found is None:
                services.create_entity(actor=request.actor, **{**given, "aliases": given["aliases"] or None})
            else:
                services.change_entity(actor=request.actor, entity=found, **given)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "sentiment:entities"))
    context = {"form": form, "aliases": aliases, "entity": found}
    status = 422 if form.errors or (request.method == "POST" and not aliases.is_valid()) else 200
    return render(request, "sentiment/entities_edit.html", context, status=status)


@require_POST
@page(WRITE)
def delete_entity(request: PageRequest, pk: int) -> HttpResponse:
    """Take an entity away with its links and figures."""
    found = fetch(request.actor, Entity, WRITE, pk=pk)
    services.delete_entity(actor=request.actor, entity=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "sentiment:entities"))


@require_GET
@page(READ)
def entities_csv(request: PageRequest) -> HttpResponseBase:
    """The table as a file: exact, or for spreadsheets."""
    rows = selectors.with_aliases(selectors.entities_of(request.actor.workspace))
    lines = tables.csv_lines(rows.iterator(chunk_size=500), for_spreadsheets=request.GET.get("for") == "spreadsheets")
    return streamed(lines, filename="entities.csv", content_type="text/csv; charset=utf-8")


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=60)
def import_entities(request: PageRequest) -> HttpResponse:
    """Create or change the entities of a file; those that are refused are named with the reason."""
    form = forms.ImportForm(request.POST or None, request.FILES or None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST" and form.is_valid():
        try:
            items = tables.read_csv(form.cleaned_data["file"].read(tables.MOST_BYTES + 1))
            results = services.upsert_entities(actor=request.actor, items=items)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            states = ("created", "changed", "unchanged", "refused")
            counts = {state: sum(each.state == state for each in results) for state in states}
            refused_rows = [each for each in results if each.problem][:100]
            context |= {"counts": counts, "refused": refused_rows}
    return render(request, "sentiment/entities_import.html", context, status=422 if form.errors else 200)


@require_POST
@page(WRITE)
def link_again(request: PageRequest) -> HttpResponse:
    """Look through earlier articles with the tables as they are now."""
    count = services.link_again(workspace=request.actor.workspace)
    said = _("Earlier articles are looked through, the newest first. Monitors: %s")
    messages.success(request, said % formats.number_format(count))
    name = "sentiment:topics" if request.POST.get("back") == "topics" else "sentiment:entities"
    return redirect(workspace_url(request.actor, name))


@require_GET
@page(READ)
def topics(request: PageRequest) -> HttpResponse:
    """All topics with what was written about each in the last 7 days."""
    shown = keyset(request, rows_of(request.actor, selectors.topics_of(request.actor.workspace)), size=100)
    context = {"page": shown, "rows": _with_shares(request, Dimension.TOPIC, list(shown))}
    return render(request, "sentiment/topics.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page(WRITE)
@once(seconds=30)
def edit_topic(request: PageRequest, pk: int | None = None) -> HttpResponse:
    """A topic's form, empty for a new one."""
    found = fetch(request.actor, Topic, WRITE, pk=pk) if pk else None
    form = forms.TopicForm(request.POST or None, instance=found, actor=request.actor)
    if request.method == "POST" and form.is_valid():
        try:
            if found is None:
                services.create_topic(actor=request.actor, **form.cleaned_data)
            else:
                services.change_topic(actor=request.actor, topic=found, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "sentiment:topics"))
    context = {"form": form, "topic": found}
    return render(request, "sentiment/topics_edit.html", context, status=422 if form.errors else 200)


@require_POST
@page(WRITE)
def delete_topic(request: PageRequest, pk: int) -> HttpResponse:
    """Take a topic away with its figures."""
    found = fetch(request.actor, Topic, WRITE, pk=pk)
    services.delete_topic(actor=request.actor, topic=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "sentiment:topics"))


def _with_shares(request: PageRequest, dimension: Dimension, rows: list[Any]) -> list[tuple[Any, selectors.Share]]:
    monitors = rows_of(request.actor, Monitor)
    found = selectors.shares(monitors, dimension, keys=[row.pk for row in rows]) if rows else {}
    return [(row, found.get(row.pk, selectors.Share(row.pk))) for row in rows]

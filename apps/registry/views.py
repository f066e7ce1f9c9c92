"""Pages of the registry: models, versions, aliases, cards, imports and base models."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.registry import selectors, services
from apps.registry.downloads import export_response
from apps.registry.forms import (
    BaseModelForm,
    CardForm,
    ConnectionForm,
    DescriptionForm,
    ImportForm,
)
from apps.registry.markdown import as_html
from apps.registry.models import BaseModel, ExportKind, ModelFamily, ModelVersion, VersionExport, VersionImport
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url


@page("registry.read")
@require_GET
def index(request: PageRequest) -> HttpResponse:
    """Every model with its newest version and aliases."""
    rows = selectors.families_of(request.actor.workspace)
    found = keyset(request, rows)
    newest = selectors.newest_versions(found.rows)
    entries = [(family, newest.get(family.pk)) for family in found.rows]
    return render(request, "registry/list.html", {"entries": entries, "page": found})


@page("registry.read")
@require_GET
def family(request: PageRequest, pk: int) -> HttpResponse:
    """One model: its versions, aliases and their history."""
    row = fetch(request.actor, ModelFamily, "registry.read", pk=pk)
    versions = keyset(request, selectors.versions_of(request.actor.workspace).filter(family=row))
    moves = list(selectors.moves_of(row)[:50])
    context = {
        "family": row,
        "page": versions,
        "aliases": row.aliases.select_related("version").order_by("name"),
        "moves": moves,
        "rollable": {move.alias for move in moves if move.from_number and move.to_number},
    }
    return render(request, "registry/family.html", context)


@page("registry.read")
@require_GET
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """One version: figures, classes, samples, making, files, card, approval."""
    version = fetch(request.actor, selectors.versions_of(request.actor.workspace), "registry.read", pk=pk)
    card = selectors.card_of(version)
    context = {
        "version": version,
        "metrics": version.report,
        "samples": version.samples[:50],
        "card": card,
        "card_html": as_html(card.generated),
        "notes_html": as_html(card.notes),
        "exports": selectors.exports_of(version)[:5],
        "export_kinds": [(kind, ExportKind(kind).label) for kind in selectors.export_kinds(version)],
        "check": version.checks.select_related("job").order_by("-id").first(),
        "users": services.users_of(version),
        "form": DescriptionForm(initial={"description": version.description}),
        "server": selectors.server_of(version) if version.is_remote and version.state == "ready" else None,
    }
    return render(request, "registry/detail.html", context)


@page("registry.write")
@require_POST
def describe(request: PageRequest, pk: int) -> HttpResponse:
    """Change the description."""
    version = fetch(request.actor, ModelVersion, "registry.write", pk=pk)
    form = DescriptionForm(request.POST)
    if form.is_valid():
        services.describe(actor=request.actor, version=version, description=form.cleaned_data["description"])
        messages.success(request, _("Saved."))
    return redirect(_version_url(request, version))


@page("registry.write")
@require_POST
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Delete a version that nothing needs."""
    version = fetch(request.actor, ModelVersion.objects.select_related("family"), "registry.write", pk=pk)
    services.delete_version(actor=request.actor, version=version)
    messages.success(request, _("The version is deleted."))
    return redirect(workspace_url(request.actor, "registry:family", pk=version.family_id))


@page("registry.write")
@require_http_methods(["GET", "POST"])
def card(request: PageRequest, pk: int) -> HttpResponse:
    """Write on the card."""
    version = fetch(request.actor, selectors.versions_of(request.actor.workspace), "registry.write", pk=pk)
    form = CardForm(request.POST or None, instance=None if request.POST else selectors.card_of(version))
    if request.method == "POST" and form.is_valid():
        services.edit_card(actor=request.actor, version=version, **form.cleaned_data)
        messages.success(request, _("The card has a new revision."))
        return redirect(_version_url(request, version))
    revisions = version.card_revisions.select_related("created_by").order_by("-number")[:50]
    return render(request, "registry/card.html", {"version": version, "form": form, "revisions": revisions})


@page("registry.write")
@require_POST
@once()
def export(request: PageRequest, pk: int) -> HttpResponse:
    """Pack or convert the version in the background."""
    version = fetch(request.actor, ModelVersion.objects.select_related("family"), "registry.write", pk=pk)
    kind = request.POST.get("kind", ExportKind.ARCHIVE)
    services.start_export(actor=request.actor, version=version, kind=kind)
    return redirect(_version_url(request, version))


@page("registry.read")
@require_GET
def download(request: PageRequest, pk: int) -> HttpResponseBase:
    """The zip of a finished export."""
    export = fetch(request.actor, VersionExport.objects.select_related("version__family"), "registry.read", pk=pk)
    return export_response(export)


@page("registry.write")
@require_POST
@once()
def verify(request: PageRequest, pk: int) -> HttpResponse:
    """Compare the files with their hashes in the background."""
    version = fetch(request.actor, ModelVersion.objects.select_related("family"), "registry.write", pk=pk)
    services.start_check(actor=request.actor, version=version)
    return redirect(_version_url(request, version))


@page("registry.write")
@require_POST
def rollback(request: PageRequest, pk: int, alias: str) -> HttpResponse:
    """Point an alias to where it stood before."""
    row = fetch(request.actor, ModelFamily, "registry.write", pk=pk)
    services.rollback_alias(actor=request.actor, family=row, name=alias, reason=request.POST.get("reason", "")[:1000])
    return redirect(workspace_url(request.actor, "registry:family", pk=row.pk))


@page("registry.write")
@require_POST
def remove(request: PageRequest, pk: int, alias: str) -> HttpResponse:
    """Take an alias away."""
    row = fetch(request.actor, ModelFamily, "registry.write", pk=pk)
    services.remove_alias(actor=request.actor, family=row, name=alias, reason=request.POST.get("reason", "")[:1000])
    return redirect(workspace_url(request.actor, "registry:family", pk=row.pk))


@page("registry.read")
@require_GET
def compare(request: PageRequest) -> HttpResponse:
    """Figures and settings of two to four versions side by side."""
    ids = [part for part in request.GET.getlist("version") if part.isascii() and part.isdigit() and len(part) < 19][:4]
    rows = selectors.versions_of(request.actor.workspace)
    found = {row.pk: row for row in rows.filter(pk__in=[int(part) for part in ids])}
    versions = [found[int(part)] for part in dict.fromkeys(ids) if int(part) in found]
    context: dict[str, Any] = {
        "versions": versions,
        "choices": selectors.version_choices(request.actor.workspace)[:500],
    }
    if len(versions) > 1:
        context.update(figures=selectors.figures_beside(versions), settings_=selectors.settings_beside(versions))
    return render(request, "registry/compare.html", context)


@page("registry.write")
@require_http_methods(["GET", "POST"])
@once()
def new_import(request: PageRequest) -> HttpResponse:
    """Upload a zip of a model folder."""
    form = ImportForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            made = services.start_import(
                actor=request.actor, name=values["name"], upload=values["file"], description=values["description"]
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "registry:import", pk=made.pk))
    return render(request, "registry/import_new.html", {"form": form}, status=422 if form.errors else 200)


@page("registry.write")
@require_http_methods(["GET", "POST"])
@once()
def connect(request: PageRequest) -> HttpResponse:
    """Register a model that another server answers."""
    form = ConnectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        name, description = values.pop("name"), values.pop("description")
        try:
            made = services.connect_server(
                actor=request.actor, name=name, connection=services.Connection(**values), description=description
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "registry:detail", pk=made.pk))
    return render(request, "registry/connect.html", {"form": form}, status=422 if form.errors else 200)


@page("registry.read")
@require_GET
def import_detail(request: PageRequest, pk: int) -> HttpResponse:
    """How an import goes."""
    rows = VersionImport.objects.select_related("job", "version__family")
    return render(request, "registry/import.html", {"row": fetch(request.actor, rows, "registry.read", pk=pk)})


@page("registry.read")
@require_http_methods(["GET", "POST"])
def base_models(request: PageRequest) -> HttpResponse:
    """Base models, and a form to add one."""
    if request.method == "POST":
        require(request.actor, "registry.write")
    form = BaseModelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.add_base_model(actor=request.actor, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "registry:base_models"))
    rows = selectors.base_models_of(request.actor.workspace)
    return render(
        request, "registry/base_models.html", {"rows": rows, "form": form}, status=422 if form.errors else 200
    )


@page("registry.write")
@require_POST
def delete_base_model(request: PageRequest, pk: int) -> HttpResponse:
    """Remove a base model of the workspace."""
    row = fetch(request.actor, BaseModel, "registry.write", pk=pk)
    services.delete_base_model(actor=request.actor, base_model=row)
    return redirect(workspace_url(request.actor, "registry:base_models"))


def _version_url(request: PageRequest, version: ModelVersion) -> str:
    return workspace_url(request.actor, "registry:detail", pk=version.pk)

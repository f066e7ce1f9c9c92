"""Pages of frozen versions and exports."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.datasets import selectors as rows
from apps.datasets import services
from apps.datasets.downloads import export_response
from apps.datasets.formats.writers import losses
from apps.datasets.forms import FORMAT_NAMES, ExportForm, FreezeForm
from apps.datasets.services.exports import write_options
from apps.datasets.views.shared import dataset_of, framed, one_of, show_refusal
from core.access import PageRequest, page
from core.errors import Refused
from core.once import once
from core.pages import keyset, workspace_url
from engine.specs import RECIPES


@require_http_methods(["GET", "POST"])
@page("datasets.read")
@once()
def versions(request: PageRequest, pk: int) -> HttpResponse:
    """Versions, newest first; POST freezes another."""
    dataset = dataset_of(request, pk, "datasets.write" if request.method == "POST" else "datasets.read")
    form = FreezeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            version = services.freeze(actor=request.actor, dataset=dataset, note=form.cleaned_data["note"])
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "datasets:version", pk=dataset.pk, number=version.number))
    found = list(rows.versions(dataset)[:200])
    context = framed(dataset, "versions", versions=found, form=form)
    return render(request, "datasets/versions.html", context, status=409 if form.errors else 200)


@require_GET
@page("datasets.read")
def version(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """One version: hash, counts, and what changed since the one before."""
    dataset = dataset_of(request, pk)
    found = one_of(rows.versions(dataset), number=number)
    splits = ("train", "dev", "test", "none")
    table = [
        (label, count, [found.counts["label_splits"].get(label, {}).get(split, 0) for split in splits])
        for label, count in found.counts.get("labels", {}).items()
    ]
    changes = [
        (name, words, found.diff.get(name, 0), ",".join(map(str, found.diff["examples"].get(name, []))))
        for name, words in (
            ("added", _("Added")),
            ("removed", _("Removed")),
            ("changed", _("Text changed")),
            ("relabelled", _("Relabelled")),
            ("moved", _("Moved to another split")),
        )
        if found.diff
    ]
    split_rows = [(split, found.counts["splits"][split]) for split in splits if split in found.counts.get("splits", {})]
    context = framed(
        dataset,
        "versions",
        version=found,
        job=found.job,
        splits=splits,
        split_rows=split_rows,
        table=table,
        changes=changes,
        recipe=next((name for name, known in RECIPES.items() if dataset.kind in known.data_kinds), ""),
    )
    return render(request, "datasets/version.html", context)


@require_POST
@page("datasets.write")
def delete_version(request: PageRequest, pk: int, number: int) -> HttpResponse:
    """Delete a version nobody used."""
    dataset = dataset_of(request, pk, "datasets.write")
    services.delete_version(actor=request.actor, version=one_of(rows.versions(dataset), number=number))
    messages.success(request, _("Version %d was deleted.") % number)
    return redirect(workspace_url(request.actor, "datasets:versions", pk=dataset.pk))


@require_http_methods(["GET", "POST"])
@page("datasets.read")
@once()
def exports(request: PageRequest, pk: int) -> HttpResponse:
    """Exports with their files; POST starts another."""
    dataset = dataset_of(request, pk)
    form = ExportForm(
        request.POST or None, dataset=dataset, initial={"version": request.GET.get("version"), "split": "all"}
    )
    if request.method == "POST" and form.is_valid():
        split = {"": None, "all": None, "none": ""}.get(form.cleaned_data["split"], form.cleaned_data["split"])
        try:
            services.export(
                actor=request.actor,
                dataset=dataset,
                version=form.cleaned_data["version"],
                format=form.cleaned_data["format"],
                split=split,
                options=form.options(),
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "datasets:exports", pk=dataset.pk))
    formats = [
        (name, FORMAT_NAMES[name], losses(dataset.kind, name, write_options({})))
        for name, _words in form.fields["format"].choices  # type: ignore[attr-defined]
    ]
    context = framed(
        dataset, "exports", form=form, formats=formats, page=keyset(request, rows.exports(dataset), size=20)
    )
    return render(request, "datasets/exports.html", context, status=422 if form.errors else 200)


@require_GET
@page("datasets.read")
def download(request: PageRequest, pk: int, number: int) -> HttpResponseBase:
    """The file of an export."""
    found = one_of(rows.exports(dataset_of(request, pk)), pk=number)
    return export_response(found)

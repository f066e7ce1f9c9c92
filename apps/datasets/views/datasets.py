"""Pages of datasets themselves: list, new, settings, profile, splits."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.datasets import services
from apps.datasets.filters import DatasetFilter
from apps.datasets.forms import DatasetForm, SettingsForm, SplitForm
from apps.datasets.kinds import kind_cards
from apps.datasets.models import Split
from apps.datasets.selectors import datasets
from apps.datasets.services.splitting import checked_plan, preview_split
from apps.datasets.views.shared import dataset_of, framed, show_refusal
from core.access import PageRequest, page
from core.errors import Refused
from core.once import once
from core.pages import is_filtered, keyset, workspace_url


@require_GET
@page("datasets.read")
def index(request: PageRequest) -> HttpResponse:
    """Datasets, newest first; ?archived=1 shows those put away."""
    archived = request.GET.get("archived") == "1"
    filters = DatasetFilter(request.GET, queryset=datasets(request.actor.workspace, archived=archived))
    context = {
        "page": keyset(request, filters.qs),
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "archived": archived,
        "kept": {"archived": "1"} if archived else {},
    }
    return render(request, "datasets/list.html", context)


@require_http_methods(["GET", "POST"])
@page("datasets.write")
@once()
def new(request: PageRequest) -> HttpResponse:
    """The kind by its example, the name, the labels."""
    form = DatasetForm(request.POST or None, initial={"kind": request.GET.get("kind") or "classification"})
    if request.method == "POST" and form.is_valid():
        try:
            dataset = services.create(actor=request.actor, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "datasets:import_new", pk=dataset.pk))
    context = {"form": form, "kinds": kind_cards(), "chosen": form["kind"].value()}
    return render(request, "datasets/new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page("datasets.read")
def settings(request: PageRequest, pk: int) -> HttpResponse:
    """Name, labels and description; archive and delete."""
    dataset = dataset_of(request, pk, "datasets.write" if request.method == "POST" else "datasets.read")
    form = SettingsForm(request.POST or None, dataset=dataset)
    if request.method == "POST" and form.is_valid():
        try:
            services.update(actor=request.actor, dataset=dataset, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "datasets:settings", pk=dataset.pk))
    context = framed(dataset, "settings", form=form)
    return render(request, "datasets/settings.html", context, status=422 if form.errors else 200)


@require_POST
@page("datasets.write")
def archive(request: PageRequest, pk: int) -> HttpResponse:
    """Put a dataset away."""
    services.archive(actor=request.actor, dataset=dataset_of(request, pk, "datasets.write"))
    messages.success(request, _("Archived. You find it under “Archived” in the list."))
    return redirect(workspace_url(request.actor, "datasets:list"))


@require_POST
@page("datasets.write")
def unarchive(request: PageRequest, pk: int) -> HttpResponse:
    """Bring a dataset back."""
    dataset = services.unarchive(actor=request.actor, dataset=dataset_of(request, pk, "datasets.write"))
    return redirect(workspace_url(request.actor, "datasets:detail", pk=dataset.pk))


@require_POST
@page("datasets.write")
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Delete a dataset for good."""
    dataset = dataset_of(request, pk, "datasets.write")
    name = dataset.name
    services.delete(actor=request.actor, dataset=dataset)
    messages.success(request, _("“%s” was deleted.") % name)
    return redirect(workspace_url(request.actor, "datasets:list"))


@require_http_methods(["GET", "POST"])
@page("datasets.read")
def profile(request: PageRequest, pk: int) -> HttpResponse:
    """What the dataset is like; POST looks again."""
    dataset = dataset_of(request, pk, "datasets.write" if request.method == "POST" else "datasets.read")
    if request.method == "POST":
        services.request_profile(actor=request.actor, dataset=dataset)
        return redirect(workspace_url(request.actor, "datasets:profile", pk=dataset.pk))
    context = framed(
        dataset,
        "profile",
        job=dataset.profile_job,
        profile=dataset.profile,
        outdated=bool(dataset.profile) and dataset.profile_revision != dataset.revision,
        **_charts(dataset.profile),
    )
    return render(request, "datasets/profile.html", context)


def _charts(profile: dict[str, Any]) -> dict[str, Any]:
    if not profile:
        return {}
    balance = profile["labels"]["balance"][:60]
    splits = sorted({split for row in balance for split in row["splits"]}, key=_split_order)
    labels = {
        "categories": [row["label"] for row in balance],
        "series": [
            {
                "name": Split(split).label if split else _("No split"),
                "values": [row["splits"].get(split, 0) for row in balance],
            }
            for split in splits
        ],
        "horizontal": len(balance) > 8,
        "stacked": True,
    }
    languages = {
        "categories": list(profile["languages"]),
        "series": [{"name": _("Share"), "values": list(profile["languages"].values())}],
        "share": True,
    }
    marks = ("min", "p5", "p25", "p50", "p75", "p95", "p99", "max")
    lengths = {
        "categories": [mark for mark in marks if mark in profile["tokens"]],
        "series": [
            {"name": _("Word tokens"), "values": [profile["tokens"][m] for m in marks if m in profile["tokens"]]}
        ],
    }
    return {"label_chart": labels, "language_chart": languages, "length_chart": lengths}


def _split_order(split: str) -> int:
    return ("train", "dev", "test", "").index(split)


@require_http_methods(["GET", "POST"])
@page("datasets.read")
def splits(request: PageRequest, pk: int) -> HttpResponse:
    """The form with a preview of the counts; POST with `apply` starts the job."""
    dataset = dataset_of(request, pk, "datasets.write" if request.method == "POST" else "datasets.read")
    held = dict(dataset.split_settings)
    initial = {**held, **{name: held[name] * 100 for name in ("train", "dev", "test") if name in held}}
    form = SplitForm(request.POST or None, initial=initial)
    preview = None
    if request.method == "POST" and form.is_valid():
        try:
            plan = checked_plan(form.plan())
            if "apply" in request.POST:
                services.request_split(actor=request.actor, dataset=dataset, plan=plan)
                return redirect(workspace_url(request.actor, "datasets:splits", pk=dataset.pk))
            preview = preview_split(dataset, plan)
        except Refused as refused:
            show_refusal(form, refused)
    context = framed(dataset, "splits", form=form, preview=preview, job=dataset.split_job)
    return render(request, "datasets/splits.html", context, status=422 if form.errors else 200)

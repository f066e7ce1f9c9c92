"""Pages of examples: browse with search and filters, one example with history, bulk actions."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.datasets import services
from apps.datasets.filters import ExampleFilter, page_filter
from apps.datasets.forms import ExampleForm
from apps.datasets.models import Dataset, Example
from apps.datasets.selectors import LIST_COLUMNS, all_examples, history
from apps.datasets.views.shared import dataset_of, framed, one_of, show_refusal
from core.access import PageRequest, page
from core.errors import Refused
from core.pages import is_filtered, keyset, workspace_url

HISTORY_SHOWN = 50


@require_GET
@page("datasets.read")
def browse(request: PageRequest, pk: int) -> HttpResponse:
    """Examples of a dataset, newest first."""
    dataset = dataset_of(request, pk)
    filters = page_filter(request.GET, all_examples(dataset), dataset)
    found = keyset(request, filters.qs.only(*LIST_COLUMNS, "dataset_id"))
    context = framed(
        dataset,
        "detail",
        page=found,
        filter=filters,
        filtered=is_filtered(request, filters),
        query=_filter_query(request.GET),
    )
    return render(request, "datasets/detail.html", context)


def _filter_query(values: QueryDict) -> str:
    """The filter part of an address, for actions on everything that matches."""
    kept = values.copy()
    for name in ("before", "after"):
        kept.pop(name, None)
    return kept.urlencode()


@require_http_methods(["GET", "POST"])
@page("datasets.write")
def new(request: PageRequest, pk: int) -> HttpResponse:
    """Type one example in."""
    dataset = dataset_of(request, pk, "datasets.write")
    form = ExampleForm(request.POST or None, dataset=dataset)
    if request.method == "POST" and form.is_valid():
        item = {"record": form.record(), "split": form.cleaned_data["split"]}
        result = services.add(actor=request.actor, dataset=dataset, items=[item])[0]
        if result["status"] == "bad":
            show_refusal(form, Refused(result["code"], result["message"], field=result["field"]))
        else:
            return redirect(workspace_url(request.actor, "datasets:example", pk=dataset.pk, example=result["id"]))
    context = framed(dataset, "detail", form=form)
    return render(request, "datasets/example_new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page("datasets.read")
def detail(request: PageRequest, pk: int, example: int) -> HttpResponse:
    """One example with its history; POST changes it."""
    dataset = dataset_of(request, pk, "datasets.write" if request.method == "POST" else "datasets.read")
    found = _example(dataset, example)
    form = ExampleForm(request.POST or None, dataset=dataset, example=found)
    if request.method == "POST" and form.is_valid():
        try:
            services.edit(
                actor=request.actor,
                example=found,
                record=form.record(),
                split=form.cleaned_data["split"],
                revision=form.cleaned_data["revision"],
            )
        except Refused as refused:
            show_refusal(form, refused)
        else:
            messages.success(request, _("Saved. What it was before is in the history."))
            return redirect(workspace_url(request.actor, "datasets:example", pk=dataset.pk, example=found.pk))
    context = framed(dataset, "detail", form=form, example=found, history=history(found)[:HISTORY_SHOWN])
    return render(request, "datasets/example.html", context, status=422 if form.errors else 200)


def _example(dataset: Dataset, pk: int) -> Example:
    found: Example = one_of(Example.objects.select_related("dataset").filter(dataset=dataset), pk=pk)
    return found


@require_POST
@page("datasets.write")
def delete(request: PageRequest, pk: int, example: int) -> HttpResponse:
    """Delete one example; its page stays, to restore it."""
    dataset = dataset_of(request, pk, "datasets.write")
    services.remove(actor=request.actor, example=_example(dataset, example))
    messages.success(request, _("Deleted. You can restore it here."))
    return redirect(workspace_url(request.actor, "datasets:example", pk=dataset.pk, example=example))


@require_POST
@page("datasets.write")
def restore(request: PageRequest, pk: int, example: int) -> HttpResponse:
    """Bring an example back, or make it what it was at ?revision."""
    dataset = dataset_of(request, pk, "datasets.write")
    found = _example(dataset, example)
    wanted = request.POST.get("revision", "")
    revision = one_of(found.revisions.all(), pk=wanted) if wanted else None
    services.restore(actor=request.actor, example=found, revision=revision)
    messages.success(request, _("Restored."))
    return redirect(workspace_url(request.actor, "datasets:example", pk=dataset.pk, example=example))


@require_POST
@page("datasets.write")
def bulk(request: PageRequest, pk: int) -> HttpResponse:
    """Relabel, split or delete the chosen examples, or with `everything` all that match the filter."""
    dataset = dataset_of(request, pk, "datasets.write")
    query = request.POST.get("query", "")
    rows = all_examples(dataset)
    if request.POST.get("everything"):
        rows = ExampleFilter(QueryDict(query), queryset=rows).qs
    else:
        rows = ExampleFilter({"ids": ",".join(request.POST.getlist("ids"))}, queryset=rows).qs
    values: dict[str, Any] = {"action": request.POST.get("action", ""), "split": request.POST.get("split", "")}
    if values["action"] == "relabel":
        values["labels"] = [label for label in request.POST.getlist("labels") if label]
    changed = services.bulk_change(actor=request.actor, dataset=dataset, rows=rows, **values)
    messages.success(request, ngettext("%d example was changed.", "%d examples were changed.", changed) % changed)
    target = workspace_url(request.actor, "datasets:detail", pk=dataset.pk)
    return redirect(f"{target}?{query}" if query else target)

"""Pages of the evaluation room."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import selectors, services
from apps.evaluation.downloads import results_response
from apps.evaluation.filters import EvaluationFilter, ResultFilter
from apps.evaluation.forms import ComparisonForm, EvaluationForm
from apps.evaluation.models import EvaluationJob, ExampleResult
from apps.evaluation.tasks import measuring_of
from apps.registry.models import ModelVersion
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.keyset import keyset_by
from core.once import once
from core.pages import is_filtered, keyset, show_refusal, workspace_url
from words import say

FLIP_TABS = {
    "first_only": gettext_lazy("Only the first is right"),
    "second_only": gettext_lazy("Only the second is right"),
    "both_wrong": gettext_lazy("Both are wrong"),
    "both_right": gettext_lazy("Both are right"),
    "first_likelier": gettext_lazy("The first finds the answer likelier"),
    "second_likelier": gettext_lazy("The second finds the answer likelier"),
}


@page("evaluation.read")
@require_GET
def index(request: PageRequest) -> HttpResponse:
    """Evaluations, newest first."""
    found = EvaluationFilter(request.GET, selectors.evaluations_of(request.actor.workspace))
    rows = found.qs if found.is_valid() else EvaluationJob.objects.none()
    return render(
        request,
        "evaluation/list.html",
        {"page": keyset(request, rows), "filter": found, "filtered": is_filtered(request, found)},
    )


@page("evaluation.write")
@require_http_methods(["GET", "POST"])
@once(seconds=30)
def new(request: PageRequest) -> HttpResponse:
    """Choose a version and data."""
    given = {name: request.GET[name] for name in ("model_version", "dataset_version", "split") if name in request.GET}
    form = EvaluationForm(request.POST or None, workspace=request.actor.workspace, initial={"split": "test", **given})
    if request.method == "POST" and form.is_valid():
        try:
            made = services.start_evaluation(actor=request.actor, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return redirect(workspace_url(request.actor, "evaluation:detail", pk=made.pk))
    return render(request, "evaluation/new.html", {"form": form}, status=422 if form.errors else 200)


@page("evaluation.read")
@require_GET
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """Figures, classes, confusion, calibration and example rows."""
    row = fetch(request.actor, selectors.evaluations_of(request.actor.workspace), "evaluation.read", pk=pk)
    context: dict[str, Any] = {"row": row, "metrics": row.metrics}
    if row.is_done:
        context.update(_results(request, row), partners=selectors.partners_of(row)[:50])
    return render(request, "evaluation/detail.html", context)


@page("evaluation.read")
@require_GET
def results(request: PageRequest, pk: int) -> HttpResponse:
    """The table of example rows alone, for htmx."""
    row = fetch(request.actor, selectors.evaluations_of(request.actor.workspace), "evaluation.read", pk=pk)
    return render(request, "evaluation/_results.html", {"row": row, **_results(request, row)})


def _results(request: PageRequest, row: EvaluationJob) -> dict[str, Any]:
    found = ResultFilter(request.GET, selectors.results_of(row))
    rows = found.qs if found.is_valid() else ExampleResult.objects.none()
    order = request.GET.get("order", "rank")
    measuring = measuring_of(row)
    orders = measuring.orders
    column, descending, _words = orders.get(order, orders["rank"])
    return {
        "measuring": measuring,
        "filter": found,
        "page": keyset_by(request.GET, rows, column, descending=descending),
        "order": order,
        "orders": [(name, words) for name, (_column, _descending, words) in orders.items()],
        "labels": row.metrics.get("per_class", []),
    }


@page("evaluation.read")
@require_GET
def download(request: PageRequest, pk: int, form: str) -> HttpResponseBase:
    """All example rows as CSV or JSON lines."""
    rows = selectors.evaluations_of(request.actor.workspace)
    return results_response(fetch(request.actor, rows, "evaluation.read", pk=pk), form)


@page("evaluation.write")
@require_POST
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Delete an ended evaluation."""
    row = fetch(request.actor, EvaluationJob.objects.select_related("job"), "evaluation.write", pk=pk)
    services.delete_evaluation(actor=request.actor, evaluation=row)
    messages.success(request, _("The evaluation is deleted."))
    return redirect(workspace_url(request.actor, "evaluation:list"))


@page("evaluation.write")
@require_POST
@once()
def compare(request: PageRequest) -> HttpResponse:
    """Test two evaluations against each other."""
    form = ComparisonForm(request.POST)
    if not form.is_valid():
        raise Refused("two_needed", say("Choose two evaluations to compare."))
    rows = selectors.evaluations_of(request.actor.workspace)
    first, second = (
        fetch(request.actor, rows, "evaluation.write", pk=form.cleaned_data[side]) for side in ("first", "second")
    )
    made = services.start_comparison(actor=request.actor, first=first, second=second)
    return redirect(workspace_url(request.actor, "evaluation:comparison", pk=made.pk))


@page("evaluation.read")
@require_GET
def comparison(request: PageRequest, pk: int) -> HttpResponse:
    """Both sides' figures, the tests, and the examples that flipped."""
    row = fetch(request.actor, selectors.comparisons_of(request.actor.workspace), "evaluation.read", pk=pk)
    measuring = measuring_of(row.first)
    context: dict[str, Any] = {"row": row, "measuring": measuring}
    if row.figures:
        known = measuring.flip_names
        which = request.GET.get("flips", "")
        which = which if which in known else known[1]
        found = keyset_by(request.GET, selectors.flips(row, which), "rank")
        context.update(
            which=which,
            tabs=[(name, FLIP_TABS[name]) for name in known],
            page=found,
            pairs=selectors.other_side(row, found.rows),
            figures=selectors.figures_beside(row),
        )
    template = "evaluation/_flips.html" if request.htmx else "evaluation/comparison.html"
    return render(request, template, context)


@page("evaluation.read")
@require_http_methods(["GET", "POST"])
@once(seconds=30)
def compare_versions(request: PageRequest) -> HttpResponse:
    """Two versions: evaluations both have in common, or a form to measure both on the same rows."""
    first, second = (_version(request, side) for side in ("first", "second"))
    form = EvaluationForm(
        request.POST or None, workspace=request.actor.workspace, version=first, initial={"split": "test"}
    )
    del form.fields["model_version"]
    if request.method == "POST" and form.is_valid():
        for version in (first, second):
            services.start_evaluation(actor=request.actor, model_version=version, **form.cleaned_data)
        return redirect(request.get_full_path())
    context = {
        "first": first,
        "second": second,
        "pairs": selectors.common_evaluations(first, second),
        "running": selectors.running_evaluations(first, second),
        "form": form,
    }
    return render(request, "evaluation/compare_versions.html", context)


@page("evaluation.read")
@require_GET
def pair(request: PageRequest) -> HttpResponse:
    """The part of a page that tells two versions apart: their newest comparison, or what it still needs."""
    first, second = (_version(request, side) for side in ("first", "second"))
    row = selectors.newest_comparison(first, second)
    context: dict[str, Any] = {"first": first, "second": second, "row": row}
    if row is None:
        context["pairs"] = selectors.common_evaluations(first, second)
    return render(request, "evaluation/_pair.html", context)


def _version(request: PageRequest, side: str) -> ModelVersion:
    permission = "evaluation.write" if request.method == "POST" else "evaluation.read"
    rows = ModelVersion.objects.select_related("family").defer("samples")
    return fetch(request.actor, rows, permission, pk=request.GET.get(side) or 0)

"""Pages of training: list, new, detail with live curves, comparison."""

from typing import Any

from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.training import services
from apps.training.charts import chart_news, charts_of, curve_name, learning_curve, line_chart
from apps.training.comparing import differing_options, figures_of
from apps.training.filters import TrainingJobFilter
from apps.training.forms import RECIPE_NAMES, TrainingForm
from apps.training.models import TrainingJob
from apps.training.selectors import compared_runs, curves, event_file, event_file_name, preflights, training_jobs
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.jobs.places import place_of
from core.once import once
from core.pages import is_filtered, keyset, show_refusal, workspace_url
from engine import specs


@require_GET
@page("training.read")
def index(request: PageRequest) -> HttpResponse:
    """All training jobs, newest first."""
    filters = TrainingJobFilter(request.GET, queryset=training_jobs(request.actor.workspace))
    rows = keyset(request, filters.qs)
    return render(
        request, "training/list.html", {"filter": filters, "page": rows, "filtered": is_filtered(request, filters)}
    )


@require_http_methods(["GET", "POST"])
@page("training.write")
@once(seconds=30)
def new(request: PageRequest) -> HttpResponse:
    """The form of one recipe; every problem is shown at its field."""
    recipe = request.POST.get("recipe") or request.GET.get("recipe") or "classify"
    if recipe not in specs.RECIPES:
        raise Http404
    form = TrainingForm(
        request.POST or None, actor=request.actor, recipe=recipe, initial={"version": request.GET.get("version")}
    )
    if request.method == "POST" and form.is_valid():
        try:
            training_job = services.start(
                actor=request.actor,
                recipe=recipe,
                spec=form.spec(),
                version=form.cleaned_data["version"],
                name=form.cleaned_data["name"],
                family_name=form.cleaned_data["family_name"],
            )
        except Refused as refused:
            add_problems(form, refused)
        else:
            return redirect(workspace_url(request.actor, "training:detail", pk=training_job.pk))
    context = {"form": form, "recipe": recipe, "recipes": list(RECIPE_NAMES), "meaning": RECIPE_NAMES[recipe]}
    return render(request, "training/new.html", context, status=422 if form.errors else 200)


@require_POST
@page("training.write")
def check(request: PageRequest) -> HttpResponse:
    """What the form's options would mean on its data; the answer asks for itself until a worker has given it."""
    recipe = request.POST.get("recipe", "")
    if recipe not in specs.RECIPES:
        raise Http404
    form = TrainingForm(request.POST, actor=request.actor, recipe=recipe)
    if not form.is_valid():
        if not request.POST.get("version"):
            return render(request, "training/_preflight.html", {"waiting": True})
        wrong = [{"message": text} for texts in form.errors.values() for text in texts]
        return render(request, "training/_preflight.html", {"refused": wrong})
    try:
        preflight = services.ask_preflight(
            actor=request.actor, recipe=recipe, spec=form.spec(), version=form.cleaned_data["version"], instead=True
        )
    except Refused as refused:
        return render(request, "training/_preflight.html", {"refused": refused.problems})
    return render(request, "training/_preflight.html", {"preflight": preflight})


@require_GET
@page("training.read")
def preflight(request: PageRequest, pk: int) -> HttpResponse:
    """One check; ?part=1 answers the part that changes."""
    found = fetch(request.actor, preflights(request.actor.workspace), "training.read", pk=pk)
    name = "training/_preflight.html" if request.GET.get("part") else "training/preflight.html"
    return render(request, name, {"preflight": found})


def add_problems(form: TrainingForm, refused: Refused) -> None:
    """Put each problem beside the field it names."""
    show_refusal(form, refused, field_of)


def field_of(name: str) -> str:
    """The field of a form that the name of a problem means."""
    return {"dataset_version": "version"}.get(name, name.replace("spec.", "spec-", 1))


@require_GET
@page("training.read")
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """State, curves, problems, checkpoints and the result."""
    training_job = _whole(request, pk)
    return render(
        request,
        "training/detail.html",
        {**_detail(training_job), **_seen(request, training_job), "charts": charts_of(training_job)},
    )


@require_GET
@page("training.read")
def live(request: PageRequest, pk: int) -> HttpResponse:
    """The part of the detail page that changes while the job runs."""
    training_job = _whole(request, pk)
    return render(request, "training/_live.html", _detail(training_job))


@require_GET
@page("training.read")
def seen(request: PageRequest, pk: int) -> HttpResponse:
    """What the model sees, as soon as the run has told it."""
    return render(request, "training/_seen.html", _seen(request, _whole(request, pk)))


def _whole(request: PageRequest, pk: int) -> TrainingJob:
    """A training job with the columns that lists leave out."""
    return fetch(request.actor, training_jobs(request.actor.workspace).defer(None), "training.read", pk=pk)


def _seen(request: PageRequest, training_job: TrainingJob) -> dict[str, Any]:
    waits = not training_job.seen and not training_job.job.ended
    return {
        "seen": training_job.seen,
        "dataset_id": training_job.dataset_version.dataset_id,
        "live_url": workspace_url(request.actor, "training:seen", pk=training_job.pk) if waits else "",
    }


def _detail(training_job: TrainingJob) -> dict[str, Any]:
    found = curves(training_job)
    return {
        "training_job": training_job,
        "job": training_job.job,
        "queue_place": place_of(training_job.job),
        "version": training_job.model_version,
        "latest": {name: values[-1][1] for name, values in found.items()},
        "learning_curve": learning_curve(found),
        "checkpoints": training_job.checkpoints.order_by("-token", "-step"),
    }


@require_GET
@page("training.read")
def curve_points(request: PageRequest, pk: int) -> JsonResponse:
    """Points of the chart ?name= that are newer than ?since=, for charts that update themselves."""
    training_job = fetch(request.actor, training_jobs(request.actor.workspace), "training.read", pk=pk)
    since = request.GET.get("since", "0")
    return JsonResponse(
        chart_news(training_job, request.GET.get("name", "loss"), int(since) if since.isdecimal() else 0)
    )


@require_GET
@page("training.read")
def events(request: PageRequest, pk: int) -> HttpResponse:
    """The curves as a TensorBoard event file."""
    training_job = fetch(request.actor, TrainingJob, "training.read", pk=pk)
    headers = {"Content-Disposition": f'attachment; filename="{event_file_name(training_job)}"'}
    return HttpResponse(event_file(training_job), content_type="application/octet-stream", headers=headers)


@require_POST
@page("training.write")
@once()
def reproduce(request: PageRequest, pk: int) -> HttpResponse:
    """Start an equal run."""
    training_job = fetch(request.actor, TrainingJob, "training.write", pk=pk)
    again = services.reproduce(actor=request.actor, training_job=training_job)
    return redirect(workspace_url(request.actor, "training:detail", pk=again.pk))


@require_GET
@page("training.read")
def compare(request: PageRequest) -> HttpResponse:
    """Curves of up to six runs over each other, the options that differ, their figures, and a paired test of two."""
    runs = compared_runs(request.actor.workspace, request.GET.getlist("id"))
    found = {run.pk: curves(run) for run in runs}
    names = sorted({name for by_name in found.values() for name in by_name})
    charts = [
        (
            curve_name(name),
            line_chart((f"{run.name} #{run.pk}", found[run.pk][name]) for run in runs if name in found[run.pk]),
        )
        for name in names
        if name.startswith("dev_") or name == "train_loss"
    ]
    finished = [run for run in runs if run.model_version is not None]
    pair = [run for run in finished if str(run.pk) in (request.GET.get("first"), request.GET.get("second"))]
    pair.sort(key=lambda run: str(run.pk) != request.GET.get("first"))
    context = {
        "runs": runs,
        "charts": charts,
        "differing": differing_options(runs),
        "figures": figures_of(runs),
        "finished": finished,
        "pair": pair if len(pair) == 2 else finished[:2],
    }
    return render(request, "training/compare.html", context)

"""Pages of sweeps: list, new, detail with what is best so far, cancel."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.training import services
from apps.training.forms import RECIPE_NAMES
from apps.training.forms_sweeps import SweepForm
from apps.training.models import Sweep
from apps.training.selectors import sweeps
from apps.training.sweep_plot import plot_of
from apps.training.trials import best_of, trials_of
from apps.training.views import field_of
from core.access import PageRequest, fetch, page
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url
from engine import specs


@require_GET
@page("training.read")
def index(request: PageRequest) -> HttpResponse:
    """All sweeps, newest first."""
    return render(request, "training/sweeps.html", {"page": keyset(request, sweeps(request.actor.workspace))})


@require_http_methods(["GET", "POST"])
@page("training.write")
@once(seconds=30)
def new(request: PageRequest) -> HttpResponse:
    """The form of a sweep; every problem is shown at its field."""
    recipe = request.POST.get("recipe") or request.GET.get("recipe") or "classify"
    if recipe not in specs.RECIPES:
        raise Http404
    form = SweepForm(
        request.POST or None, actor=request.actor, recipe=recipe, initial={"version": request.GET.get("version")}
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        names = ("version", "name", "family_name", "strategy", "objective", "budget", "parallel", "pruning")
        try:
            sweep = services.start_sweep(
                actor=request.actor,
                recipe=recipe,
                spec=form.spec(),
                space=form.space(),
                seed=17 if given["sweep_seed"] is None else given["sweep_seed"],
                **{name: given[name] for name in names},
            )
        except Refused as refused:
            add_problems(form, refused)
        else:
            return redirect(workspace_url(request.actor, "training:sweep", pk=sweep.pk))
    context = {"form": form, "recipe": recipe, "recipes": list(RECIPE_NAMES), "meaning": RECIPE_NAMES[recipe]}
    return render(request, "training/sweep_new.html", context, status=422 if form.errors else 200)


def add_problems(form: SweepForm, refused: Refused) -> None:
    """Put each problem beside the field it names; one of the space beside the row that varies it."""
    rows = {row[0].value(): row[1].name for row in form.rows()}

    def place(name: str) -> str:
        found = field_of(name)
        return rows.get(found.removeprefix("space."), "values-1") if found.startswith("space") else found

    show_refusal(form, refused, place)


@require_GET
@page("training.read")
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """What was tried and what is best; ?part=1 answers the part that changes."""
    sweep = fetch(request.actor, sweeps(request.actor.workspace), "training.read", pk=pk)
    name = "training/_sweep.html" if request.GET.get("part") else "training/sweep.html"
    return render(request, name, _detail(sweep))


def _detail(sweep: Sweep) -> dict[str, Any]:
    trials = trials_of(sweep)
    ranked = sorted(
        trials, key=lambda one: (one.value is None, (one.value or 0.0) * (1 if sweep.lower_is_better else -1))
    )
    return {
        "sweep": sweep,
        "job": sweep.job,
        "trials": ranked,
        "options": list(sweep.space),
        "best": best_of(trials),
        "plot": plot_of(sweep, trials),
        "counts": {"open": sum(one.is_open for one in trials), "pruned": sum(one.state == "pruned" for one in trials)},
    }


@require_POST
@page("training.write")
def cancel(request: PageRequest, pk: int) -> HttpResponse:
    """Cancel the sweep with all its runs."""
    sweep = fetch(request.actor, sweeps(request.actor.workspace), "training.write", pk=pk)
    try:
        services.cancel_sweep(actor=request.actor, sweep=sweep)
    except Refused as refused:
        messages.warning(request, refused.message)
    else:
        messages.success(request, _("The sweep and its runs are being cancelled."))
    return redirect(workspace_url(request.actor, "training:sweep", pk=sweep.pk))

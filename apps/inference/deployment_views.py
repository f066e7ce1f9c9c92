"""Pages of deployments: list, one with its sides beside each other and its history, settings, and what is done to it."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.inference import services
from apps.inference.arms import arm_figures, traffic_chart
from apps.inference.deployment_forms import (
    FIGURE_NAMES,
    OPTION_NAMES,
    DeploymentForm,
    NewDeploymentForm,
    RolloutForm,
    bound_of,
)
from apps.inference.memory import loaded_versions
from apps.inference.models import Deployment, DeploymentEvent, Sticky
from apps.inference.selectors import deployments
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.once import once
from core.pages import keyset, workspace_url

HOURS = {1: gettext_lazy("1 hour"), 24: gettext_lazy("24 hours"), 168: gettext_lazy("7 days")}


@require_GET
@page("inference.read")
def index(request: PageRequest) -> HttpResponse:
    """Deployments, newest first."""
    found = keyset(request, deployments(request.actor.workspace))
    context = {"page": found, "loaded": loaded_versions(request.actor.workspace)}
    return render(request, "inference/deployments/list.html", context)


@require_http_methods(["GET", "POST"])
@page("registry.write")
@once()
def new(request: PageRequest) -> HttpResponse:
    """Choose an alias and how it is answered."""
    form = NewDeploymentForm(request.POST or None, actor=request.actor)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_deployment(actor=request.actor, **form.options())
        except Refused as refused:
            _show(form, refused)
        else:
            return _to(request, made)
    status = 422 if form.errors else 200
    return render(request, "inference/deployments/form.html", {"form": form}, status=status)


@require_http_methods(["GET", "POST"])
@page("registry.write")
def edit(request: PageRequest, pk: int) -> HttpResponse:
    """Stickiness, memory, retention, guards and gates."""
    deployment = _one(request, pk, "registry.write")
    form = DeploymentForm(request.POST or None, actor=request.actor, deployment=deployment)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_deployment(actor=request.actor, deployment=deployment, **form.options())
        except Refused as refused:
            _show(form, refused)
        else:
            return _to(request, deployment)
    context = {"form": form, "deployment": deployment}
    return render(request, "inference/deployments/form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page("inference.read")
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """Everything about one; POST changes candidate and share."""
    deployment = _one(request, pk, "inference.read")
    form = RolloutForm(request.POST or None, deployment=deployment)
    if request.method == "POST":
        require(request.actor, "registry.write")
        if form.is_valid():
            try:
                services.change_deployment(actor=request.actor, deployment=deployment, **form.options())
            except Refused as refused:
                _show(form, refused)
            else:
                return _to(request, deployment)
    context = _detail(request, deployment) | {"form": form}
    return render(request, "inference/deployments/detail.html", context, status=422 if form.errors else 200)


def _detail(request: PageRequest, deployment: Deployment) -> dict[str, Any]:
    given = request.GET.get("hours", "")
    hours = int(given) if given.isascii() and given.isdigit() and int(given) in HOURS else 24
    figures = arm_figures(deployment, timezone.now() - timedelta(hours=hours))
    loaded = loaded_versions(request.actor.workspace)
    events = keyset(request, DeploymentEvent.objects.filter(deployment=deployment), size=20)
    return {
        "deployment": deployment,
        "hours": hours,
        "spans": HOURS,
        "arms": list(figures.values()),
        "chart": traffic_chart(deployment, hours=hours),
        "gates": [(FIGURE_NAMES[gate["figure"]], bound_of(gate), gate) for gate in deployment.gates],
        "memory": [(version, loaded.get(version.pk, [])) for version in _versions(deployment)],
        "page": events,
        "events": [(event, _changes(event)) for event in events],
    }


def _versions(deployment: Deployment) -> list[Any]:
    """Those that may answer, each once."""
    found = [deployment.serving, deployment.alias.version, deployment.candidate]
    return list({version.pk: version for version in found if version is not None}.values())


def _changes(event: DeploymentEvent) -> list[tuple[str, str, str]]:
    """(option, before, after) of what an entry changed; a deployment that begins has nothing before."""
    before, after = event.detail.get("before", {}), event.detail.get("after", {})
    return [(str(OPTION_NAMES[name]), _said(name, before.get(name)), _said(name, value)) for name, value in after.items()
            if before or value not in (None, False, 0, [])]  # fmt: skip


def _said(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if name == "candidate_share":
        return f"{100 * value:g} %"
    if name in ("version", "candidate"):
        return f"v{value}"
    if name == "gates":
        return ", ".join(f"{FIGURE_NAMES[gate['figure']]} {bound_of(gate)}" for gate in value) or "–"
    return str(Sticky(value).label) if name == "sticky" else str(value)


@require_POST
@page("registry.write")
def promote(request: PageRequest, pk: int) -> HttpResponse:
    """The alias names the candidate."""
    deployment = _one(request, pk, "registry.write")
    services.promote(actor=request.actor, deployment=deployment, reason=request.POST.get("reason", "")[:1000])
    messages.success(request, _("The candidate is what the alias names now."))
    return _to(request, deployment)


@require_POST
@page("registry.write")
def roll_back(request: PageRequest, pk: int) -> HttpResponse:
    """The candidate gets no traffic, or the alias names its earlier version."""
    deployment = _one(request, pk, "registry.write")
    done = services.roll_back(actor=request.actor, deployment=deployment, reason=request.POST.get("reason", "")[:1000])
    messages.success(request, _("Rolled back: %(version)s answers.") % {"version": done.alias.version})
    return _to(request, deployment)


@require_POST
@page("registry.write")
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take the deployment away; the alias stays."""
    services.delete_deployment(actor=request.actor, deployment=_one(request, pk, "registry.write"))
    messages.success(request, _("The deployment is gone. Its alias is answered by the version it names."))
    return redirect(workspace_url(request.actor, "deployments:list"))


def _one(request: PageRequest, pk: int, permission: str) -> Deployment:
    return fetch(request.actor, deployments(request.actor.workspace), permission, pk=pk)


def _to(request: PageRequest, deployment: Deployment) -> HttpResponse:
    return redirect(workspace_url(request.actor, "deployments:detail", pk=deployment.pk))


def _show(form: Any, refused: Refused) -> None:
    for problem in refused.problems:
        form.add_error(problem.field if problem.field in form.fields else None, problem.message)

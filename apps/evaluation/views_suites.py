"""Pages of suites, and the parts of a version's and a model's page that the gate decides about."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.evaluation import selectors, services
from apps.evaluation.forms_suites import (
    AliasForm,
    ApprovalForm,
    CheckForm,
    DecisionForm,
    GateForm,
    SuiteForm,
    SuiteRunForm,
)
from apps.evaluation.models import Suite
from apps.registry import services as registry
from apps.registry.models import Approval, ModelFamily, ModelVersion
from apps.registry.selectors import approvals_of
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.once import once
from core.pages import keyset, show_refusal, workspace_url
from words import say

VERSIONS = ModelVersion.objects.select_related("family").defer("samples", "metrics", "files")


@page("evaluation.read")
@require_GET
def index(request: PageRequest) -> HttpResponse:
    """Suites, newest first."""
    found = keyset(request, selectors.suites_of(request.actor.workspace))
    return render(request, "evaluation/suites.html", {"page": found})


@page("evaluation.write")
@require_http_methods(["GET", "POST"])
@once()
def new(request: PageRequest) -> HttpResponse:
    """Name a suite."""
    form = SuiteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_suite(actor=request.actor, **form.cleaned_data)
        except Refused as refused:
            show_refusal(form, refused)
        else:
            return _to_suite(request, made)
    return render(request, "evaluation/suite_new.html", {"form": form}, status=422 if form.errors else 200)


@page("evaluation.read")
@require_http_methods(["GET", "POST"])
def detail(request: PageRequest, pk: int) -> HttpResponse:
    """Checks and runs with their verdicts; POST adds a check to a draft."""
    suite = fetch(request.actor, selectors.suites_of(request.actor.workspace), "evaluation.read", pk=pk)
    form = CheckForm(request.POST or None, suite=suite)
    if request.method == "POST":
        require(request.actor, "evaluation.write")
        if form.is_valid():
            plans = [*services.plans_of(suite), services.CheckPlan(**form.cleaned_data)]
            try:
                services.set_checks(actor=request.actor, suite=suite, checks=plans)
            except Refused as refused:
                show_refusal(form, refused)
            else:
                return _to_suite(request, suite)
    runs = keyset(request, selectors.runs_of(suite))
    found = selectors.verdicts([suite], [run.model_version for run in runs.rows])
    context = {
        "suite": suite,
        "checks": selectors.checks_of(suite),
        "page": runs,
        "runs": [(run, found[suite.pk, run.model_version_id]) for run in runs.rows],
        "form": form,
        "run_form": SuiteRunForm(suite=suite),
    }
    return render(request, "evaluation/suite.html", context, status=422 if form.errors else 200)


@page("evaluation.write")
@require_POST
def remove_check(request: PageRequest, pk: int, position: int) -> HttpResponse:
    """Take one check out of a draft."""
    suite = fetch(request.actor, Suite, "evaluation.write", pk=pk)
    plans = [plan for at, plan in enumerate(services.plans_of(suite), start=1) if at != position]
    services.set_checks(actor=request.actor, suite=suite, checks=plans)
    return _to_suite(request, suite)


@page("evaluation.write")
@require_POST
@once()
def revise(request: PageRequest, pk: int) -> HttpResponse:
    """Begin the next revision."""
    suite = fetch(request.actor, Suite, "evaluation.write", pk=pk)
    return _to_suite(request, services.revise_suite(actor=request.actor, suite=suite))


@page("evaluation.write")
@require_POST
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Delete a suite that no model requires."""
    services.delete_suite(actor=request.actor, suite=fetch(request.actor, Suite, "evaluation.write", pk=pk))
    messages.success(request, _("The suite is deleted."))
    return redirect(workspace_url(request.actor, "evaluation:suites"))


@page("evaluation.write")
@require_POST
@once()
def run(request: PageRequest, pk: int) -> HttpResponse:
    """Run a suite on a version, and go back to where the button was."""
    suite = fetch(request.actor, Suite, "evaluation.write", pk=pk)
    version = fetch(request.actor, VERSIONS, "evaluation.write", pk=_number(request.POST.get("model_version")))
    services.run_suite(actor=request.actor, suite=suite, model_version=version)
    return _to_version(request, version) if request.POST.get("back") == "version" else _to_suite(request, suite)


@page("evaluation.write")
@require_POST
@once()
def run_chosen(request: PageRequest, version_pk: int) -> HttpResponse:
    """Run the suite that was chosen on a version's page."""
    version = fetch(request.actor, VERSIONS, "evaluation.write", pk=version_pk)
    suite = fetch(request.actor, Suite, "evaluation.write", pk=_number(request.POST.get("suite")))
    services.run_suite(actor=request.actor, suite=suite, model_version=version)
    return _to_version(request, version)


@page("evaluation.read")
@require_GET
def version_gate(request: PageRequest, version_pk: int) -> HttpResponse:
    """The part of a version's page that tells what it passed, and who asked for and gave approval."""
    version = fetch(request.actor, VERSIONS, "evaluation.read", pk=version_pk)
    suites = selectors.suites_for(version)
    context = {
        "version": version,
        "suites": suites,
        "measuring": any(found.is_measuring for _suite, found, _required in suites),
    }
    if request.GET.get("part") == "suites":
        return render(request, "evaluation/_version_suites.html", context)
    protected = version.family.protected_aliases
    context |= {
        "approvals": approvals_of(version),
        "form": ApprovalForm(initial={"alias": protected[0] if protected else ""}),
        "decision_form": DecisionForm(),
        "choices": selectors.suites_of(request.actor.workspace).filter(task=version.task)[:50],
    }
    return render(request, "evaluation/_version_gate.html", context)


@page("registry.write")
@require_POST
@once()
def request_approval(request: PageRequest, version_pk: int) -> HttpResponse:
    """Ask that somebody approves the version."""
    version = fetch(request.actor, VERSIONS, "registry.write", pk=version_pk)
    form = ApprovalForm(request.POST)
    if not form.is_valid():
        raise Refused("bad_request", say("An alias has at most 40 characters and a reason at most 1,000."))
    registry.request_approval(actor=request.actor, version=version, **form.cleaned_data)
    messages.success(request, _("Approval is asked for."))
    return _to_version(request, version)


@page("registry.approve")
@require_POST
def decide(request: PageRequest, pk: int) -> HttpResponse:
    """Approve or decline."""
    rows = Approval.objects.select_related("version__family")
    approval = fetch(request.actor, rows, "registry.approve", within="version__workspace", pk=pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise Refused("bad_decision", say("Choose whether to approve or to decline."))
    verb = services.approve if form.cleaned_data["decision"] == "approve" else registry.reject
    verb(actor=request.actor, approval=approval, note=form.cleaned_data["note"])
    return _to_version(request, approval.version)


@page("evaluation.read")
@require_GET
def family_gate(request: PageRequest, family_pk: int) -> HttpResponse:
    """The part of a model's page that moves aliases and says which are protected by what."""
    family = fetch(request.actor, ModelFamily, "evaluation.read", pk=family_pk)
    gate = selectors.gate_of(family.pk)
    names = ", ".join(family.protected_aliases) or "champion"
    context: dict[str, Any] = {
        "family": family,
        "gate": gate,
        "form": AliasForm(family=family, initial={"name": "champion"}),
        "gate_form": GateForm(family=family, initial={"suite": gate.suite_id if gate else None, "aliases": names}),
    }
    return render(request, "evaluation/_family_gate.html", context)


@page("registry.approve")
@require_POST
def set_gate(request: PageRequest, family_pk: int) -> HttpResponse:
    """Require a suite, another one, or none."""
    family = fetch(request.actor, ModelFamily, "registry.approve", pk=family_pk)
    form = GateForm(request.POST, family=family)
    if not form.is_valid():
        raise Refused("bad_suite", say("Choose a suite of this workspace for the task of the model."))
    services.set_gate(actor=request.actor, family=family, **form.cleaned_data)
    messages.success(request, _("Saved."))
    return _to_family(request, family)


@page("registry.write")
@require_POST
def move(request: PageRequest, family_pk: int) -> HttpResponse:
    """Point an alias to a version."""
    family = fetch(request.actor, ModelFamily, "registry.write", pk=family_pk)
    form = AliasForm(request.POST, family=family)
    if not form.is_valid():
        raise Refused("bad_alias", say("Choose an alias and a version of this model."))
    values = form.cleaned_data
    services.move_alias(actor=request.actor, family=family, **values)
    said = {"alias": values["name"], "number": values["version"].number}
    messages.success(request, _("%(alias)s is now version %(number)s.") % said)
    return _to_family(request, family)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0


def _to_suite(request: PageRequest, suite: Suite) -> HttpResponse:
    return redirect(workspace_url(request.actor, "evaluation:suite", pk=suite.pk))


def _to_version(request: PageRequest, version: ModelVersion) -> HttpResponse:
    return redirect(workspace_url(request.actor, "registry:detail", pk=version.pk))


def _to_family(request: PageRequest, family: ModelFamily) -> HttpResponse:
    return redirect(workspace_url(request.actor, "registry:family", pk=family.pk))

"""Pages of guard policies and of what they decided."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.inference import services
from apps.inference.guard_forms import DecisionFilter, GuardPolicyForm, GuardTestForm
from apps.inference.models import GuardPolicy
from apps.inference.selectors import guard_decisions, guard_policies
from core.access import PageRequest, fetch, page, require
from core.errors import Refused
from core.pages import is_filtered, keyset, workspace_url

MANAGE = "workspace.manage"
GROUPS = (
    ("", ("name", "is_default", "deployments")),
    ("personal", ("personal_input", "personal_output", "personal_kinds")),
    ("terms", ("terms_input", "terms_output", "terms", "sounds_alike")),
    ("injection", ("injection_input", "injection_threshold")),
    (
        "classifier",
        ("classifier_input", "classifier_output", "classifier", "classifier_labels", "classifier_threshold"),
    ),
)
"""Guard -> its fields of the form, in order."""


@require_GET
@page("inference.read")
def index(request: PageRequest) -> HttpResponse:
    """All policies, and the newest decisions with filters."""
    workspace = request.actor.workspace
    filters = DecisionFilter(request.GET, queryset=guard_decisions(workspace), workspace=workspace)
    context = {
        "policies": guard_policies(workspace),
        "filter": filters,
        "filtered": is_filtered(request, filters),
        "page": keyset(request, filters.qs, size=50),
    }
    return render(request, "inference/guards.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@page("inference.read")
def policy(request: PageRequest, pk: int | None = None) -> HttpResponse:
    """A policy's form, empty for a new one, with the box that tries it."""
    found = fetch(request.actor, GuardPolicy, "inference.read", pk=pk) if pk else None
    if found is None:
        require(request.actor, MANAGE)
    form = GuardPolicyForm(request.POST or None, instance=found, actor=request.actor)
    if request.method == "POST":
        require(request.actor, MANAGE)
        if form.is_valid() and (saved := _save(request, found, form)):
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "inference:guards_policy", pk=saved.pk))
    if not request.actor.may(MANAGE):
        for field in form.fields.values():
            field.disabled = True
    context = {
        "policy": found,
        "form": form,
        "groups": [(name, [form[field] for field in fields if field in form.fields]) for name, fields in GROUPS],
        "trial": GuardTestForm(),
    }
    return render(request, "inference/guard_policy.html", context, status=422 if form.errors else 200)


def _save(request: PageRequest, found: GuardPolicy | None, form: GuardPolicyForm) -> GuardPolicy | None:
    columns: dict[str, Any] = dict(form.cleaned_data)
    try:
        if found is None:
            return services.create_policy(actor=request.actor, **columns)
        return services.change_policy(actor=request.actor, policy=found, **columns)
    except Refused as refused:
        field = refused.problems[0].field
        form.add_error(field if field in form.fields else None, str(refused.message))
        return None


@require_POST
@page("inference.write")
def test(request: PageRequest, pk: int) -> HttpResponse:
    """What the policy decides about a text; nothing of it is kept."""
    found = fetch(request.actor, GuardPolicy, "inference.write", pk=pk)
    form = GuardTestForm(request.POST)
    context: dict[str, Any] = {"policy": found, "trial": form}
    if form.is_valid():
        values = form.cleaned_data
        context["tried"] = services.try_policy(found, values["text"], values["direction"])
    return render(request, "inference/_guard_trial.html", context)


@require_POST
@page(MANAGE)
def delete(request: PageRequest, pk: int) -> HttpResponse:
    """Take a policy away."""
    found = fetch(request.actor, GuardPolicy, MANAGE, pk=pk)
    services.delete_policy(actor=request.actor, policy=found)
    messages.success(request, _("“%s” is deleted.") % found.name)
    return redirect(workspace_url(request.actor, "inference:guards"))

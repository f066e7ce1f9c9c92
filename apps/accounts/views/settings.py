"""Workspace settings: general, roles and deletion."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from apps.accounts import selectors, services
from apps.accounts.forms import DeleteWorkspaceForm, LimitsForm, WorkspaceForm
from apps.accounts.models import Workspace
from apps.accounts.roles import ROLE_NAMES
from core.access import PageRequest, page, require
from core.errors import Refused
from core.pages import workspace_url


@page("workspace.read")
@require_http_methods(["GET", "HEAD", "POST"])
def general(request: PageRequest) -> HttpResponse:
    """Name, four-eyes rule and retention; readable for all members."""
    form = WorkspaceForm(request.POST or None, instance=Workspace.objects.get(pk=request.actor.workspace.pk))
    if request.method == "POST":
        require(request.actor, "workspace.manage")
        if form.is_valid():
            services.update_workspace(actor=request.actor, **form.cleaned_data)
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "accounts:settings"))
    if not request.actor.may("workspace.manage"):
        for field in form.fields.values():
            field.disabled = True
    return render(request, "accounts/general.html", {"form": form, "section": "general"})


@page("workspace.read")
@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: PageRequest) -> HttpResponse:
    """What keys may do a minute, and the whole workspace a month; readable for all members."""
    form = LimitsForm(request.POST or None, instance=Workspace.objects.get(pk=request.actor.workspace.pk))
    if request.method == "POST":
        require(request.actor, "workspace.manage")
        if form.is_valid():
            services.update_workspace(actor=request.actor, **form.cleaned_data)
            messages.success(request, _("Saved."))
            return redirect(workspace_url(request.actor, "accounts:limits"))
    if not request.actor.may("workspace.manage"):
        for field in form.fields.values():
            field.disabled = True
    context = {"form": form, "section": "limits"}
    return render(request, "accounts/limits.html", context, status=422 if form.errors else 200)


@page("workspace.read")
@require_GET
def roles(request: PageRequest) -> HttpResponse:
    """Who may do what, as one table."""
    context = {"roles": ROLE_NAMES, "table": selectors.role_table(), "section": "roles"}
    return render(request, "accounts/roles.html", context)


@page("workspace.delete")
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: PageRequest) -> HttpResponse:
    """Delete the workspace after its name was typed."""
    form = DeleteWorkspaceForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.ask_for_deletion(actor=request.actor, typed_name=form.cleaned_data["name"])
        except Refused as refused:
            form.add_error("name", refused.message)
        else:
            messages.success(request, _("“%s” is being deleted.") % request.actor.workspace.name)
            return redirect("workspaces")
    return render(request, "accounts/delete.html", {"form": form, "section": "general"})

"""Members and invitations of a workspace."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import selectors, services
from apps.accounts.forms import InviteForm
from apps.accounts.models import Invitation, Membership
from apps.accounts.roles import OWNER, ROLE_NAMES
from core.access import PageRequest, fetch, page
from core.pages import workspace_url


@page("members.read")
@require_GET
def members(request: PageRequest) -> HttpResponse:
    """Who is here, and who is invited."""
    return _render(request, InviteForm(actor=request.actor))


@page("members.manage")
@require_POST
def invite(request: PageRequest) -> HttpResponse:
    """Make an invitation; its link is in this answer only."""
    form = InviteForm(request.POST, actor=request.actor)
    if not form.is_valid():
        return _render(request, form, status=422)
    invitation, token = services.invite(actor=request.actor, **form.cleaned_data)
    link = request.build_absolute_uri(reverse("invitation", kwargs={"token": token}))
    response = render(
        request, "accounts/invited.html", {"invitation": invitation, "link": link, "section": "members"}, status=201
    )
    response["Cache-Control"] = "no-store"
    return response


@page("members.manage")
@require_POST
def revoke_invitation(request: PageRequest, pk: int) -> HttpResponse:
    """Make a link useless."""
    invitation = fetch(request.actor, Invitation, "members.manage", pk=pk)
    services.revoke_invitation(actor=request.actor, invitation=invitation)
    messages.success(request, _("The link no longer works."))
    return redirect(workspace_url(request.actor, "accounts:members"))


@page("members.manage")
@require_POST
def change_role(request: PageRequest, pk: int) -> HttpResponse:
    """Give a member another role."""
    member = fetch(request.actor, Membership.objects.select_related("user"), "members.manage", pk=pk)
    services.change_role(actor=request.actor, member=member, role=request.POST.get("role", ""))
    messages.success(
        request,
        _("%(who)s is now: %(role)s") % {"who": member.user.display_name(), "role": ROLE_NAMES[member.role]},
    )
    return redirect(workspace_url(request.actor, "accounts:members"))


@page("members.manage")
@require_POST
def remove(request: PageRequest, pk: int) -> HttpResponse:
    """End someone's membership."""
    member = fetch(request.actor, Membership.objects.select_related("user"), "members.manage", pk=pk)
    services.remove_member(actor=request.actor, member=member)
    messages.success(request, _("%s is no longer a member.") % member.user.display_name())
    if member.user == request.user:
        return redirect("workspaces")
    return redirect(workspace_url(request.actor, "accounts:members"))


@page("workspace.read")
@require_POST
def leave(request: PageRequest) -> HttpResponse:
    """End one's own membership."""
    member = fetch(request.actor, Membership.objects.select_related("user"), "workspace.read", user=request.actor.user)
    services.remove_member(actor=request.actor, member=member)
    messages.success(request, _("You left “%s”.") % request.actor.workspace.name)
    return redirect("workspaces")


def _render(request: PageRequest, form: InviteForm, status: int = 200) -> HttpResponse:
    actor = request.actor
    context = {
        "members": selectors.members(actor.workspace),
        "roles": {name: label for name, label in ROLE_NAMES.items() if name != OWNER or actor.role == OWNER},
        "invitations": selectors.invitations(actor.workspace)[:100] if actor.may("members.manage") else [],
        "form": form,
        "section": "members",
    }
    return render(request, "accounts/members.html", context, status=status)

"""The page behind an invitation link."""

from django.conf import settings
from django.contrib.auth import login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from apps.accounts import selectors, services
from apps.accounts.forms import NewcomerForm
from apps.accounts.models import Invitation, User
from core.errors import Refused


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Join as the person who is logged in, or with a new account."""
    invitation = selectors.invitation_by_token(token)
    if invitation is None:
        raise Http404
    if not invitation.open:
        return render(request, "accounts/invitation_ended.html", {"invitation": invitation}, status=410)
    if isinstance(request.user, User):
        return _as_member(request, invitation, request.user)
    return _as_newcomer(request, invitation)


def _as_member(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    if request.method == "POST":
        services.accept_as_member(invitation=invitation, user=user)
        return redirect("dashboard:home", workspace=invitation.workspace.slug)
    return render(request, "accounts/invitation.html", {"invitation": invitation})


def _as_newcomer(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    form = NewcomerForm(request.POST or None, invitation=invitation)
    if request.method == "POST" and form.is_valid():
        try:
            member = services.accept_as_newcomer(invitation=invitation, **form.cleaned_data)
        except Refused as refused:
            for problem in refused.problems:
                form.add_error(problem.field if problem.field in form.fields else None, problem.message)
        else:
            login(request, member.user, backend=settings.AUTHENTICATION_BACKENDS[0])
            return redirect("dashboard:home", workspace=invitation.workspace.slug)
    known = bool(invitation.email) and User.objects.filter(email=invitation.email).exists()
    context = {"invitation": invitation, "form": form, "known": known}
    return render(request, "accounts/invitation.html", context)

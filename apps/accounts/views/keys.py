"""API keys of a workspace."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import selectors, services
from apps.accounts.forms import KeyForm, KeyLimitsForm
from apps.accounts.models import ApiKey
from core.access import PageRequest, fetch, page
from core.pages import keyset, workspace_url


@page("keys.manage")
@require_GET
def keys(request: PageRequest) -> HttpResponse:
    """All keys and a form for a new one."""
    return _render(request, KeyForm(actor=request.actor))


@page("keys.manage")
@require_POST
def create(request: PageRequest) -> HttpResponse:
    """Make a key; its secret is in this answer only."""
    form = KeyForm(request.POST, actor=request.actor)
    if not form.is_valid():
        return _render(request, form, status=422)
    key, secret = services.create_api_key(
        actor=request.actor,
        name=form.cleaned_data["name"],
        scopes=form.cleaned_data["scopes"],
        expires_at=form.expires_at(),
    )
    context = {"key": key, "secret": secret, "section": "keys"}
    response = render(request, "accounts/key_created.html", context, status=201)
    response["Cache-Control"] = "no-store"
    return response


@page("keys.manage")
@require_POST
def revoke(request: PageRequest, pk: int) -> HttpResponse:
    """End a key at once."""
    key = fetch(request.actor, ApiKey, "keys.manage", pk=pk)
    services.revoke_api_key(actor=request.actor, key=key)
    messages.success(request, _("The key “%s” no longer works.") % key.name)
    return redirect(workspace_url(request.actor, "accounts:keys"))


@page("keys.manage")
@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: PageRequest, pk: int) -> HttpResponse:
    """What one key may do a minute and at once."""
    key = fetch(request.actor, ApiKey.objects.select_related("workspace"), "keys.manage", pk=pk)
    form = KeyLimitsForm(request.POST or None, instance=key)
    if request.method == "POST" and form.is_valid():
        services.limit_api_key(actor=request.actor, key=key, **form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect(workspace_url(request.actor, "accounts:keys"))
    context = {"form": form, "key": key, "section": "keys"}
    return render(request, "accounts/key_limits.html", context, status=422 if form.errors else 200)


def _render(request: PageRequest, form: KeyForm, status: int = 200) -> HttpResponse:
    rows = keyset(request, selectors.api_keys(request.actor.workspace))
    context = {"keys": rows, "form": form, "section": "keys"}
    return render(request, "accounts/keys.html", context, status=status)

"""Pages outside a workspace: the way in, the profile, own sessions, workspaces, and people for operators."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.accounts import selectors, services
from apps.accounts.access import SESSION_WORKSPACE
from apps.accounts.forms import NewWorkspaceForm, ProfileForm
from apps.accounts.models import User
from core.pages import keyset

COOKIE_SECONDS = 365 * 24 * 3600
THEME_COOKIE = "lingxi_theme"  # the frame's script keeps it too


def person(request: HttpRequest) -> User:
    """Who is logged in; only for views behind login_required."""
    assert isinstance(request.user, User)
    return request.user


@login_required
def root(request: HttpRequest) -> HttpResponse:
    """Where the person was last, or the list of workspaces when there is none to enter."""
    slug = selectors.home_slug(person(request), request.session.get(SESSION_WORKSPACE, ""))
    return redirect("dashboard:home", workspace=slug) if slug else redirect("workspaces")


@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Change the language of this browser, and of the person when one is logged in."""
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        raise Http404
    if request.user.is_authenticated:
        services.update_profile(user=person(request), language=language)
    return _with_language(redirect(_next(request)), language)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Own name, language, time zone, look and mails; password, sessions and memberships."""
    user = person(request)
    form = ProfileForm(request.POST or None, instance=User.objects.get(pk=user.pk))
    if request.method == "POST" and form.is_valid():
        services.update_profile(user=user, **form.cleaned_data)
        with translation.override(user.language or translation.get_language()):
            messages.success(request, _("Saved."))
        response = _with_language(redirect("profile"), user.language)
        response.set_cookie(THEME_COOKIE, user.theme or "auto", max_age=COOKIE_SECONDS, samesite="Lax")
        return response
    return render(request, "accounts/profile.html", {"form": form})


@login_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Remember the appearance that the button in the frame was set to."""
    theme = request.POST.get("theme", "")
    if theme not in {"auto", "light", "dark"}:
        raise Http404
    services.update_profile(user=person(request), theme="" if theme == "auto" else theme)
    return HttpResponse(status=204)


@login_required
@require_GET
def sessions(request: HttpRequest) -> HttpResponse:
    """Browsers in which the person is logged in."""
    rows = selectors.sessions_of(person(request))
    return render(request, "accounts/sessions.html", {"sessions": rows})


@login_required
@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    """Log one of one's own browsers out; ending the present one is a log-out."""
    if not services.end_sessions(user=person(request), pk=pk):
        raise Http404
    messages.success(request, _("That browser is logged out."))
    return redirect("usersessions_list")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Log every other browser out."""
    services.end_sessions(user=person(request), keep=request.session.session_key or "")
    messages.success(request, _("All other browsers are logged out."))
    return redirect("usersessions_list")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def workspaces(request: HttpRequest) -> HttpResponse:
    """Own workspaces (the frame brings them); operators open new ones here."""
    user = person(request)
    form = NewWorkspaceForm(request.POST or None)
    if request.method == "POST":
        services.require_operator(user)
        if form.is_valid():
            made = services.open_workspace(by=user, name=form.cleaned_data["name"])
            return redirect("dashboard:home", workspace=made.slug)
    context = {
        "form": form,
        "deleting": selectors.workspaces_being_deleted(user),
    }
    return render(request, "accounts/workspaces.html", context)


@login_required
@require_GET
def people(request: HttpRequest) -> HttpResponse:
    """Everybody of this installation; for operators, a 404 for others."""
    if not person(request).is_operator:
        raise Http404
    return render(request, "accounts/people.html", {"people": keyset(request, selectors.people(), size=100)})


@login_required
@require_POST
def set_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Deactivate or reactivate a person; for operators, a 404 for others."""
    operator = person(request)
    if not operator.is_operator:
        raise Http404
    user = get_object_or_404(User, pk=pk)
    if request.POST.get("active") == "1":
        services.reactivate_user(by=operator, user=user)
        messages.success(request, _("%s can log in again.") % user)
    else:
        services.deactivate_user(by=operator, user=user)
        messages.success(request, _("%s is locked out everywhere.") % user)
    return redirect(_next(request, "/people"))


def _next(request: HttpRequest, otherwise: str = "/") -> str:
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else otherwise


def _with_language(response: HttpResponse, language: str) -> HttpResponse:
    if language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=COOKIE_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return response

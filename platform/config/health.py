"""Is it alive, is it ready, and what to say when a page is not there."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import get_template
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from redis import Redis, RedisError

from core.api.problems import plain_problem
from core.openai.errors import plain_error
from core.pages import THEME_COOKIE, THEMES


def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """Database and Redis answer too; 503 names the one that does not."""
    checks = {"database": _database_answers(), "redis": _redis_answers()}
    ready = all(checks.values())
    return JsonResponse({"status": "ready" if ready else "not ready", **checks}, status=200 if ready else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        with Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _problem(request: HttpRequest, status: int, code: str, detail: str) -> JsonResponse:
    """A problem document, below /v1/ an error as OpenAI's clients read it."""
    tell = plain_error if request.path.startswith("/v1/") else plain_problem
    return tell(request, status, code, detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 as a page, or as a problem document below /api/ and /v1/."""
    if request.path.startswith(("/api/", "/v1/")):
        return _problem(request, 404, "not_found", _("There is nothing at this address."))
    return render(request, "core/404.html", status=404)


def not_allowed(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403 in the same two shapes."""
    if request.path.startswith(("/api/", "/v1/")):
        return _problem(request, 403, "not_allowed", _("Your role or API key does not allow this."))
    return render(request, "core/403.html", status=403)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token: most often a page that was open for too long."""
    if request.path.startswith(("/api/", "/v1/")):
        return _problem(request, 403, "csrf_failed", _("The form's token is missing or too old."))
    return render(request, "core/csrf.html", status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """500 in the same two shapes, asking nothing of the database; the log holds the traceback under the request's id."""
    if request.path.startswith(("/api/", "/v1/")):
        return _problem(request, 500, "unexpected", _("Something went wrong on our side."))
    theme = request.COOKIES.get(THEME_COOKIE, "auto")
    context = {
        "request": request,
        "theme": theme if theme in THEMES else "auto",
        "languages": settings.LANGUAGES,
        "LANGUAGE_CODE": get_language(),
    }
    # Without context processors: they would ask the database, which may be what failed.
    return HttpResponse(get_template("core/500.html").render(context), status=500)

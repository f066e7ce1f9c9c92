"""Middleware of people: their language, and when their session was last seen."""

from collections.abc import Callable
from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

Handler = Callable[[HttpRequest], HttpResponse]

SEEN_RESOLUTION = timedelta(minutes=5)


class LanguageMiddleware:
    """Speak the language a person stored, whatever this browser prefers."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chosen = getattr(request.user, "language", "")
        if chosen in dict(settings.LANGUAGES):
            translation.activate(chosen)  # LocaleMiddleware sets it anew for every request
            request.LANGUAGE_CODE = chosen
        return self.handler(request)


class SessionSeenMiddleware:
    """Note when a session was last seen: one small query per request, one write every five minutes."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __call__(self, request: HttpRequest) -> HttpResponse:
        key = request.session.session_key
        if key and request.user.is_authenticated:
            now = timezone.now()
            stale = UserSession.objects.filter(session_key=key, last_seen_at__lt=now - SEEN_RESOLUTION)
            stale.update(last_seen_at=now)
        return self.handler(request)

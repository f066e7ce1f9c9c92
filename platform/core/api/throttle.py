"""Rate limit per API key or user, with headers that say how much is left."""

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from core.access import Actor


class ActorThrottle(SimpleRateThrottle):
    """A sliding minute per key, else per user, else per address."""

    scope = "api"
    history: list[float]
    num_requests: int | None
    duration: int | None

    def get_rate(self) -> str:
        """From the settings, read at each request so that tests may change it."""
        return f"{settings.API_RATE_PER_MINUTE}/minute"

    def get_cache_key(self, request: Request, view: Any) -> str:
        """One bucket per actor."""
        actor = request.auth
        if isinstance(actor, Actor) and actor.key is not None:
            ident = f"key-{actor.key.pk}"
        elif isinstance(actor, Actor):
            ident = f"user-{actor.user.pk}"
        else:
            ident = f"ip-{self.get_ident(request)}"
        return f"throttle-api-{ident}"

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count this request and remember the state for the headers."""
        allowed: bool = super().allow_request(request, view)
        limit = self.num_requests or 0
        oldest = self.history[-1] if self.history else self.now
        request._request.rate_limit = {  # type: ignore[attr-defined]
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(max(0, limit - len(self.history))),
            "RateLimit-Reset": str(int(max(0.0, oldest + (self.duration or 60) - self.now)) + 1),
        }
        return allowed

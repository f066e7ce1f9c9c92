"""Limits per API key, person or address, with headers that say how much is left."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from core import limits
from core.access import Actor
from core.limits import Entry, Limits

BYTES_A_TOKEN = 4  # of a body, where the tokens are not counted yet
SLOT = "slot"  # in an actor's `extra`: a place among the requests at once, until a row takes it


class LimitReached(APIException):
    """Too much for now; `wait` are the seconds after which it is worth another try."""

    status_code = 429

    def __init__(self, entry: Entry) -> None:
        self.wait = entry.wait_seconds or None
        super().__init__(_sentence(entry))
        self.default_code = "request_too_large" if entry.refused == "size" else "throttled"


class ActorThrottle(BaseThrottle):
    """What the actor's key may do, else so many requests a minute per person or address."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count this request, reserve what it needs, and remember the state for the headers."""
        actor = request.auth if isinstance(request.auth, Actor) else None
        allowed = (actor and actor.limits) or Limits(settings.API_RATE_PER_MINUTE)
        spends = actor is not None and request.method == "POST" and getattr(view, "spends_tokens", False)
        tokens = int(request.META.get("CONTENT_LENGTH") or 0) // BYTES_A_TOKEN if spends else None
        entry = limits.enter(self._caller(request, actor), allowed, tokens=tokens)
        if entry is None:
            return True
        request._request.rate_limit = headers(entry)  # type: ignore[attr-defined]
        if entry.refused:
            raise LimitReached(entry)
        if actor is not None and entry.slot:
            actor.extra[SLOT] = entry.slot
        return True

    def _caller(self, request: Request, actor: Actor | None) -> str:
        if actor is None:
            return f"ip-{self.get_ident(request)}"
        return f"key-{actor.key.pk}" if actor.key is not None else f"user-{actor.user.pk}"


def take_slot(actor: Actor) -> str:
    """The place that was kept for this request, for the row that ends it; "" the second time."""
    return str(actor.extra.pop(SLOT, ""))


def give_back(actor: Actor) -> None:
    """Give back a place that no row took."""
    if slot := take_slot(actor):
        limits.settle(slot, 0)


def headers(entry: Entry) -> dict[str, str]:
    """In the words of our own API and in OpenAI's."""
    reset = entry.requests_reset_seconds
    found = {
        "RateLimit-Limit": str(entry.limits.requests),
        "RateLimit-Remaining": str(entry.requests_left),
        "RateLimit-Reset": str(int(reset) + 1),
        "x-ratelimit-limit-requests": str(entry.limits.requests),
        "x-ratelimit-remaining-requests": str(entry.requests_left),
        "x-ratelimit-reset-requests": in_words(reset),
    }
    if entry.limits.tokens:
        found |= {
            "x-ratelimit-limit-tokens": str(entry.limits.tokens),
            "x-ratelimit-remaining-tokens": str(entry.tokens_left),
            "x-ratelimit-reset-tokens": in_words(entry.tokens_reset_seconds),
        }
    return found


def in_words(seconds: float) -> str:
    """A length of time as OpenAI writes it: 20ms, 1.5s, 6m0s."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    part = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{part}" if minutes else part


def _sentence(entry: Entry) -> str:
    given = {
        "requests": entry.limits.requests,
        "tokens": entry.limits.tokens,
        "most": entry.limits.at_once,
        "seconds": max(1, round(entry.wait_seconds)),
    }
    sentences = {
        "concurrent": _("This key has %(most)s requests at work, which is its limit. Try again when one has ended."),
        "requests": _("The limit of %(requests)s requests a minute is reached. Try again in %(seconds)s s."),
        "tokens": _("The limit of %(tokens)s tokens a minute is reached. Try again in %(seconds)s s."),
        "size": _("This request is larger than the limit of %(tokens)s tokens a minute. Send less at once."),
    }
    return sentences[entry.refused] % given

"""What every page's frame needs, and small helpers for pages."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from core.access import Actor


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame: the actor (None outside a workspace), languages and the single sign-on name."""
    actor: Actor | None = getattr(request, "actor", None)
    return {
        "actor": actor,
        "workspace": actor.workspace if actor else None,
        "languages": settings.LANGUAGES,
        "oidc_name": settings.OIDC_NAME,
    }


def workspace_url(actor: Actor, name: str, **kwargs: Any) -> str:
    """The address of a page in the actor's workspace."""
    return reverse(name, kwargs={"workspace": actor.workspace.slug, **kwargs})

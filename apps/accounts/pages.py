"""What the frame shows of accounts on every page: the person's workspaces, and where the theme is kept."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import Membership, User
from apps.accounts.selectors import memberships_of


def frame(request: HttpRequest) -> dict[str, Any]:
    """`memberships` to switch between (asked for only when a template shows them) and `theme_url`."""
    user = getattr(request, "user", None)

    def load() -> list[Membership]:
        return list(memberships_of(user)) if isinstance(user, User) else []

    return {
        "memberships": SimpleLazyObject(load),
        "theme_url": reverse("set_theme") if isinstance(user, User) else "",
    }

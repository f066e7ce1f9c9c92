"""What the frame shows of accounts on every page: the person's workspaces to switch between."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from apps.accounts.models import User, Workspace
from apps.accounts.selectors import memberships_of


def switcher(request: HttpRequest) -> dict[str, Any]:
    """`my_workspaces`: the person's workspaces, last used first; asked for only when a template shows them."""

    def load() -> list[Workspace]:
        user = getattr(request, "user", None)
        return [member.workspace for member in memberships_of(user)] if isinstance(user, User) else []

    return {"my_workspaces": SimpleLazyObject(load)}

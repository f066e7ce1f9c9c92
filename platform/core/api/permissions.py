"""May the actor call this view with this method?"""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from core.access import Actor

SAFE = {"GET", "HEAD", "OPTIONS"}


class ActorMay(BasePermission):
    """Checks `view.read_permission` for safe methods and `view.write_permission` for others.

    `view.action_permissions` (action -> permission) wins over both.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether request.auth, an Actor, holds what the view asks."""
        actor = request.auth
        if not isinstance(actor, Actor):
            return False
        special: dict[str, str] = getattr(view, "action_permissions", {})
        action = getattr(view, "action", None) or request.method.lower()  # type: ignore[union-attr]
        default = view.read_permission if request.method in SAFE else view.write_permission
        return actor.may(special.get(action, default))

"""How API callers prove who they are: an API key, or the session of a page."""

from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.accounts.access import actor_of_key, actor_of_member, client_ip
from apps.accounts.models import Membership, User
from core.access import Actor


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer lx_...`"""

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        """The user and actor of the key; None when no key was sent."""
        scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        actor = actor_of_key(secret.strip(), client_ip(request._request))
        if actor is None:
            raise AuthenticationFailed(_("This API key is unknown, revoked or expired."))
        return actor.user, actor

    def authenticate_header(self, request: Request) -> str:
        """The challenge of a 401."""
        return 'Bearer realm="lingxi"'


class WorkspaceSessionAuthentication(SessionAuthentication):
    """The session of a logged-in member; `X-Workspace: <slug>` chooses among several workspaces."""

    def authenticate(self, request: Request) -> tuple[Any, Actor] | None:
        """The user and actor of the session; None when nobody is logged in."""
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        assert isinstance(user, User)
        slug = request.headers.get("X-Workspace", "")
        if not slug:
            mine = Membership.objects.filter(user=user, workspace__deleting_at=None).order_by("id")
            slug = mine.values_list("workspace__slug", flat=True).first() or ""
        try:
            return user, actor_of_member(user, slug, client_ip(request._request))
        except Http404 as error:
            raise AuthenticationFailed(_("You are not a member of this workspace.")) from error

"""What pages and API read about people, workspaces, keys and the audit trail."""

from datetime import datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.db.models import Count, F, QuerySet

from apps.accounts.models import ApiKey, AuditEntry, Invitation, Membership, User, Workspace, hash_token
from apps.accounts.roles import OWNER, PERMISSIONS, ROLE_NAMES
from core.leftovers import Names


def memberships_of(user: User) -> QuerySet[Membership]:
    """A person's memberships with their workspaces, last used first; workspaces being deleted are left out."""
    return (
        Membership.objects.filter(user=user, workspace__deleting_at=None)
        .select_related("workspace")
        .order_by(F("last_used_at").desc(nulls_last=True), "id")
    )


def home_slug(user: User, remembered: str = "") -> str:
    """Where the person goes from "/": the workspace this browser was in, else last used, else first; or ""."""
    slugs = list(memberships_of(user).values_list("workspace__slug", flat=True))
    if remembered in slugs:
        return remembered
    return slugs[0] if slugs else ""


def members(workspace: Workspace) -> QuerySet[Membership]:
    """Members with their users, by name."""
    return Membership.objects.filter(workspace=workspace).select_related("user").order_by("user__email")


def invitations(workspace: Workspace) -> QuerySet[Invitation]:
    """Invitations with who made and who took them, newest first."""
    return Invitation.objects.filter(workspace=workspace).select_related("invited_by", "accepted_by").order_by("-id")


def invitation_by_token(token: str) -> Invitation | None:
    """The invitation of a link with its workspace, whatever its state."""
    return (
        Invitation.objects.select_related("workspace", "invited_by")
        .filter(token_hash=hash_token(token), workspace__deleting_at=None)
        .first()
    )


def api_keys(workspace: Workspace) -> QuerySet[ApiKey]:
    """Keys with their makers, newest first."""
    return ApiKey.objects.filter(workspace=workspace).select_related("user").order_by("-id")


def audit_entries(workspace: Workspace) -> QuerySet[AuditEntry]:
    """The trail of a workspace, newest first."""
    return AuditEntry.objects.filter(workspace_id=workspace.pk).order_by("-id")


def owner_count(workspace: Workspace) -> int:
    """How many active people own the workspace."""
    return Membership.objects.filter(workspace=workspace, role=OWNER, user__is_active=True).count()


def workspaces_owned_alone(user: User) -> QuerySet[Workspace]:
    """Workspaces whose only active owner is `user`."""
    others = Membership.objects.filter(role=OWNER, user__is_active=True).exclude(user=user)
    return (
        Workspace.objects.filter(deleting_at=None, memberships__user=user, memberships__role=OWNER)
        .exclude(pk__in=others.values("workspace"))
        .order_by("name")
    )


def sessions_of(user: User) -> list[UserSession]:
    """A person's living sessions, last seen first."""
    return sorted(UserSession.objects.purge_and_list(user), key=_last_seen, reverse=True)


def _last_seen(session: UserSession) -> datetime:
    seen: datetime = session.last_seen_at
    return seen


def people() -> QuerySet[User]:
    """Everybody of this installation with the number of their workspaces."""
    return User.objects.annotate(workspace_count=Count("memberships"))


def role_table() -> list[dict[str, Any]]:
    """Every permission with its meaning and, per role in order, whether the role holds it."""
    return [
        {"name": name, "meaning": meaning, "held": [role in roles for role in ROLE_NAMES]}
        for name, (meaning, roles) in PERMISSIONS.items()
    ]


def workspaces_being_deleted(user: User) -> QuerySet[Workspace]:
    """A person's workspaces whose deletion is under way."""
    return Workspace.objects.filter(memberships__user=user).exclude(deleting_at=None).order_by("name")


def file_places() -> list[tuple[str, Names]]:
    """Where the folders of workspaces lie, and which have a workspace."""
    return [("*", lambda: {f"files/{pk}" for pk in Workspace.objects.values_list("pk", flat=True)})]

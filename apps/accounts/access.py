"""From a request to the actor: membership for pages and sessions, key for programs."""

from datetime import timedelta

from django.http import Http404, HttpRequest
from django.utils import timezone

from apps.accounts.models import ApiKey, Membership, User, hash_token
from apps.accounts.roles import permissions_of
from core.access import Actor

LAST_USED_RESOLUTION = timedelta(minutes=1)
SESSION_WORKSPACE = "workspace"  # slug of the workspace this browser was in last


def actor_of_member(user: User, slug: str, ip: str | None = None) -> Actor:
    """The actor a member is in the workspace `slug`; 404 for everybody else."""
    membership = (
        Membership.objects.select_related("workspace")
        .filter(user=user, user__is_active=True, workspace__slug=slug, workspace__deleting_at=None)
        .first()
    )
    if membership is None:
        raise Http404
    return Actor(
        workspace=membership.workspace,
        user=user,
        permissions=permissions_of(membership.role),
        role=membership.role,
        ip=ip,
    )


def actor_for_page(request: HttpRequest, slug: str) -> Actor:
    """The actor behind a page below /w/<slug>/."""
    assert isinstance(request.user, User)
    actor = actor_of_member(request.user, slug, client_ip(request))
    if request.session.get(SESSION_WORKSPACE) != actor.workspace.slug:
        request.session[SESSION_WORKSPACE] = actor.workspace.slug
        Membership.objects.filter(user=actor.user, workspace=actor.workspace).update(last_used_at=timezone.now())
    return actor


def actor_of_key(secret: str, ip: str | None) -> Actor | None:
    """The actor of a living API key; None for an unknown, revoked or expired one.

    A key never holds more than the role its maker has today.
    """
    now = timezone.now()
    key = ApiKey.objects.select_related("workspace", "user").filter(key_hash=hash_token(secret)).first()
    if key is None or key.revoked_at or (key.expires_at and key.expires_at <= now) or not key.user.is_active:
        return None
    membership = Membership.objects.filter(user=key.user, workspace=key.workspace).first()
    if membership is None or key.workspace.deleting_at:
        return None
    if key.last_used_at is None or now - key.last_used_at > LAST_USED_RESOLUTION:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    return Actor(
        workspace=key.workspace,
        user=key.user,
        permissions=permissions_of(membership.role) & frozenset(key.scopes),
        role=membership.role,
        key=key,
        ip=ip,
        limits=key.limits,
    )


def client_ip(request: HttpRequest) -> str | None:
    """The peer's address; the proxy in front must be uvicorn's trusted one (--forwarded-allow-ips)."""
    return request.META.get("REMOTE_ADDR") or None

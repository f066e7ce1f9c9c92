"""Members of a workspace: roles change, people leave, and one owner always stays."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import Invitation, Membership, Workspace
from apps.accounts.roles import ADMIN, OWNER, ROLE_NAMES
from apps.accounts.selectors import owner_count
from apps.accounts.services.trail import audit
from core.access import Actor
from core.errors import Refused, conflict
from words import say


def check_may_grant(actor: Actor, role: str) -> None:
    """Refuse an unknown role, and the owner's role from anybody but an owner."""
    if role not in ROLE_NAMES:
        raise Refused("unknown_role", say("There is no role named {role}.", role=role), field="role")
    if role == OWNER and actor.role != OWNER:
        raise Refused("owner_only", say("Only an owner can make someone an owner."), field="role", status=403)


@transaction.atomic
def change_role(*, actor: Actor, member: Membership, role: str) -> Membership:
    """Give a member another role; the last owner keeps it."""
    check_may_grant(actor, role)
    before = _lock(actor, member)
    if before == role:
        return member
    if before == OWNER:
        _keep_an_owner(member)
    Membership.objects.filter(pk=member.pk).update(role=role)
    member.role = role
    _revoke_invitations_of(member, role)
    audit(actor=actor, action="member.role", obj=member.user, before=before, after=role)
    return member


@transaction.atomic
def remove_member(*, actor: Actor, member: Membership) -> None:
    """End a membership (or leave oneself); the person's keys for this workspace stop working with it."""
    if _lock(actor, member) == OWNER:
        _keep_an_owner(member)
    _revoke_invitations_of(member, "")
    Membership.objects.filter(pk=member.pk).delete()
    left = actor.user == member.user
    audit(actor=actor, action="member.leave" if left else "member.remove", obj=member.user)


def _lock(actor: Actor, member: Membership) -> str:
    """Hold the workspace's row, so that two owners cannot leave at once; returns the role of now."""
    Workspace.objects.select_for_update().get(pk=member.workspace_id)
    role = Membership.objects.filter(pk=member.pk).values_list("role", flat=True).first()
    if role is None:
        raise conflict("no_member", say("They are no member any more."))
    if role == OWNER and actor.role != OWNER:
        raise Refused("owner_only", say("Only an owner can change or remove an owner."), status=403)
    return role


def _keep_an_owner(member: Membership) -> None:
    if member.user.is_active and owner_count(member.workspace) < 2:
        raise conflict(
            "last_owner",
            say("A workspace needs an owner. Make someone else an owner first, then try again."),
        )


def _revoke_invitations_of(member: Membership, role: str) -> None:
    """Links someone made do not outlive the right to make them."""
    open_links = Invitation.objects.filter(
        workspace=member.workspace, invited_by=member.user, accepted_at=None, revoked_at=None
    )
    if role == OWNER:
        return
    beyond = Q(role=OWNER) if role == ADMIN else Q()
    open_links.filter(beyond).update(revoked_at=timezone.now())

"""Invitations by link: made once, used once, for those who have an account and those who have none."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.accounts.models import Invitation, Membership, User, hash_token, new_token
from apps.accounts.services.members import check_may_grant
from apps.accounts.services.people import check_password_strength, create_user
from apps.accounts.services.trail import audit
from core.access import Actor
from core.errors import Refused, conflict
from words import say

MAX_DAYS = 30


@transaction.atomic
def invite(*, actor: Actor, role: str, email: str = "", days: int = 7) -> tuple[Invitation, str]:
    """An invitation and the token of its link, which is shown this once.

    With an address only that person can use it; without one, whoever has the link first.
    """
    check_may_grant(actor, role)
    if not 1 <= days <= MAX_DAYS:
        raise Refused("invalid_days", say("A link works for 1 to {max_days} days.", max_days=MAX_DAYS), field="days")
    address = email.strip().lower()
    if address and Membership.objects.filter(workspace=actor.workspace, user__email=address).exists():
        raise conflict("already_member", say("{address} is a member already.", address=address))
    token = new_token("join")
    invitation = Invitation.objects.create(
        workspace=actor.workspace,
        email=address,
        role=role,
        token_hash=hash_token(token),
        invited_by=actor.user,
        expires_at=timezone.now() + timedelta(days=days),
    )
    audit(actor=actor, action="invitation.create", obj=invitation, role=role)
    return invitation, token


@transaction.atomic
def revoke_invitation(*, actor: Actor, invitation: Invitation) -> Invitation:
    """Make a link useless; revoking twice is harmless, an accepted one stays accepted."""
    if invitation.accepted_at:
        raise conflict("invitation_accepted", say("This invitation was accepted already. Remove the member instead."))
    done = Invitation.objects.filter(pk=invitation.pk, revoked_at=None, accepted_at=None)
    if done.update(revoked_at=timezone.now()):
        audit(actor=actor, action="invitation.revoke", obj=invitation)
    invitation.refresh_from_db()
    return invitation


@transaction.atomic
def accept_as_member(*, invitation: Invitation, user: User) -> Membership:
    """Someone with an account joins."""
    check_open(invitation)
    if invitation.email and invitation.email != user.email.lower():
        raise Refused(
            "invitation_for_other",
            say(
                "This invitation is for {email}. Log in with that address, or ask for a new link.",
                email=invitation.email,
            ),
            status=403,
        )
    if Membership.objects.filter(workspace=invitation.workspace, user=user).exists():
        raise conflict("already_member", say("You are a member of this workspace already."))
    return _join(invitation, user)


@transaction.atomic
def accept_as_newcomer(*, invitation: Invitation, email: str, name: str, password: str) -> Membership:
    """Someone without an account gets one and joins.

    An address that has an account is refused: its owner must log in first.
    """
    check_open(invitation)
    address = email.strip().lower()
    if invitation.email and invitation.email != address:
        raise Refused(
            "invitation_for_other",
            say("This invitation is for {email}.", email=invitation.email),
            field="email",
            status=403,
        )
    check_password_strength(password, User(email=address, name=name))
    user = create_user(email=address, password=password, name=name, vouched=False)
    return _join(invitation, user)


def check_open(invitation: Invitation) -> None:
    """Refuse a link that was used, revoked or has expired."""
    if invitation.accepted_at:
        raise Refused("invitation_used", say("This link was used already. Ask for a new one."), status=410)
    if not invitation.open:
        raise Refused("invitation_ended", say("This link has expired or was revoked. Ask for a new one."), status=410)


def _join(invitation: Invitation, user: User) -> Membership:
    now = timezone.now()
    taken = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None, expires_at__gt=now)
    if not taken.update(accepted_at=now, accepted_by=user):  # two people with one link: the first wins
        raise Refused("invitation_used", say("This link was used already. Ask for a new one."), status=410)
    member = Membership.objects.create(workspace=invitation.workspace, user=user, role=invitation.role)
    audit(
        actor=None,
        by=user,
        workspace=invitation.workspace,
        action="member.join",
        obj=user,
        role=invitation.role,
        invitation=invitation.pk,
    )
    return member

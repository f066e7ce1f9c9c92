"""Ask for approval of a version and decide about it."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.registry.models import Approval, Decision, ModelVersion
from core.access import Actor
from core.errors import conflict
from words import say


@transaction.atomic
def request_approval(*, actor: Actor, version: ModelVersion, reason: str = "") -> Approval:
    """Ask that somebody approves `version`; one request is open at a time."""
    try:
        with transaction.atomic():
            approval = Approval.objects.create(version=version, reason=reason, requested_by=actor.user)
    except IntegrityError as error:
        raise conflict("approval_open", say("Approval of this version has been asked for already.")) from error
    audit(actor=actor, action="approval.request", obj=version, reason=reason)
    return approval


def approve(*, actor: Actor, approval: Approval, note: str = "") -> Approval:
    """Approve; where the workspace wants four eyes, not one's own request.

    Elsewhere approving one's own request is possible and recorded as such.
    """
    return _decide(actor, approval, Decision.APPROVED, note)


def reject(*, actor: Actor, approval: Approval, note: str = "") -> Approval:
    """Decline; the request may be made again later."""
    return _decide(actor, approval, Decision.REJECTED, note)


@transaction.atomic
def _decide(actor: Actor, approval: Approval, decision: Decision, note: str) -> Approval:
    own = approval.requested_by_id == actor.user.pk
    if decision == Decision.APPROVED and own and actor.workspace.four_eyes:
        raise conflict(
            "four_eyes",
            say("You asked for this approval yourself; in this workspace a second person decides."),
        )
    columns = {
        "decision": decision,
        "decided_by": actor.user,
        "decided_at": timezone.now(),
        "is_self_approval": own and decision == Decision.APPROVED,
        "note": note,
    }
    if not Approval.objects.filter(pk=approval.pk, decision=Decision.OPEN).update(**columns):
        raise conflict("approval_decided", say("This request has been decided already."))
    approval.refresh_from_db()
    audit(actor=actor, action=f"approval.{decision}", obj=approval.version, note=note, own_request=own)
    return approval

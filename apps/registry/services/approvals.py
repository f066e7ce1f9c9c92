"""Ask for approval of a version and decide about it."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.registry.models import Approval, Decision, ModelVersion
from apps.registry.services.aliases import check_alias_name
from apps.registry.services.cards import renew_card
from core.access import Actor
from core.errors import conflict
from words import say


@transaction.atomic
def request_approval(*, actor: Actor, version: ModelVersion, reason: str = "", alias: str = "") -> Approval:
    """Ask that somebody approves `version`; one request is open at a time. With `alias` approving moves it."""
    if alias:
        check_alias_name(alias)
    try:
        with transaction.atomic():
            approval = Approval.objects.create(version=version, reason=reason, alias=alias, requested_by=actor.user)
    except IntegrityError as error:
        raise conflict("approval_open", say("Approval of this version has been asked for already.")) from error
    audit(actor=actor, action="approval.request", obj=version, reason=reason, alias=alias)
    return approval


@transaction.atomic
def approve(*, actor: Actor, approval: Approval, note: str = "", evidence: Mapping[str, Any] | None = None) -> Approval:
    """Approve; where the workspace wants four eyes, not one's own request.

    Elsewhere approving one's own request is possible and recorded as such. `evidence` is what the gate found; it is
    kept here and stands on the version's card.
    """
    done = _decide(actor, approval, Decision.APPROVED, note, dict(evidence or {}))
    if done.evidence:
        renew_card(actor=actor, version=done.version)
    return done


def reject(*, actor: Actor, approval: Approval, note: str = "") -> Approval:
    """Decline; the request may be made again later."""
    return _decide(actor, approval, Decision.REJECTED, note, {})


@transaction.atomic
def _decide(actor: Actor, approval: Approval, decision: Decision, note: str, evidence: Mapping[str, Any]) -> Approval:
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
        "evidence": evidence,
    }
    if not Approval.objects.filter(pk=approval.pk, decision=Decision.OPEN).update(**columns):
        raise conflict("approval_decided", say("This request has been decided already."))
    approval.refresh_from_db()
    suite = evidence.get("gate", {}).get("suite", {})
    audit(
        actor=actor,
        action=f"approval.{decision}",
        obj=approval.version,
        note=note,
        own_request=own,
        suite_hash=suite.get("hash", ""),
    )
    return approval

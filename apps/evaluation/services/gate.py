"""The gate: a protected alias names only what passed the suite its family requires."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from apps.accounts.services import audit
from apps.evaluation.models import Gate, Suite
from apps.evaluation.selectors import verdict_of
from apps.evaluation.services.suites import seal
from apps.evaluation.verdicts import PASSED, CheckVerdict, Verdict
from apps.registry import services as registry
from apps.registry.models import Alias, Approval, Decision, ModelFamily, ModelVersion
from core.access import Actor
from core.errors import Problem, Refused
from words import say

MOST_PROTECTED = 10


@transaction.atomic
def set_gate(*, actor: Actor, family: ModelFamily, suite: Suite | None, aliases: Sequence[str] = ()) -> Gate | None:
    """Require a suite for the named aliases of a family; None takes the requirement away.

    The suite is sealed. Where the aliases stand today they stay: the gate is asked at the next move.
    """
    names = sorted({name.strip() for name in aliases if name.strip()})
    for name in names:
        registry.check_alias_name(name)
    if suite is not None and not 1 <= len(names) <= MOST_PROTECTED:
        raise Refused("bad_alias", say("Name one to {most} aliases to protect.", most=MOST_PROTECTED), field="aliases")
    if suite is not None and suite.task != family.task:
        raise Refused(
            "other_task",
            say("{suite} is for {wanted}, and this model is not.", suite=suite, wanted=suite.task),
            field="suite",
        )
    sealed = seal(suite) if suite is not None else None
    ModelFamily.objects.select_for_update().get(pk=family.pk)
    family.protected_aliases = names if sealed else []
    family.save(update_fields=["protected_aliases"])
    audit(
        actor=actor,
        action="gate.set" if sealed else "gate.remove",
        obj=family,
        suite=str(sealed or ""),
        suite_hash=sealed.content_hash if sealed else "",
        aliases=family.protected_aliases,
    )
    if sealed is None:
        Gate.objects.filter(family=family).delete()
        return None
    gate, _made = Gate.objects.update_or_create(family=family, defaults={"suite": sealed})
    return gate


@transaction.atomic
def move_alias(
    *,
    actor: Actor,
    family: ModelFamily,
    name: str,
    version: ModelVersion,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Alias:
    """Let the alias name `version`, a protected one only after the required suite is passed.

    Raises Refused (409) with every figure that keeps it out. What the gate found and who approved go into the history
    beside the caller's own `evidence`.
    """
    family = ModelFamily.objects.select_for_update().get(pk=family.pk)
    kept = dict(evidence or {})
    kept.pop("gate", None)
    kept.pop("approval", None)
    if name in family.protected_aliases and version.family_id == family.pk:
        kept.update(_evidence(version))
    kept.update(_approval(version))
    return registry.move_alias(actor=actor, family=family, name=name, version=version, reason=reason, evidence=kept)


@transaction.atomic
def approve(*, actor: Actor, approval: Approval, note: str = "") -> Approval:
    """Approve a version that passed the suite its family requires, and move the alias the request names."""
    version = approval.version
    done = registry.approve(actor=actor, approval=approval, note=note, evidence=_evidence(version))
    if done.alias:
        move_alias(actor=actor, family=version.family, name=done.alias, version=version, reason=done.reason)
    return done


def _evidence(version: ModelVersion) -> dict[str, Any]:
    """What the family's gate finds of the version; empty without a gate, Refused when it is not passed."""
    gate = Gate.objects.select_related("suite").filter(family=version.family_id).first()
    if gate is None:
        return {}
    suite = seal(gate.suite)
    found = verdict_of(suite, version)
    if found.state != PASSED:
        raise _kept_out(found, version)
    return {"gate": found.as_evidence()}


def _approval(version: ModelVersion) -> dict[str, Any]:
    """Who asked and who approved, from the newest approval of the version."""
    rows = Approval.objects.filter(version=version, decision=Decision.APPROVED)
    found = rows.select_related("requested_by", "decided_by").order_by("-decided_at", "-id").first()
    if found is None or found.decided_at is None:
        return {}
    return {
        "approval": {
            "id": found.pk,
            "asked_by": str(found.requested_by or ""),
            "approved_by": str(found.decided_by or ""),
            "approved_at": found.decided_at.isoformat(),
            "is_self_approval": found.is_self_approval,
        }
    }


def _kept_out(found: Verdict, version: ModelVersion) -> Refused:
    problems = [
        Problem(code=f"check_{check.state}", field=check.check.figure, message=_said(check))
        for check in found.checks
        if check.state != PASSED
    ]
    message = say("{version} has not passed the suite {suite}.", version=version, suite=found.suite)
    hint = say("Run the suite on the version's page, or choose another version.")
    first = Problem(code="gate_not_passed", message=message, hint=hint)
    return Refused("gate_not_passed", message, hint=hint, status=409, problems=[first, *problems])


def _said(found: CheckVerdict) -> str:
    check = found.check
    if found.judged is None:
        return say("{figure} on {data}: {why}", figure=check.figure, data=_rows(check), why=found.why)
    return say(
        "{figure} on {data} is {value:.4f}; the suite wants {direction} {threshold:g}.",
        figure=check.figure,
        data=_rows(check),
        value=found.judged,
        direction=check.direction,
        threshold=check.threshold,
    )


def _rows(check: Any) -> str:
    if check.dataset_version is None:
        return say("the tasks of its lineage")
    return f"{check.dataset_version} {check.split}".strip()

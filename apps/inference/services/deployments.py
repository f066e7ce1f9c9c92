"""Deployments: set one up, change its shares, promote its candidate or take it back; every step is an entry of its history."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.accounts.services import audit
from apps.inference.arms import arm_figures
from apps.inference.gates import checked_gates
from apps.inference.models import Arm, Deployment, DeploymentEvent, EventKind, GuardPolicy, Sticky
from apps.inference.services.asking import require_usable
from apps.registry.models import Alias
from apps.registry.services import rollback_alias
from core.access import Actor, require
from core.erase import erase
from core.errors import Refused, conflict
from core.queue import notify
from words import say

DEPLOYMENTS_CHANNEL = "lingxi:deployments"
MOST_RETENTION_DAYS = 3650
EVIDENCE_HOURS = 24
CHANGEABLE = (
    "candidate", "candidate_share", "is_shadow", "sticky", "gates", "retention_days", "is_pinned", "is_warm",
    "guard_policy",
)  # fmt: skip
NAMED = {"candidate", "guard_policy"}  # told by a number or a name


@transaction.atomic
def create_deployment(*, actor: Actor, alias: Alias, reason: str = "", **options: Any) -> Deployment:
    """Answer requests for an alias by these rules from now on; without options nothing changes for its callers."""
    if Deployment.objects.filter(alias=alias).exists():
        raise conflict("deployed", say("{alias} has a deployment already.", alias=alias))
    require_usable(alias.version)
    deployment = Deployment(workspace=actor.workspace, alias=alias, serving=alias.version, created_by=actor.user)
    _apply(actor, deployment, options)
    deployment.save()
    remember(deployment, EventKind.CREATED, actor=actor, reason=reason, after=_told(deployment))
    audit(actor=actor, action="deployment.create", obj=deployment, reason=reason, **_told(deployment))
    notify(DEPLOYMENTS_CHANNEL)
    return deployment


@transaction.atomic
def change_deployment(*, actor: Actor, deployment: Deployment, reason: str = "", **options: Any) -> Deployment:
    """Change what is named in `options`, of CHANGEABLE; a candidate that changes begins without having been tried.

    Who names another guard policy needs the permission that policies need.
    """
    found = locked(deployment)
    before, candidate, was_warm = _told(found), found.candidate_id, found.is_warm
    _apply(actor, found, options)
    if found.candidate_id != candidate:
        found.is_candidate_ready, found.warm_error = False, ""
    if found.is_warm and not was_warm:
        found.serving = found.alias.version
    found.save()
    after = _told(found)
    if after == before:
        return found
    changed = {name: value for name, value in after.items() if before[name] != value}
    kept = {name: before[name] for name in changed}
    remember(found, EventKind.CHANGED, actor=actor, reason=reason, before=kept, after=changed)
    audit(actor=actor, action="deployment.change", obj=found, reason=reason, before=kept, after=changed)
    notify(DEPLOYMENTS_CHANNEL)
    return found


@transaction.atomic
def promote(*, actor: Actor, deployment: Deployment, reason: str = "") -> Deployment:
    """Let the alias name the candidate, by the rules of the alias: gate and approval are asked as for any move."""
    found = locked(deployment)
    candidate = found.candidate
    if candidate is None:
        raise conflict("no_candidate", say("{alias} has no candidate.", alias=found.alias))
    figures = arm_figures(found, timezone.now() - timedelta(hours=EVIDENCE_HOURS))
    evidence = {"rollout": {arm: _figures(figures[arm]) for arm in Arm.values if figures[arm].count}}
    # the gate lives in a room beside this one, so the settings say who asks it
    move_alias = import_string(settings.ALIAS_MOVER)
    move_alias(
        actor=actor,
        family=found.alias.family,
        name=found.alias.name,
        version=candidate,
        reason=reason,
        evidence=evidence,
    )
    before = found.alias.version
    if found.is_candidate_ready or not found.is_warm:
        found.serving = candidate
    _without_candidate(found)
    told = {"before": {"version": before.number}, "after": {"version": candidate.number}, **evidence}
    remember(found, EventKind.PROMOTED, actor=actor, reason=reason, **told)
    audit(actor=actor, action="deployment.promote", obj=found, reason=reason, version=candidate.number)
    notify(DEPLOYMENTS_CHANNEL)
    return fresh(found)


@transaction.atomic
def roll_back(*, actor: Actor, deployment: Deployment, reason: str = "") -> Deployment:
    """Take traffic from the candidate; where none has any, the alias goes back to the version it named before."""
    found = locked(deployment)
    told: dict[str, Any]
    if found.candidate_share > 0:
        told = {"before": {"candidate_share": found.candidate_share}, "after": {"candidate_share": 0.0}}
        found.candidate_share = 0.0
        found.save(update_fields=["candidate_share"])
    else:
        before = found.alias.version.number
        alias = rollback_alias(actor=actor, family=found.alias.family, name=found.alias.name, reason=reason)
        told = {"before": {"version": before}, "after": {"version": alias.version.number}}
    remember(found, EventKind.ROLLED_BACK, actor=actor, reason=reason, **told)
    audit(actor=actor, action="deployment.roll_back", obj=found, reason=reason, **told)
    notify(DEPLOYMENTS_CHANNEL)
    return fresh(found)


@transaction.atomic
def delete_deployment(*, actor: Actor, deployment: Deployment) -> None:
    """Answer the alias again by the version it names and nothing else; the audit trail keeps what was done."""
    found = locked(deployment)
    audit(actor=actor, action="deployment.delete", obj=found, **_told(found))
    erase(Deployment.objects.filter(pk=found.pk))
    notify(DEPLOYMENTS_CHANNEL)


def locked(deployment: Deployment) -> Deployment:
    """The row as it is now, for whoever changes it alone; the alias stands still as well."""
    found = Deployment.objects.select_for_update().get(pk=deployment.pk)
    found.alias = Alias.objects.select_related("family", "version__family").get(pk=found.alias_id)
    return found


def fresh(deployment: Deployment) -> Deployment:
    """The row as it is now with what pages name of it."""
    rows = Deployment.objects.select_related(
        "alias__family",
        "alias__version__family",
        "candidate__family",
        "serving__family",
        "guard_policy",
        "created_by",
    )
    return rows.get(pk=deployment.pk)


def remember(
    deployment: Deployment, kind: EventKind, *, actor: Actor | None = None, reason: str = "", **detail: Any
) -> DeploymentEvent:
    """One more entry of the history; without an actor Lingxi did it itself."""
    return DeploymentEvent.objects.create(
        deployment=deployment,
        kind=kind,
        by=str(actor)[:300] if actor else "",
        by_user_id=actor.user.pk if actor and actor.user else None,
        reason=reason,
        detail=detail,
    )


def _without_candidate(deployment: Deployment) -> None:
    deployment.candidate, deployment.candidate_share, deployment.is_shadow = None, 0.0, False
    deployment.is_candidate_ready, deployment.warm_error = False, ""
    deployment.save()


def _apply(actor: Actor, deployment: Deployment, options: Mapping[str, Any]) -> None:
    """Set what is named of CHANGEABLE; Refused with what is wrong."""
    if "guard_policy" in options:
        _require_policy(actor, deployment, options["guard_policy"])
    for name in CHANGEABLE:
        if name in options:
            setattr(deployment, name, options[name])
    if "gates" in options:
        deployment.gates = [gate.as_mapping() for gate in checked_gates(options["gates"])]
    if "candidate" in options:
        _require_fit(deployment)
    if deployment.candidate is None and options.get("candidate_share"):
        raise Refused("no_candidate", say("{alias} has no candidate.", alias=deployment.alias), field="candidate_share")
    if deployment.candidate is None:
        deployment.candidate_share, deployment.is_shadow = 0.0, False
    if not 0 <= deployment.candidate_share <= 1:
        raise Refused("bad_share", say("A share lies between 0 and 1."), field="candidate_share")
    if deployment.sticky not in Sticky.values:
        raise Refused("unknown_sticky", say("“{name}” is not known.", name=deployment.sticky), field="sticky")
    if not 0 <= (deployment.retention_days or 0) <= MOST_RETENTION_DAYS:
        message = say("Texts are kept 0 to {most} days.", most=MOST_RETENTION_DAYS)
        raise Refused("bad_retention", message, field="retention_days")


def _require_policy(actor: Actor, deployment: Deployment, policy: GuardPolicy | None) -> None:
    if (policy.pk if policy else None) == deployment.guard_policy_id:
        return
    require(actor, "workspace.manage")
    if policy is not None and policy.workspace_id != deployment.workspace_id:
        raise Refused("unknown_policy", say("There is no such policy in this workspace."), field="guard_policy")


def _require_fit(deployment: Deployment) -> None:
    """Refused when the candidate cannot stand beside what the alias names."""
    candidate, alias = deployment.candidate, deployment.alias
    if candidate is None:
        return
    if candidate.family_id != alias.family_id:
        raise Refused("other_family", say("This version belongs to another model."), field="candidate")
    if candidate.pk == alias.version_id:
        raise Refused("same_version", say("{alias} names this version already.", alias=alias), field="candidate")
    require_usable(candidate)


def _told(deployment: Deployment) -> dict[str, Any]:
    """The options for history and audit; versions by their numbers."""
    return {
        "candidate": deployment.candidate.number if deployment.candidate else None,
        **{name: getattr(deployment, name) for name in CHANGEABLE if name not in NAMED},
        "guard_policy": deployment.guard_policy.name if deployment.guard_policy else None,
    }


def _figures(found: Any) -> dict[str, Any]:
    return {
        "count": found.count,
        "error_share": found.error_share,
        "first_p95_seconds": found.first_p95_seconds,
        "whole_p95_seconds": found.whole_p95_seconds,
        "thumbs_up_share": found.thumbs_up_share,
    }

"""Move the names of a family between its versions, and keep the history of every move."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.registry.models import Alias, AliasMove, Approval, Decision, ModelFamily, ModelVersion, MoveKind, VersionState
from core.access import Actor
from core.dependents import dependents
from core.errors import Refused, conflict
from words import say

CHAMPION = "champion"
_NAME = re.compile(r"^[a-z][a-z0-9-]{0,39}$")


def move_alias(
    *,
    actor: Actor,
    family: ModelFamily,
    name: str,
    version: ModelVersion,
    reason: str = "",
    evidence: Mapping[str, Any] | None = None,
) -> Alias:
    """Let the alias name `version`; moving it to where it stands changes nothing.

    A protected alias moves only with what its gate found, in evidence["gate"]: the evaluation room puts it there and
    nobody else. Where the workspace wants four eyes, the champion and the protected aliases name only what a second
    person approved.
    """
    check_alias_name(name)
    return _point(actor, family, name, version, MoveKind.MOVE, reason, dict(evidence or {}))


def rollback_alias(*, actor: Actor, family: ModelFamily, name: str, reason: str = "") -> Alias:
    """Let the alias name the version it named before; rolling back again goes one step further back.

    That version stood there under the rules of its time: neither gate nor approval is asked again in an emergency.
    """
    earlier = previous_version_id(family, name)
    version = ModelVersion.objects.filter(pk=earlier, family=family).first() if earlier else None
    if version is None:
        raise conflict("nothing_to_roll_back", say("There is no earlier version this alias could go back to."))
    return _point(actor, family, name, version, MoveKind.ROLLBACK, reason, {})


@transaction.atomic
def remove_alias(*, actor: Actor, family: ModelFamily, name: str, reason: str = "") -> None:
    """Take the alias away; its history stays."""
    ModelFamily.objects.select_for_update().get(pk=family.pk)
    alias = Alias.objects.select_related("version").filter(family=family, name=name).first()
    if alias is None:
        return
    if users := dependents(alias):
        raise conflict(
            "alias_in_use",
            say("The alias {name} is used by {users}.", name=name, users=", ".join(users)),
            hint=say("Take these away first."),
        )
    _remember(actor, family, name, MoveKind.REMOVE, alias.version, None, reason, {})
    alias.delete()


def previous_version_id(family: ModelFamily, name: str) -> int | None:
    """Where a rollback would go: the version named before, with earlier rollbacks taken into account."""
    standing: list[int] = []
    moves = AliasMove.objects.filter(family=family, alias=name).order_by("id")
    for kind, target in moves.values_list("kind", "to_version_id"):
        if kind == MoveKind.ROLLBACK and len(standing) > 1:
            standing.pop()
        elif target is not None:
            standing.append(target)
    living = set(ModelVersion.objects.filter(pk__in=standing).values_list("pk", flat=True))
    standing = [number for at, number in enumerate(standing) if at == len(standing) - 1 or number in living]
    return standing[-2] if len(standing) > 1 else None


def check_alias_name(name: str) -> None:
    """Raise Refused("bad_alias") for what cannot be the name of an alias."""
    if not _NAME.match(name):
        raise Refused(
            "bad_alias",
            say("An alias begins with a letter and has up to 40 small letters, digits and hyphens."),
            field="name",
        )


@transaction.atomic
def _point(
    actor: Actor,
    family: ModelFamily,
    name: str,
    version: ModelVersion,
    kind: str,
    reason: str,
    evidence: dict[str, Any],
) -> Alias:
    family = ModelFamily.objects.select_for_update().get(pk=family.pk)
    if version.family_id != family.pk:
        raise Refused("other_family", say("This version belongs to another model."), field="version")
    if version.state == VersionState.DAMAGED:
        raise conflict("version_damaged", say("The files of this version are damaged. Choose another version."))
    if kind == MoveKind.MOVE:
        _require_permit(actor, family, name, version, evidence)
    alias = Alias.objects.select_related("version").filter(family=family, name=name).first()
    if alias is not None and alias.version_id == version.pk:
        return alias
    _remember(actor, family, name, kind, alias.version if alias else None, version, reason, evidence)
    if alias is None:
        return Alias.objects.create(family=family, name=name, version=version)
    alias.version, alias.moved_at = version, timezone.now()
    alias.save(update_fields=["version", "moved_at"])
    return alias


def _require_permit(
    actor: Actor, family: ModelFamily, name: str, version: ModelVersion, evidence: Mapping[str, Any]
) -> None:
    """Gate and four eyes of an alias that matters."""
    protected = name in family.protected_aliases
    if protected and "gate" not in evidence:
        raise conflict(
            "alias_protected",
            say("The alias {name} is protected: it moves only with the evidence of a suite.", name=name),
        )
    if actor.workspace.four_eyes and (protected or name == CHAMPION):
        _require_approval(version, name)


def _require_approval(version: ModelVersion, name: str) -> None:
    approved = Approval.objects.filter(version=version, decision=Decision.APPROVED, is_self_approval=False)
    if not approved.exists():
        raise conflict(
            "approval_needed",
            say("In this workspace a second person must approve a version before it becomes {alias}.", alias=name),
            hint=say("Ask for approval on the version's page."),
        )


def _remember(
    actor: Actor,
    family: ModelFamily,
    name: str,
    kind: str,
    before: ModelVersion | None,
    after: ModelVersion | None,
    reason: str,
    evidence: dict[str, Any],
) -> None:
    AliasMove.objects.create(
        family=family,
        alias=name,
        kind=kind,
        from_version_id=before.pk if before else None,
        from_number=before.number if before else None,
        to_version_id=after.pk if after else None,
        to_number=after.number if after else None,
        by=str(actor)[:300],
        by_user_id=actor.user.pk if actor.user else None,
        reason=reason,
        evidence=evidence,
    )
    audit(
        actor=actor,
        action=f"alias.{kind}",
        obj=family,
        alias=name,
        from_number=before.number if before else None,
        to_number=after.number if after else None,
        reason=reason,
    )

"""From a name to the version that answers: one way for every door."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from apps.inference.models import Arm, Deployment, Sticky
from apps.registry.models import ModelVersion, VersionState
from apps.registry.selectors import resolve
from core.access import Actor

SHADOW_PRIORITY = 20
NARROW = [
    f"{version}__{column}"
    for version in ("serving", "candidate")
    for column in ("samples", "metrics", "environment", "timings", "spec")
]
"""Wide columns of a version that no door needs."""


@dataclass(frozen=True)
class StickyKey:
    """Whose request it is, as far as the caller says."""

    user: str = ""
    conversation: str = ""


@dataclass(frozen=True)
class Route:
    """The version that answers, and where it was found; `shadow` answers too, and nobody sees it."""

    version: ModelVersion
    deployment: Deployment | None = None
    arm: Arm = Arm.STABLE
    shadow: ModelVersion | None = None

    @property
    def is_stored(self) -> bool:
        """Whether texts may be kept at all."""
        return self.deployment is None or self.deployment.retention_days != 0


def route(actor: Actor, reference: str, sticky_key: StickyKey | None = None) -> Route:
    """Who answers a request for `reference`; an alias with a deployment costs one more query.

    Refused when no version is meant. A version that is asked for by id or number is asked itself.
    """
    stable = stable_route(actor.workspace, reference)
    deployment = stable.deployment
    if deployment is None:
        return stable
    candidate = _candidate(deployment, stable.version, sticky_key or StickyKey())
    if candidate is None:
        return stable
    if deployment.is_shadow:
        return Route(stable.version, deployment, shadow=candidate)
    return Route(candidate, deployment, Arm.CANDIDATE)


def stable_route(workspace: Any, reference: str) -> Route:
    """Who answers many requests for `reference` as one: what its alias stands for, no candidate and no shadow."""
    meant = resolve(workspace, reference)
    if meant.alias_id is None:
        return Route(meant.version)
    rows = Deployment.objects.select_related("serving__family", "candidate__family", "guard_policy").defer(*NARROW)
    deployment = rows.filter(alias_id=meant.alias_id).first()
    return Route(meant.version if deployment is None else _stable(deployment, meant.version), deployment)


def _stable(deployment: Deployment, named: ModelVersion) -> ModelVersion:
    """What the alias names, or what answered until that is warm."""
    before = deployment.serving
    if not deployment.is_warm or before is None or before.state == VersionState.DAMAGED:
        return named
    return named if before.pk == named.pk else before


def _candidate(deployment: Deployment, stable: ModelVersion, sticky_key: StickyKey) -> ModelVersion | None:
    """The candidate where this request falls into its share."""
    candidate = deployment.candidate
    if candidate is None or candidate.pk == stable.pk or candidate.state == VersionState.DAMAGED:
        return None
    if deployment.is_warm and not deployment.is_candidate_ready:
        return None
    return candidate if place_of(deployment, sticky_key) < deployment.candidate_share else None


def as_shadow(route: Route) -> dict[str, Any]:
    """What is different in the row of a shadow's answer: it waits behind everything that somebody waits for."""
    return {"model_version": route.shadow, "arm": Arm.SHADOW, "priority": SHADOW_PRIORITY}


def place_of(deployment: Deployment, sticky_key: StickyKey) -> float:
    """Where a request lies between 0 and 1: below the share the candidate answers.

    It depends on deployment and key alone, so a larger share only takes keys over and gives none back. Without a key
    every request is drawn by itself.
    """
    key = {Sticky.USER: sticky_key.user, Sticky.CONVERSATION: sticky_key.conversation}.get(Sticky(deployment.sticky))
    drawn = hashlib.sha256(f"{deployment.pk}:{key}".encode()).digest() if key else secrets.token_bytes(8)
    return (int.from_bytes(drawn[:8]) >> 11) / 2**53  # what a float holds exactly, always below 1

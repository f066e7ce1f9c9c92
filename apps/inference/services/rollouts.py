"""What happens to deployments by itself: versions made ready, traffic switched to them, candidates taken back by a gate."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.services import audit
from apps.inference.arms import ArmFigures, arm_figures
from apps.inference.gates import Gate
from apps.inference.models import Arm, Deployment, DeploymentEvent, EventKind
from apps.inference.services.deployments import locked, remember
from apps.notifications.services import notify as notice
from apps.registry.models import ModelVersion
from words import say


@dataclass(frozen=True)
class Wanted:
    """A version that has to be in memory for a deployment."""

    deployment: Deployment
    version: ModelVersion
    is_pinned: bool
    waits: bool  # its traffic begins once it was loaded and tried


def wanted_versions() -> list[Wanted]:
    """All versions that deployments want in memory, those whose traffic waits first. One query."""
    rows = Deployment.objects.filter(Q(is_warm=True) | Q(is_pinned=True)).select_related(
        "alias__family", "alias__version__family", "candidate__family", "serving__family"
    )
    found = [wanted for deployment in rows.order_by("id") for wanted in _wanted(deployment)]
    return sorted(found, key=lambda wanted: not wanted.waits)


def _wanted(deployment: Deployment) -> Iterator[Wanted]:
    named, serving, candidate = deployment.alias.version, deployment.serving, deployment.candidate
    is_warm, pinned = deployment.is_warm, deployment.is_pinned
    is_new = is_warm and serving is not None and serving.pk != named.pk
    if is_new or pinned:
        yield Wanted(deployment, named, pinned, waits=is_new)
    if is_new and pinned and serving is not None:
        yield Wanted(deployment, serving, pinned, waits=False)
    if candidate is not None and candidate.pk != named.pk:
        waits = is_warm and not deployment.is_candidate_ready
        if waits or pinned:
            yield Wanted(deployment, candidate, pinned, waits=waits)


@transaction.atomic
def version_is_ready(*, wanted: Wanted) -> DeploymentEvent | None:
    """A version was loaded and tried: traffic that waited for it begins. None when that was not awaited any more."""
    found, version = locked(wanted.deployment), wanted.version
    if version.pk == found.alias.version_id and found.serving_id != version.pk:
        before = found.serving.number if found.serving else None
        found.serving, found.warm_error = version, ""
        found.save(update_fields=["serving", "warm_error"])
        after = {"version": version.number}
        return remember(found, EventKind.SWITCHED, before={"version": before}, after=after)
    if version.pk == found.candidate_id and not found.is_candidate_ready:
        found.is_candidate_ready, found.warm_error = True, ""
        found.save(update_fields=["is_candidate_ready", "warm_error"])
        return remember(found, EventKind.READY, after={"candidate": version.number})
    return None


@transaction.atomic
def version_is_not_ready(*, wanted: Wanted, reason: str) -> DeploymentEvent | None:
    """A version could not be loaded: traffic stays where it is, and people are told once for each reason."""
    found, version = locked(wanted.deployment), wanted.version
    if version.pk not in (found.alias.version_id, found.candidate_id) or str(found.warm_error) == str(reason):
        return None
    found.warm_error = reason
    found.save(update_fields=["warm_error"])
    event = remember(found, EventKind.NOT_READY, reason=reason, after={"version": version.number})
    _tell(found, event, say("{version} could not be loaded for {alias}", version=version, alias=found.alias), reason)
    return event


def check_gates(*, now: datetime | None = None) -> dict[str, int]:
    """Take back every candidate whose figures are beyond one of its gates; how many were."""
    now = now or timezone.now()
    rows = Deployment.objects.filter(candidate_share__gt=0, candidate__isnull=False).exclude(gates=[])
    return {"candidates_taken_back": sum(_checked(deployment, now) for deployment in rows.order_by("id"))}


def _checked(deployment: Deployment, now: datetime) -> bool:
    broken = next(_broken(deployment, now), None)
    return broken is not None and _take_back(deployment, *broken)


def _broken(deployment: Deployment, now: datetime) -> Iterator[tuple[Gate, ArmFigures, float]]:
    """Gates that the candidate did not keep, with its figures; what it answered before it got its share does not count."""
    arm = Arm.SHADOW if deployment.is_shadow else Arm.CANDIDATE
    since = _since(deployment)
    for gate in (Gate(**given) for given in deployment.gates):
        figures = arm_figures(deployment, max(since, now - timedelta(minutes=gate.window_minutes)))[arm]
        value = getattr(figures, gate.figure)
        if not gate.holds(value, figures.count_of(gate.figure)):
            yield gate, figures, value


def _since(deployment: Deployment) -> datetime:
    """When the candidate got its share."""
    given = DeploymentEvent.objects.filter(
        deployment=deployment, kind__in=(EventKind.CREATED, EventKind.CHANGED)
    ).filter(Q(detail__after__has_key="candidate_share") | Q(detail__after__has_key="candidate"))
    return given.order_by("-id").values_list("at", flat=True).first() or deployment.created_at


@transaction.atomic
def _take_back(deployment: Deployment, gate: Gate, figures: ArmFigures, value: float) -> bool:
    found = locked(deployment)
    if found.candidate_id != deployment.candidate_id or found.candidate_share == 0:
        return False  # somebody was faster
    share, candidate = found.candidate_share, found.candidate
    found.candidate_share = 0.0
    found.save(update_fields=["candidate_share"])
    reason = say(
        "{figure} was {value:.4g} over {count} answers; the gate allows {bound:.4g}.",
        figure=gate.figure,
        value=value,
        count=figures.count_of(gate.figure),
        bound=gate.bound,
    )
    told: dict[str, Any] = {
        "gate": gate.as_mapping(),
        "figures": asdict(figures) | {"error_share": figures.error_share},
        "before": {"candidate_share": share, "candidate": candidate.number if candidate else None},
        "after": {"candidate_share": 0.0},
    }
    event = remember(found, EventKind.GATE, reason=reason, **told)
    audit(actor=None, action="deployment.gate", obj=found, workspace=found.workspace, **told)
    _tell(found, event, say("{candidate} was taken back from {alias}", candidate=candidate, alias=found.alias), reason)
    return True


def _tell(deployment: Deployment, event: DeploymentEvent, title: str, body: str) -> None:
    """A notice to who set the deployment up and who changed it last, as far as they still may see it."""
    last = DeploymentEvent.objects.filter(deployment=deployment, by_user_id__isnull=False).order_by("-id")
    people: set[Any] = {deployment.created_by_id, *last.values_list("by_user_id", flat=True)[:1]}
    members = User.objects.filter(pk__in=people, is_active=True, memberships__workspace=deployment.workspace_id)
    for user in members.distinct():
        notice(
            workspace=deployment.workspace,
            user=user,
            kind=f"deployment.{event.kind}",
            event_key=f"deployment-{event.pk}",
            title=title,
            body=body,
            page=f"deployments/{deployment.pk}",
        )

"""Guard policies: made, changed and taken away, each with an entry in the trail."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit, guard_workspace
from apps.inference.guards.chain import BLOCK, KIND_NAMES, LOG, OFF, REDACT
from apps.inference.guards.models import GuardPolicy
from apps.inference.guards.terms import BREAK, fold, plain
from apps.inference.models import Deployment, Generation, GenerationState
from apps.inference.services.deployments import change_deployment
from apps.registry.models import Task, VersionState
from core.access import Actor
from core.errors import Refused, conflict
from words import say

MOST_TERMS = 10_000
LONGEST_TERM = 100
ANY = frozenset({OFF, LOG, REDACT, BLOCK})
WHOLE = frozenset({OFF, LOG, BLOCK})  # of what has no place in the text to be redacted
ACTIONS = {
    "personal_input": ANY,
    "personal_output": ANY,
    "terms_input": ANY,
    "terms_output": ANY,
    "injection_input": WHOLE,
    "classifier_input": WHOLE,
    "classifier_output": WHOLE,
}
"""Column -> what may be done about a finding there."""
FIELDS = (
    "name",
    "is_default",
    "personal_kinds",
    "terms",
    "sounds_alike",
    "injection_threshold",
    "classifier",
    "classifier_labels",
    "classifier_threshold",
    *ACTIONS,
)
"""Columns that are set; `deployments` beside them names those that the policy guards instead of the default."""


@transaction.atomic
def create_policy(*, actor: Actor, **columns: Any) -> GuardPolicy:
    """A policy of the workspace; as the default it holds at once."""
    deployments = columns.pop("deployments", [])
    policy = GuardPolicy(workspace=actor.workspace, created_by=actor.user)
    _set(actor, policy, columns)
    _save(actor, policy)
    audit(actor=actor, action="guard_policy.create", obj=policy, after=_told(policy, FIELDS))
    _assign(actor, policy, deployments)
    return policy


@transaction.atomic
def change_policy(*, actor: Actor, policy: GuardPolicy, **columns: Any) -> GuardPolicy:
    """Change what is given; requests that were let in before keep what was decided."""
    deployments = columns.pop("deployments", None)
    found = GuardPolicy.objects.select_for_update().get(pk=policy.pk)
    before, was = _told(found, FIELDS), {name: getattr(found, name) for name in FIELDS}
    _set(actor, found, columns)
    changed = [name for name in FIELDS if getattr(found, name) != was[name]]
    if changed:
        found.changed_at = timezone.now()
        _save(actor, found)
        audit(
            actor=actor,
            action="guard_policy.change",
            obj=found,
            before={name: before[name] for name in changed},
            after=_told(found, changed),
        )
    if deployments is not None:
        _assign(actor, found, deployments)
    return found


@transaction.atomic
def delete_policy(*, actor: Actor, policy: GuardPolicy) -> None:
    """Take a policy away; refused while answers are written under it or a deployment names it."""
    if named := Deployment.objects.filter(guard_policy=policy).select_related("alias__family").first():
        raise conflict("policy_in_use", say("The deployment {deployment} is guarded by this policy.", deployment=named))
    open_states = (GenerationState.WAITING, GenerationState.RUNNING)
    if Generation.objects.filter(guard_policy=policy, state__in=open_states).exists():
        raise conflict("policy_at_work", say("Answers are being written under this policy. Try again in a moment."))
    audit(actor=actor, action="guard_policy.delete", obj=policy)
    policy.delete()
    _note_default(actor)


def _set(actor: Actor, policy: GuardPolicy, columns: Mapping[str, Any]) -> None:
    if unknown := set(columns) - set(FIELDS):
        raise ValueError(f"not a setting of a policy: {sorted(unknown)}")
    for name, value in columns.items():
        setattr(policy, name, value)
    if not policy.name.strip():
        raise Refused("empty", say("Give the policy a name."), field="name")
    for name, allowed in ACTIONS.items():
        if getattr(policy, name) not in allowed:
            raise Refused("bad_action", say("This guard cannot redact. Choose another action."), field=name)
    if unknown := set(policy.personal_kinds) - set(KIND_NAMES):
        raise Refused("unknown_kind", say("Unknown kinds: {kinds}", kinds=", ".join(unknown)), field="personal_kinds")
    policy.terms = list(dict.fromkeys(term.strip() for term in policy.terms if term.strip()))
    if len(policy.terms) > MOST_TERMS or any(len(term) > LONGEST_TERM or "\0" in term for term in policy.terms):
        raise Refused(
            "bad_terms",
            say("At most {most:,} terms of up to {longest} characters.", most=MOST_TERMS, longest=LONGEST_TERM),
            field="terms",
        )
    for name in ("injection_threshold", "classifier_threshold"):
        if not 0 < getattr(policy, name) <= 1:
            raise Refused("bad_threshold", say("A threshold lies between 0 and 1."), field=name)
    _check_terms(policy)
    _check_classifier(actor, policy)


def _check_terms(policy: GuardPolicy) -> None:
    for term in policy.terms:
        if not fold(term, plain).letters.strip(BREAK):
            raise Refused("bad_terms", say("“{term}” has neither letters nor digits.", term=term), field="terms")


def _check_classifier(actor: Actor, policy: GuardPolicy) -> None:
    asks = (policy.classifier_input, policy.classifier_output) != (OFF, OFF)
    version = policy.classifier
    if version is None:
        if asks:
            raise Refused("no_classifier", say("Choose the version that classifies."), field="classifier")
        return
    if version.workspace_id != actor.workspace.pk or version.task != Task.CLASSIFICATION:
        raise Refused("wrong_task", say("Choose a version of this workspace that classifies."), field="classifier")
    if version.state == VersionState.DAMAGED:
        raise Refused(
            "version_damaged",
            say("The files of “{version}” are not what was registered. Choose another version.", version=version),
            field="classifier",
        )
    known = {str(label) for label in version.labels}
    if asks and not policy.classifier_labels:
        raise Refused("no_labels", say("Choose the labels that count."), field="classifier_labels")
    if unknown := set(policy.classifier_labels) - known:
        raise Refused(
            "unknown_label",
            say("“{version}” does not know: {labels}", version=version, labels=", ".join(sorted(unknown))),
            field="classifier_labels",
        )


def _assign(actor: Actor, policy: GuardPolicy, deployments: Sequence[Deployment]) -> None:
    """Let the policy guard these deployments and no others."""
    wanted = {each.pk for each in deployments}
    mine = Deployment.objects.filter(workspace=actor.workspace)
    now = set(mine.filter(guard_policy=policy).values_list("pk", flat=True))
    if now == wanted:
        return
    for each in mine.filter(pk__in=now ^ wanted):
        change_deployment(actor=actor, deployment=each, guard_policy=policy if each.pk in wanted else None)
    audit(actor=actor, action="guard_policy.deployments", obj=policy, before=sorted(now), after=sorted(wanted))


def _save(actor: Actor, policy: GuardPolicy) -> None:
    if policy.is_default:
        others = GuardPolicy.objects.filter(workspace=actor.workspace, is_default=True).exclude(pk=policy.pk)
        others.update(is_default=False)
    try:
        with transaction.atomic():
            policy.save()
    except IntegrityError as error:
        raise Refused("name_taken", say("There is a policy of this name already."), field="name", status=409) from error
    _note_default(actor)


def _note_default(actor: Actor) -> None:
    is_guarded = GuardPolicy.objects.filter(workspace=actor.workspace, is_default=True).exists()
    guard_workspace(actor=actor, is_guarded=is_guarded)


def _told(policy: GuardPolicy, names: Any) -> dict[str, Any]:
    found = {name: getattr(policy, name) for name in names}
    if found.get("classifier") is not None:
        found["classifier"] = str(found["classifier"])
    if "terms" in found:
        found["terms"] = len(found["terms"])
    return found

"""Suites: written as drafts, sealed with a hash when first used, run on model versions."""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.models import DatasetVersion
from apps.evaluation.models import (
    FORGETTING,
    Bound,
    Direction,
    EvaluationJob,
    Gate,
    Suite,
    SuiteCheck,
    SuiteResult,
    SuiteRun,
)
from apps.evaluation.remembering import remembering
from apps.evaluation.selectors import usable_evaluation
from apps.evaluation.services.evaluations import check_rows, start_evaluation
from apps.evaluation.services.remembering import measure_tasks
from apps.evaluation.tasks import DATA_KINDS
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused, conflict
from engine.specs.figures import METRICS_REVISION
from words import say

MOST_CHECKS = 50
_FIGURE = re.compile(r"^[a-z][a-z0-9_@.-]{0,59}$")


@dataclass(frozen=True)
class CheckPlan:
    """A check as somebody writes it down."""

    dataset_version: DatasetVersion | None  # None for what is forgotten of a lineage
    figure: str
    threshold: float
    split: str = "test"
    direction: str = Direction.AT_LEAST
    bound: str = Bound.VALUE
    seed: int = 17
    max_new_tokens: int = 128


@transaction.atomic
def create_suite(
    *, actor: Actor, name: str, task: str, description: str = "", checks: Sequence[CheckPlan] = ()
) -> Suite:
    """The first revision of a suite, as a draft."""
    name = name.strip()
    if not name or len(name) > 80 or "\0" in name:
        raise Refused("bad_name", say("Give the suite a name of at most 80 characters."), field="name")
    if task not in DATA_KINDS:
        raise Refused("unknown_task", say("Choose one of: {tasks}.", tasks=", ".join(DATA_KINDS)), field="task")
    try:
        with transaction.atomic():
            suite = Suite.objects.create(
                workspace=actor.workspace, name=name, task=task, description=description, created_by=actor.user
            )
    except IntegrityError as error:
        raise conflict(
            "suite_name_taken",
            say("There is a suite called {name}. Make a new revision of it, or choose another name.", name=name),
        ) from error
    audit(actor=actor, action="suite.create", obj=suite, task=task)
    return set_checks(actor=actor, suite=suite, checks=checks) if checks else suite


@transaction.atomic
def set_checks(*, actor: Actor, suite: Suite, checks: Sequence[CheckPlan]) -> Suite:
    """Let these be the checks of a draft, in this order; a sealed suite is never changed."""
    suite = Suite.objects.select_for_update().get(pk=suite.pk)
    if suite.is_sealed:
        raise conflict(
            "suite_sealed",
            say("{suite} was used and is frozen.", suite=suite),
            hint=say("Make a new revision and change that."),
        )
    if len(checks) > MOST_CHECKS:
        raise Refused("too_many_checks", say("A suite has at most {most} checks.", most=MOST_CHECKS), field="checks")
    for plan in checks:
        _check_plan(suite, plan)
    SuiteCheck.objects.filter(suite=suite).delete()
    SuiteCheck.objects.bulk_create(
        [SuiteCheck(suite=suite, position=at, **_columns(plan)) for at, plan in enumerate(checks, start=1)]
    )
    audit(actor=actor, action="suite.change", obj=suite, checks=len(checks))
    return suite


def plans_of(suite: Suite) -> list[CheckPlan]:
    """The checks of a suite as they were written down."""
    names = [field.name for field in fields(CheckPlan)]
    rows = suite.checks.select_related("dataset_version__dataset").order_by("position")
    return [CheckPlan(**{name: getattr(row, name) for name in names}) for row in rows]


@transaction.atomic
def revise_suite(*, actor: Actor, suite: Suite) -> Suite:
    """The next revision under the same name: a draft with the same checks."""
    rows = Suite.objects.select_for_update().filter(workspace=suite.workspace_id, name__iexact=suite.name)
    newest = max(rows, key=lambda row: row.revision)
    if not newest.is_sealed:
        raise conflict("draft_open", say("Revision {number} is still a draft. Change that.", number=newest.revision))
    made = Suite.objects.create(
        workspace=actor.workspace,
        name=newest.name,
        revision=newest.revision + 1,
        task=newest.task,
        description=newest.description,
        created_by=actor.user,
    )
    audit(actor=actor, action="suite.revise", obj=made)
    return set_checks(actor=actor, suite=made, checks=plans_of(suite))


@transaction.atomic
def delete_suite(*, actor: Actor, suite: Suite) -> None:
    """Delete a suite with its runs; what it let through stays in the history of the aliases."""
    required = Gate.objects.filter(suite=suite).select_related("family").first()
    if required is not None:
        raise conflict("suite_required", say("The model {family} requires this suite.", family=required.family))
    audit(actor=actor, action="suite.delete", obj=suite, content_hash=suite.content_hash)
    SuiteRun.objects.filter(suite=suite).delete()
    suite.delete()


@transaction.atomic
def run_suite(*, actor: Actor, suite: Suite, model_version: ModelVersion) -> SuiteRun:
    """Seal the suite and start the evaluations it still lacks on `model_version`.

    Asked again it starts only what failed or went missing: what was measured before is taken as it is.
    """
    if model_version.task != suite.task:
        raise Refused(
            "other_task",
            say(
                "{suite} is for {wanted}, and {version} is not.", suite=suite, wanted=suite.task, version=model_version
            ),
            field="model_version",
        )
    suite = seal(suite)
    run, _made = SuiteRun.objects.get_or_create(
        suite=suite,
        model_version=model_version,
        defaults={"workspace": actor.workspace, "created_by": actor.user},
    )
    for check in suite.checks.select_related("dataset_version__dataset").order_by("position"):
        if check.dataset_version is None:
            if remembering(model_version) is not None:
                measure_tasks(actor=actor, version=model_version)
            continue
        evaluation = usable_evaluation(model_version, check) or _started(actor, model_version, check)
        SuiteResult.objects.update_or_create(run=run, suite_check=check, defaults={"evaluation": evaluation})
    audit(actor=actor, action="suite.run", obj=suite, model_version=model_version.pk, content_hash=suite.content_hash)
    return run


def seal(suite: Suite) -> Suite:
    """The suite, locked and frozen under its hash; Refused when it has no check or is not what its hash says."""
    suite = Suite.objects.select_for_update().get(pk=suite.pk)
    found = suite_hash(suite)
    if suite.is_sealed:
        if found != suite.content_hash:
            raise conflict("suite_altered", say("The checks of {suite} are not those that were frozen.", suite=suite))
        return suite
    if not suite.checks.exists():
        raise conflict("no_checks", say("The suite has no check yet."), hint=say("Add a check first."))
    suite.content_hash, suite.sealed_at = found, timezone.now()
    suite.save(update_fields=["content_hash", "sealed_at"])
    return suite


def suite_hash(suite: Suite) -> str:
    """sha256 over the task, the way figures are made, and every check with the content hash of its data."""
    checks = [
        {**_columns(plan), "dataset_version": plan.dataset_version.content_hash if plan.dataset_version else None}
        for plan in plans_of(suite)
    ]
    text = json.dumps(
        {"task": suite.task, "metrics": METRICS_REVISION, "checks": checks}, sort_keys=True, ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _columns(plan: CheckPlan) -> dict[str, Any]:
    return {field.name: getattr(plan, field.name) for field in fields(plan)}


def _started(actor: Actor, model_version: ModelVersion, check: SuiteCheck) -> EvaluationJob:
    assert check.dataset_version is not None
    return start_evaluation(
        actor=actor,
        model_version=model_version,
        dataset_version=check.dataset_version,
        split=check.split,
        seed=check.seed,
        max_new_tokens=check.max_new_tokens,
    )


def _check_plan(suite: Suite, plan: CheckPlan) -> None:
    if plan.figure == FORGETTING:
        _check_bound(plan)
    else:
        _check_data(suite, plan)
    if plan.direction not in Direction.values or plan.bound not in Bound.values:
        raise Refused("bad_check", say("Choose >= or <=, and value or interval."), field="direction")
    if not math.isfinite(plan.threshold):
        raise Refused("bad_threshold", say("The threshold must be a number."), field="threshold")


def _check_bound(plan: CheckPlan) -> None:
    if plan.dataset_version is not None:
        raise Refused(
            "bad_check",
            say("What is forgotten is measured on the tasks of each version's lineage; name no data."),
            field="dataset_version",
        )
    if plan.direction != Direction.AT_MOST:
        raise Refused("bad_check", say("Forgetting must be at most the threshold."), field="direction")


def _check_data(suite: Suite, plan: CheckPlan) -> None:
    if plan.dataset_version is None:
        raise Refused("required", say("Choose the data the figure is measured on."), field="dataset_version")
    if plan.dataset_version.dataset.workspace_id != suite.workspace_id:
        raise Refused("unknown_dataset_version", say("There is no such dataset version."), field="dataset_version")
    if plan.dataset_version.dataset.kind not in DATA_KINDS[suite.task]:
        raise Refused(
            "wrong_kind",
            say(
                "This suite measures on data of the kind “{wanted}”; {data} is of the kind “{kind}”.",
                wanted=", ".join(DATA_KINDS[suite.task]),
                data=plan.dataset_version,
                kind=plan.dataset_version.dataset.kind,
            ),
            field="dataset_version",
        )
    check_rows(plan.dataset_version, plan.split, plan.max_new_tokens)
    if not _FIGURE.match(plan.figure):
        raise Refused("bad_figure", say("A figure has a name such as accuracy or macro_f1."), field="figure")

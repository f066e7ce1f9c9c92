"""Start training jobs, keep what a run reports, and turn a finished run into a model version."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from apps.accounts.services import audit
from apps.datasets.models import DatasetVersion
from apps.registry.models import FAMILY_NAME_CHARACTERS, BaseModel, ModelVersion
from apps.registry.services import Making, keep_folder, register_version
from apps.training.bases import base_version
from apps.training.models import Checkpoint, MetricPoint, TrainingJob
from apps.training.selectors import fresh_preflight, obsolete_checkpoints
from apps.training.services.checks import check
from core import storage
from core.access import Actor
from core.errors import Problem, Refused
from core.jobs import services as jobs
from core.jobs.run import Run
from engine import specs
from engine.specs.machine import rows_at_once
from words import say

ESTIMATED = ("rows", "lengths", "truncated_share", "parameters", "estimate")  # of a preflight, kept with the run


@transaction.atomic
def start(
    *,
    actor: Actor,
    recipe: str,
    spec: Mapping[str, Any],
    version: DatasetVersion,
    name: str = "",
    family_name: str = "",
    priority: int = 0,
    reproduced_from: TrainingJob | None = None,
) -> TrainingJob:
    """Queue a training job; refused with every problem at once, those that a check of these options found included."""
    parsed, problems = check(recipe=recipe, spec=spec, version=version)
    known = fresh_preflight(actor.workspace, specs.spec_hash(parsed), version) if parsed else None
    if known is not None:
        problems += [_as_problem(found) for found in known.errors]
    if parsed is None or problems:
        raise Refused("invalid_training_job", say("This training job cannot start yet."), problems=problems)
    storage.require_free_space()
    made = queue_run(
        workspace=actor.workspace,
        by=actor.user,
        recipe=recipe,
        parsed=parsed,
        version=version,
        name=name.strip() or f"{version.dataset.name} · {recipe}",
        family_name=family_name.strip() or version.dataset.name,
        priority=priority,
        reproduced_from=reproduced_from,
        **(_told(known.result) if known else {}),
    )
    audit(actor=actor, action="training.start", obj=made, spec_hash=made.spec_hash)
    return made


def queue_run(
    *,
    workspace: Any,
    by: Any,
    recipe: str,
    parsed: Any,
    version: DatasetVersion,
    name: str,
    family_name: str,
    priority: int = 0,
    **columns: Any,
) -> TrainingJob:
    """The rows of a run whose options were checked."""
    job = jobs.create(
        kind="training.run",
        workspace=workspace,
        queue="train",
        title=name,
        by=by,
        priority=priority,
        can_pause=True,
        unit="steps",
    )
    training_job = TrainingJob.objects.create(
        workspace=workspace,
        job=job,
        name=name[:120],
        recipe=recipe,
        spec=specs.to_mapping(parsed),
        spec_hash=specs.spec_hash(parsed),
        dataset_version=version,
        family_name=family_name[:FAMILY_NAME_CHARACTERS],
        base_version=base_version(parsed, workspace),
        created_by=by,
        **columns,
    )
    job.page = f"training/{training_job.pk}"
    job.save(update_fields=["page"])
    return training_job


def reproduce(*, actor: Actor, training_job: TrainingJob) -> TrainingJob:
    """An equal run: same spec, seed and data."""
    return start(
        actor=actor,
        recipe=training_job.recipe,
        spec=training_job.spec,
        version=training_job.dataset_version,
        name=_("%s (again)") % training_job.name,
        family_name=training_job.family_name,
        reproduced_from=training_job,
    )


def fix_threads(*, training_job: TrainingJob, threads: int) -> int:
    """The compute threads of this run: what the first attempt had."""
    TrainingJob.objects.filter(pk=training_job.pk, threads=0).update(threads=threads)
    training_job.refresh_from_db(fields=["threads"])
    return training_job.threads


def keep_metrics(*, run: Run, training_job: TrainingJob, points: list[tuple[str, int, float]]) -> None:
    """Store curve points under the lease; a point told twice replaces itself."""
    rows = {(name, step): value for name, step, value in points}
    with run.fenced():
        MetricPoint.objects.bulk_create(
            [
                MetricPoint(training_job=training_job, name=name[:60], step=step, value=value)
                for (name, step), value in rows.items()
            ],
            update_conflicts=True,
            unique_fields=["training_job", "name", "step"],
            update_fields=["value", "at"],
        )


def keep_checkpoint(
    *, run: Run, training_job: TrainingJob, path: Path, step: int, metrics: Mapping[str, Any], is_best: bool
) -> None:
    """Insert a checkpoint under the lease, then drop what is no longer needed."""
    with run.fenced():
        if is_best:
            Checkpoint.objects.filter(training_job=training_job, is_best=True).update(is_best=False)
        Checkpoint.objects.update_or_create(
            training_job=training_job,
            token=run.token,
            step=step,
            defaults={
                "path": str(path.relative_to(storage.home())),
                "metrics": dict(metrics),
                "is_best": is_best,
            },
        )
        old = obsolete_checkpoints(training_job)
        Checkpoint.objects.filter(pk__in=[row.pk for row in old]).delete()
    for row in old:
        shutil.rmtree(storage.home() / row.path, ignore_errors=True)


def keep_estimate(*, run: Run, training_job: TrainingJob, found: Mapping[str, Any]) -> None:
    """Store what the run said of itself before its first step; called by the worker."""
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(**_told(found))


def keep_seen(*, run: Run, training_job: TrainingJob, found: Mapping[str, Any]) -> None:
    """Store the first rows as the model reads them; called by the worker."""
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(seen=dict(found))


def _told(found: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a training job from a preflight's result."""
    kept = {name: found[name] for name in ESTIMATED if name in found}
    return {"estimate": kept, "problems": found["problems"], "seen": found.get("seen", {})}


def _as_problem(found: Mapping[str, Any]) -> Problem:
    field = f"spec.{found['field']}" if found["field"] else "dataset_version"
    return Problem(found["code"], found["message"], field, found["hint"], found["rows"])


def prune(*, run: Run, training_job: TrainingJob, epoch: int | None) -> None:
    """Say that a sweep gave this run up after `epoch` (None takes it back); called by the worker, which then stops it."""
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(pruned_at_epoch=epoch)


def keep_problems(*, run: Run, training_job: TrainingJob, problems: list[Any]) -> None:
    """Store what the preflight named, for the page."""
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(problems=problems)


def halve_micro_batch(*, run: Run, training_job: TrainingJob) -> int | None:
    """After running out of memory: the next attempt's micro-batch, None when it is already 1."""
    parsed, _problems = specs.parse_spec(training_job.recipe, training_job.spec)
    processes = training_job.estimate.get("estimate", {}).get("processes", 1)
    present = rows_at_once(parsed, training_job.micro_batch, processes)
    if present <= 1:
        return None
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(micro_batch=present // 2)
    return present // 2


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves: its model folder and everything measured on the way."""

    folder: Path
    labels: Sequence[str]
    metrics: Mapping[str, Any]  # split -> figures of engine.evaluate
    samples: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]
    template_hash: str
    parameter_count: int | None
    summary: Mapping[str, Any]  # steps, tokens, seconds, memory, best epoch


def finish(*, run: Run, training_job: TrainingJob, outcome: Outcome) -> ModelVersion:
    """Register the model version of a finished run, in one transaction under the lease; once per job."""
    kept = keep_folder(workspace_id=training_job.workspace_id, folder=outcome.folder)
    with run.fenced():
        version = register_version(
            workspace=training_job.workspace,
            name=training_job.family_name,
            folder=kept,
            recipe=training_job.recipe,
            task=specs.RECIPES[training_job.recipe].task,
            origin=f"training:{training_job.pk}",
            labels=list(outcome.labels),
            multi_label=bool(training_job.spec.get("multi_label", False)),
            metrics=outcome.metrics,
            samples=list(outcome.samples),
            making=Making(
                spec=training_job.spec,
                spec_hash=training_job.spec_hash,
                seed=training_job.spec.get("seed"),
                environment=outcome.environment,
                template_hash=outcome.template_hash,
                timings={"training": float(outcome.summary.get("seconds", 0.0))},
                parameter_count=outcome.parameter_count,
            ),
            dataset_version=training_job.dataset_version,
            base_model=_base_model(training_job),
            parent=training_job.base_version,
            by=training_job.created_by,
        )
        TrainingJob.objects.filter(pk=training_job.pk).update(model_version=version, summary=dict(outcome.summary))
    return version


def _base_model(training_job: TrainingJob) -> BaseModel | None:
    named = training_job.spec.get("base_model")
    if not isinstance(named, Mapping):
        return None
    return (
        BaseModel.objects.filter(Q(workspace=None) | Q(workspace=training_job.workspace))
        .filter(kind=named.get("kind", ""), reference=named.get("name", ""))
        .order_by("workspace_id")
        .first()
    )


def run_folder(training_job: TrainingJob) -> Path:
    """Where all attempts of a job keep their files."""
    return storage.workspace_folder(training_job.workspace_id, "runs", str(training_job.job_id))

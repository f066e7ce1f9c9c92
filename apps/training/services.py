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
from apps.registry.models import BaseModel, ModelVersion
from apps.registry.services import Making, keep_folder, register_version
from apps.training.models import Checkpoint, MetricPoint, TrainingJob
from apps.training.selectors import obsolete_checkpoints
from core import storage
from core.access import Actor
from core.errors import Problem, Refused
from core.jobs import services as jobs
from core.jobs.run import Run
from engine import specs
from words import say

LEAST_ROWS = 8


def check(*, recipe: str, spec: Mapping[str, Any], version: DatasetVersion) -> tuple[Any, list[Problem]]:
    """The parsed spec (None when it has errors) and every problem of spec and data found at the door.

    Rows are read by the run itself; here speak the frozen version's counts.
    """
    parsed, found = specs.parse_spec(recipe, spec)
    problems = [
        Problem(code=item.code, field=f"spec.{item.field}".rstrip("."), message=item.message, hint=item.hint)
        for item in found
        if item.severity == "error"
    ]
    if recipe in specs.RECIPES:
        problems += _data_problems(recipe, parsed, version)
    return (None if problems else parsed), problems


def _data_problems(recipe: str, parsed: Any, version: DatasetVersion) -> list[Problem]:
    wanted = specs.RECIPES[recipe].data_kinds
    if version.dataset.kind not in wanted:
        return [
            Problem(
                code="wrong_kind",
                field="dataset_version",
                message=say(
                    "This recipe learns from {wanted} data, and the dataset holds {kind} data.",
                    wanted=", ".join(wanted),
                    kind=version.dataset.kind,
                ),
                hint=say("Choose another dataset or recipe."),
            )
        ]
    train_split = getattr(parsed, "train_split", "train")
    rows = version.counts.get("splits", {}).get(train_split, 0)
    problems: list[Problem] = []
    if rows < LEAST_ROWS:
        problems.append(
            Problem(
                code="too_few_rows",
                field="dataset_version",
                message=say(
                    "The split “{split}” has {rows} rows; training needs at least {least}.",
                    split=train_split,
                    rows=rows,
                    least=LEAST_ROWS,
                ),
                hint=say("Split the dataset and freeze a new version, or choose another split."),
            )
        )
    if recipe == "classify" and len(version.labels) < 2:
        problems.append(
            Problem(
                code="too_few_labels",
                field="dataset_version",
                message=say(
                    "A classifier needs at least two labels; this version has {labels_count}.",
                    labels_count=len(version.labels),
                ),
                hint=say("Label more examples, then freeze a new version."),
            )
        )
    return problems


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
    """Queue a training job; refused with every problem at once."""
    parsed, problems = check(recipe=recipe, spec=spec, version=version)
    if parsed is None:
        raise Refused("invalid_training_job", say("This training job cannot start yet."), problems=problems)
    storage.require_free_space()
    name = name.strip() or f"{version.dataset.name} · {recipe}"
    job = jobs.create(
        kind="training.run",
        workspace=actor.workspace,
        queue="train",
        title=name,
        by=actor.user,
        priority=priority,
        can_pause=True,
        unit="steps",
    )
    training_job = TrainingJob.objects.create(
        workspace=actor.workspace,
        job=job,
        name=name[:120],
        recipe=recipe,
        spec=specs.to_mapping(parsed),
        spec_hash=specs.spec_hash(parsed),
        dataset_version=version,
        family_name=(family_name.strip() or version.dataset.name)[:80],
        reproduced_from=reproduced_from,
        created_by=actor.user,
    )
    job.page = f"training/{training_job.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="training.start", obj=training_job, spec_hash=training_job.spec_hash)
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


def keep_problems(*, run: Run, training_job: TrainingJob, problems: list[Any]) -> None:
    """Store what the preflight named, for the page."""
    with run.fenced():
        TrainingJob.objects.filter(pk=training_job.pk).update(problems=problems)


def halve_micro_batch(*, run: Run, training_job: TrainingJob) -> int | None:
    """After running out of memory: the next attempt's micro-batch, None when it is already 1."""
    present = training_job.micro_batch or int(training_job.spec["batch_size"])
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

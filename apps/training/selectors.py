"""Training jobs, curves and checkpoints as pages, API and workers read them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

from django.db.models import Max, QuerySet
from django.utils import timezone

from apps.datasets.models import DatasetVersion
from apps.training import event_files
from apps.training.models import Checkpoint, FineTuningJob, MetricPoint, Preflight, Sweep, TrainingJob
from core.jobs.states import State
from core.leftovers import Names

CURVE_POINTS = 1000
EVENT_FOLDER = "tensorboard"  # beside the attempts of a run
COMPARED_AT_MOST = 6
FRESH = timedelta(days=7)  # machines change; options, data and base model are in the key


def training_jobs(workspace: Any) -> QuerySet[TrainingJob]:
    """Jobs of a workspace, newest first, with job, dataset and model version joined."""
    return (
        TrainingJob.objects.filter(workspace=workspace)
        .select_related("job", "dataset_version__dataset", "model_version__family", "created_by", "sweep")
        .defer("seen", "estimate", "summary")
        .order_by("-id")
    )


def compared_runs(workspace: Any, ids: Sequence[str]) -> list[TrainingJob]:
    """The runs of these ids, at most COMPARED_AT_MOST of them, in the order asked; what is no id is passed over."""
    asked = [int(text) for text in dict.fromkeys(ids) if text.isascii() and text.isdigit() and len(text) < 19]
    found = {run.pk: run for run in training_jobs(workspace).filter(pk__in=asked)}
    return [found[pk] for pk in asked if pk in found][:COMPARED_AT_MOST]


def sweeps(workspace: Any) -> QuerySet[Sweep]:
    """Sweeps of a workspace, newest first, with job and data joined."""
    return (
        Sweep.objects.filter(workspace=workspace)
        .select_related("job", "dataset_version__dataset", "created_by")
        .order_by("-id")
    )


def fine_tuning_jobs(workspace: Any) -> QuerySet[FineTuningJob]:
    """Fine-tuning jobs of a workspace with their jobs, and what the training made."""
    return FineTuningJob.objects.filter(workspace=workspace).select_related(
        "workspace", "job", "training__job", "training__model_version__family"
    )


def preflights(workspace: Any) -> QuerySet[Preflight]:
    """Checks before a start, with job and data joined."""
    return Preflight.objects.filter(workspace=workspace).select_related("job", "dataset_version__dataset")


def fresh_preflight(workspace: Any, spec_hash: str, version: DatasetVersion) -> Preflight | None:
    """The check of these options on this data that still counts."""
    since = timezone.now() - FRESH
    rows = preflights(workspace).filter(spec_hash=spec_hash, dataset_version=version, created_at__gt=since)
    return rows.exclude(result={}).first()


def curves(training_job: TrainingJob, *, after_step: int = -1, after_point: int = 0) -> dict[str, list[list[float]]]:
    """{metric: [[step, value], ...]} in order of steps, thinned to about CURVE_POINTS per metric."""
    points = MetricPoint.objects.filter(training_job=training_job, step__gt=after_step, pk__gt=after_point)
    found: dict[str, list[list[float]]] = {}
    for name, step, value in points.order_by("name", "step").values_list("name", "step", "value"):
        found.setdefault(name, []).append([step, value])
    return {name: thinned(values) for name, values in found.items()}


def event_file(training_job: TrainingJob) -> bytes:
    """All points as one TensorBoard event file: of the whole run, whatever attempts it took."""
    points = training_job.points.order_by("step", "name").values_list("at", "step", "name", "value")
    records = [event_files.scalar(at.timestamp(), step, name, value) for at, step, name, value in points]
    return b"".join([event_files.begin(training_job.created_at.timestamp()), *records])


def event_file_name(training_job: TrainingJob) -> str:
    """TensorBoard opens what is called like this."""
    return f"events.out.tfevents.{int(training_job.created_at.timestamp())}.lingxi-{training_job.pk}"


def newest_point(training_job: TrainingJob) -> int:
    """The id of the newest metric point; 0 before the first. Ask for it before the curves, so that none is missed."""
    return training_job.points.aggregate(newest=Max("pk"))["newest"] or 0


def thinned(values: list[list[float]]) -> list[list[float]]:
    """At most about CURVE_POINTS of the points, evenly, always with the last."""
    stride = -(-len(values) // CURVE_POINTS)
    if stride <= 1:
        return values
    kept = values[::stride]
    return kept if kept[-1] == values[-1] else [*kept, values[-1]]


def newest_checkpoint(training_job: TrainingJob) -> Checkpoint | None:
    """Where a resumed run begins."""
    return training_job.checkpoints.order_by("-token", "-step").first()


def attempt_folder(path: str) -> str:
    """The folder of the attempt that wrote a checkpoint, relative to HOME; a recipe may keep its own folders in it."""
    return "/".join(PurePosixPath(path).parts[: len(["files", "workspace", "runs", "job", "token"])])


def obsolete_checkpoints(training_job: TrainingJob, keep: int = 2) -> list[Checkpoint]:
    """All but the newest `keep` and the best."""
    rows = list(training_job.checkpoints.order_by("-token", "-step"))
    best = next((row.pk for row in rows if row.is_best), None)
    return [row for row in rows[keep:] if row.pk != best]


def file_places() -> list[tuple[str, Names]]:
    """Where runs keep their files: a folder for each job, in it one for each attempt."""
    return [("*/runs/*", _run_folders), ("*/runs/*/*", _attempt_folders)]


def _run_folders() -> set[str]:
    rows = TrainingJob.objects.values_list("workspace_id", "job_id")
    return {f"files/{workspace}/runs/{job}" for workspace, job in rows}


def _attempt_folders() -> set[str]:
    """Those with a checkpoint to resume from, those of attempts at work, and the event files."""
    kept = {attempt_folder(path) for path in Checkpoint.objects.values_list("path", flat=True)}
    running = TrainingJob.objects.filter(job__state=State.RUNNING)
    kept |= {f"{folder}/{EVENT_FOLDER}" for folder in _run_folders()}
    return kept | {
        f"files/{workspace}/runs/{job}/{token}"
        for workspace, job, token in running.values_list("workspace_id", "job_id", "job__lease_token")
    }

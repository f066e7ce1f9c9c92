"""Training jobs, curves and checkpoints as pages, API and workers read them."""

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.training.models import Checkpoint, MetricPoint, TrainingJob

CURVE_POINTS = 1000


def training_jobs(workspace: Any) -> QuerySet[TrainingJob]:
    """Jobs of a workspace, newest first, with job, dataset and model version joined."""
    return (
        TrainingJob.objects.filter(workspace=workspace)
        .select_related("job", "dataset_version__dataset", "model_version__family", "created_by")
        .order_by("-id")
    )


def curves(
    training_job: TrainingJob, *, after_step: int = -1, names: Iterable[str] = ()
) -> dict[str, list[list[float]]]:
    """{metric: [[step, value], ...]} in order of steps, thinned to about CURVE_POINTS per metric."""
    points = MetricPoint.objects.filter(training_job=training_job, step__gt=after_step)
    if names:
        points = points.filter(name__in=list(names))
    found: dict[str, list[list[float]]] = {}
    for name, step, value in points.order_by("name", "step").values_list("name", "step", "value"):
        found.setdefault(name, []).append([step, value])
    return {name: thinned(values) for name, values in found.items()}


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


def obsolete_checkpoints(training_job: TrainingJob, keep: int = 2) -> list[Checkpoint]:
    """All but the newest `keep` and the best."""
    rows = list(training_job.checkpoints.order_by("-token", "-step"))
    best = next((row.pk for row in rows if row.is_best), None)
    return [row for row in rows[keep:] if row.pk != best]

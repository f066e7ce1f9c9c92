"""The runs of a sweep as trials: options, the objective after each epoch, the best of it, and how they ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F

from apps.training.models import MetricPoint, Sweep, TrainingJob
from core.jobs.states import OPEN, State

PRUNED = "pruned"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    number: int  # from 0
    run: TrainingJob
    options: dict[str, Any]
    values: Sequence[float]  # the objective after each epoch; of a run without epochs, at its end
    times: Sequence[datetime]  # when each was measured
    lower_is_better: bool

    @property
    def state(self) -> str:
        """The job's state, or "pruned"."""
        return PRUNED if self.run.pruned_at_epoch is not None else str(self.run.job.state)

    @property
    def is_open(self) -> bool:
        """Whether it waits or works."""
        return self.run.job.state in OPEN

    @property
    def value(self) -> float | None:
        """The best value so far."""
        if not self.values:
            return None
        return min(self.values) if self.lower_is_better else max(self.values)

    @property
    def is_complete(self) -> bool:
        """Whether it ran to its end and may be called the best."""
        return self.state == State.SUCCEEDED and self.value is not None


def trials_of(sweep: Sweep) -> list[Trial]:
    """All trials in the order of their numbers, in two queries."""
    runs = list(
        TrainingJob.objects.filter(sweep=sweep)
        .select_related("job", "model_version__family")
        .defer("estimate", "seen", "model_version__samples", "model_version__metrics", "model_version__files")
        .annotate(measured=F(f"model_version__metrics__dev__headline__{sweep.objective}__value"))
        .order_by("trial_number")
    )
    points: dict[int, list[tuple[float, datetime]]] = {run.pk: [] for run in runs}
    rows = MetricPoint.objects.filter(training_job__sweep=sweep, name=f"dev_{sweep.objective}").order_by("step")
    for pk, value, at in rows.values_list("training_job", "value", "at"):
        points[pk].append((value, at))
    for run in runs:
        if not points[run.pk] and run.measured is not None:
            points[run.pk].append((run.measured, run.job.finished_at or run.created_at))
    return [
        Trial(
            run.trial_number or 0,
            run,
            run.trial,
            [value for value, _at in points[run.pk]],
            [at for _value, at in points[run.pk]],
            sweep.lower_is_better,
        )
        for run in runs
    ]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The best trial that ran to its end, the first of equals."""
    whole = [trial for trial in trials if trial.is_complete]
    sign = -1 if whole and whole[0].lower_is_better else 1
    return max(whole, key=lambda trial: (sign * (trial.value or 0.0), -trial.number), default=None)

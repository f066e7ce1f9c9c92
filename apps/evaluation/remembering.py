"""What the versions of a lineage still know of each other's tasks: the accuracy matrix and the figures made of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, F, OuterRef, Q, Subquery

from apps.datasets.models import DatasetVersion
from apps.evaluation.models import EvaluationJob, ExampleResult
from apps.evaluation.tasks import DATA_KINDS, MEANS_OF_ROWS, measuring
from apps.registry.models import ModelVersion
from apps.registry.selectors import generations_of
from core.jobs.states import OPEN, State
from engine.specs import forgetting as figures
from engine.specs.figures import METRICS_REVISION
from engine.specs.forgetting import Figure
from words import say

LABELLED = ("classification", "tagging")  # tasks whose versions know labels
SPLITS = ("test", "dev")


@dataclass(frozen=True)
class Step:
    """One training of the lineage: the version it made and the task it learnt."""

    version: ModelVersion
    data: DatasetVersion

    @property
    def split(self) -> str:
        """The rows the task is measured on; "" when it has none."""
        counts = self.data.counts.get("splits", {})
        return next((name for name in SPLITS if counts.get(name)), "")

    @property
    def figure(self) -> str:
        """By which it is told what a version does on the task, larger being better."""
        return measuring(self.version.task, self.data.dataset.kind).remembered

    @property
    def is_adapter(self) -> bool:
        """Whether the version is an adapter for this task alone."""
        return bool(self.version.spec.get("keep") == "adapter_per_task")


@dataclass(frozen=True)
class Cell:
    """What `version` does on the task of a column; `why` says what is missing."""

    version: ModelVersion | None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    evaluation: int | None = None
    is_measuring: bool = False
    can_be_measured: bool = False
    why: str = ""


@dataclass(frozen=True)
class Remembering:
    """The matrix of a lineage: row i is measured after step i, column j on the task of step j."""

    steps: Sequence[Step]
    initial_version: ModelVersion | None
    cells: Sequence[Sequence[Cell]]
    initial: Sequence[Cell]
    summary: dict[str, Figure] = field(default_factory=dict)

    @property
    def figures(self) -> list[str]:
        """The figures of the columns, each once; several where a lineage learnt from several kinds of data."""
        return list(dict.fromkeys(step.figure for step in self.steps))

    @property
    def rows(self) -> list[tuple[Step, Sequence[Cell]]]:
        """Each step with its row."""
        return list(zip(self.steps, self.cells, strict=True))

    @property
    def missing(self) -> list[tuple[ModelVersion, Step]]:
        """(version, step) of every cell that can be measured and is neither measured nor at work, each once."""
        found: dict[tuple[int, int], tuple[ModelVersion, Step]] = {}
        for row in [*self.cells, self.initial]:
            for cell, step in zip(row, self.steps, strict=True):
                if cell.can_be_measured and cell.version is not None and cell.value is None and not cell.is_measuring:
                    found.setdefault((cell.version.pk, step.data.pk), (cell.version, step))
        return list(found.values())

    @property
    def lost(self) -> list[Cell]:
        """The fields that decide what is forgotten of every task but the last."""
        last = len(self.steps) - 1
        return [self.cells[row][column] for column in range(last) for row in range(column, last + 1)]

    @property
    def is_measuring(self) -> bool:
        """Whether an evaluation of a cell is queued or at work."""
        return any(cell.is_measuring for row in [*self.cells, self.initial] for cell in row)

    @property
    def has_adapters(self) -> bool:
        """Whether somebody must say which task a text is of."""
        return any(step.is_adapter for step in self.steps)

    @property
    def most_forgotten(self) -> Figure:
        """The figure that a gate may bound."""
        return self.summary["most_forgotten"]


def remembering(version: ModelVersion) -> Remembering | None:
    """The matrix of the version's lineage with what was measured; None when the version was not trained here."""
    steps, initial = _steps(version)
    if not steps or steps[-1].version.pk != version.pk:
        return None
    known = _measured(steps, initial)
    cells = [[_cell(steps, row, column, known) for column in range(len(steps))] for row in range(len(steps))]
    before = [_answered(initial, step, known) if initial else Cell(None) for step in steps]
    made = Remembering(steps, initial, cells, before)
    made.summary.update(_summary(made))
    return made


def _steps(version: ModelVersion) -> tuple[list[Step], ModelVersion | None]:
    """The trainings of the lineage that can be measured, and the version before the first of them.

    A version that learns the same frozen data as the one before goes on with the same task and takes its place.
    """
    steps: list[Step] = []
    initial: ModelVersion | None = None
    rows = generations_of(version)
    other = [at for at, row in enumerate(rows) if row.task != version.task]  # such as the chat model under a classifier
    for row in rows[max(other, default=-1) + 1 :]:
        data = row.dataset_version
        if data is None or data.dataset.kind not in DATA_KINDS.get(row.task, ()):
            initial = initial if steps else row
        elif steps and steps[-1].data.pk == data.pk:
            steps[-1] = Step(row, data)
        else:
            steps.append(Step(row, data))
    return steps, initial


Known = dict[tuple[int, int, str], dict[str, Any]]


def _measured(steps: Sequence[Step], initial: ModelVersion | None) -> Known:
    """(version, data, split) -> what its newest evaluation with figures says, else that one is at work; one query."""
    versions = [step.version.pk for step in steps] + ([initial.pk] if initial else [])
    rows = EvaluationJob.objects.filter(
        Q(metrics__revision=METRICS_REVISION, job__state=State.SUCCEEDED) | Q(job__state__in=OPEN),
        model_version__in=versions,
        dataset_version__in=[step.data.pk for step in steps],
        split__in=SPLITS,
    ).order_by("id")
    columns = ("pk", "model_version_id", "dataset_version_id", "split", "row_count", "job__state")
    found: Known = {}
    for row in rows.values(*columns, headline=F("metrics__headline")):
        key = (row["model_version_id"], row["dataset_version_id"], row["split"])
        if row["job__state"] == State.SUCCEEDED or key not in found:
            found[key] = row
    return found


def _cell(steps: Sequence[Step], row: int, column: int, known: Known) -> Cell:
    """With an adapter for each task, earlier tasks are answered by the versions that learnt them."""
    answering = row
    while column < answering and steps[answering].is_adapter:
        answering -= 1
    return _answered(steps[answering].version, steps[column], known)


def _answered(version: ModelVersion, step: Step, known: Known) -> Cell:
    if not step.split:
        return Cell(version, why=say("“{data}” has no test rows.", data=step.data))
    unknown = _unknown_label(version, step.data)
    if unknown is not None:
        return Cell(version, why=say("{version} does not know the label “{label}”.", version=version, label=unknown))
    row = known.get((version.pk, step.data.pk, step.split))
    if row is None:
        return Cell(version, can_be_measured=True, why=say("It was not measured yet."))
    if row["job__state"] != State.SUCCEEDED:
        return Cell(
            version, evaluation=row["pk"], is_measuring=True, can_be_measured=True, why=say("It is being measured.")
        )
    found = (row["headline"] or {}).get(step.figure)
    if found is None:  # it is from before the figure was known
        return Cell(version, can_be_measured=True, why=say("The evaluation has no figure of this name."))
    return Cell(
        version,
        found["value"],
        found.get("low"),
        found.get("high"),
        row["row_count"] or 0,
        row["pk"],
        can_be_measured=True,
    )


def _unknown_label(version: ModelVersion, data: DatasetVersion) -> str | None:
    """A label of the data that the version cannot give."""
    if version.task not in LABELLED:
        return None
    counts = data.counts.get("labels") or dict.fromkeys(data.labels, 1)
    return next((label for label, count in counts.items() if count and label not in version.labels), None)


def _summary(made: Remembering) -> dict[str, Figure]:
    matrix = [[cell.value for cell in row] for row in made.cells]
    last, errors = len(matrix) - 1, _Errors(made)
    own = [(at, at) for at in range(last)]
    best = [(figures.best_row(matrix, at), at) for at in range(last)]
    gone = [-math.inf if found.value is None else found.value for found in figures.forgetting(matrix)]
    worst = [best[gone.index(max(gone))]] if gone else []
    return {
        "acc": figures.acc(matrix).within(errors.of_last()).clipped(),
        "aia": figures.aia(matrix),
        "bwt": figures.bwt(matrix).within(errors.since(own)),
        "fwt": figures.fwt(matrix, [cell.value for cell in made.initial]),
        "forgetting": figures.mean_forgetting(matrix).within(errors.since(best)),
        "most_forgotten": figures.most_forgotten(matrix).within(errors.since(worst)),
    }


class _Errors:
    """Standard errors of shares of right rows, tasks being independent; None where a figure is no such share."""

    def __init__(self, made: Remembering) -> None:
        self.cells = made.cells
        self.is_known = all(figure in MEANS_OF_ROWS for figure in made.figures)
        self.pairs: dict[tuple[int, int], float | None] = {}

    def of_last(self) -> float | None:
        """Of the mean of the last row."""
        row = self.cells[-1]
        if not self.is_known or any(cell.value is None or not cell.rows for cell in row):
            return None
        variances = [(cell.value or 0.0) * (1 - (cell.value or 0.0)) / cell.rows for cell in row]
        return math.sqrt(sum(variances)) / len(row)

    def since(self, places: Sequence[tuple[int, int]]) -> float | None:
        """Of the mean difference between the last row and these places, pair by pair on the same rows."""
        if not self.is_known or not places:
            return None
        errors = [self._of_pair(row, column) for row, column in places]
        if any(error is None for error in errors):
            return None
        return math.sqrt(sum(error**2 for error in errors if error is not None)) / len(errors)

    def _of_pair(self, row: int, column: int) -> float | None:
        if (row, column) not in self.pairs:
            before, after = self.cells[row][column].evaluation, self.cells[-1][column].evaluation
            self.pairs[row, column] = _pair_error(before, after) if before and after else None
        return self.pairs[row, column]


def _pair_error(before: int, after: int) -> float | None:
    """Standard error of the difference in right rows between two evaluations of the same rows."""
    if before == after:
        return 0.0
    was = ExampleResult.objects.filter(evaluation=before, example_id=OuterRef("example_id")).values("correct")[:1]
    rows = ExampleResult.objects.filter(evaluation=after).annotate(was=Subquery(was)).filter(was__isnull=False)
    found = rows.aggregate(
        rows=Count("pk"),
        gained=Count("pk", filter=Q(correct=True, was=False)),
        lost=Count("pk", filter=Q(correct=False, was=True)),
    )
    count = found["rows"]
    if not count:
        return None
    mean = (found["gained"] - found["lost"]) / count
    return math.sqrt(max(0.0, (found["gained"] + found["lost"]) / count - mean**2) / count)

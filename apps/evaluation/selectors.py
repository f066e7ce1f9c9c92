"""What pages and the API read of evaluations."""

from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.registry.models import ModelVersion
from apps.registry.selectors import figure_order
from core.jobs.states import State

FLIPS = {
    "first_only": (True, False),
    "second_only": (False, True),
    "both_wrong": (False, False),
    "both_right": (True, True),
}
LIKELIER = {"first_likelier": "gt", "second_likelier": "lt"}  # how the loss of the other side compares


def evaluations_of(workspace: Any) -> QuerySet[EvaluationJob]:
    """Evaluations with job, model version and dataset version, newest first."""
    return (
        EvaluationJob.objects.filter(workspace=workspace)
        .select_related("job", "model_version__family", "dataset_version__dataset", "created_by")
        .defer("model_version__samples", "model_version__metrics", "model_version__files")
        .order_by("-id")
    )


def results_of(evaluation: EvaluationJob) -> QuerySet[ExampleResult]:
    """One row per example."""
    return ExampleResult.objects.filter(evaluation=evaluation)


def comparisons_of(workspace: Any) -> QuerySet[Comparison]:
    """Comparisons with both evaluations and their versions, newest first."""
    return (
        Comparison.objects.filter(workspace=workspace)
        .select_related(
            "job",
            "first__model_version__family",
            "second__model_version__family",
            "first__dataset_version__dataset",
            "second__dataset_version__dataset",
        )
        .order_by("-id")
    )


def partners_of(evaluation: EvaluationJob) -> QuerySet[EvaluationJob]:
    """Finished evaluations on the same rows, which can be compared with this one."""
    return (
        evaluations_of(evaluation.workspace)
        .filter(dataset_version=evaluation.dataset_version_id, split=evaluation.split, row_count__isnull=False)
        .exclude(pk=evaluation.pk)
    )


def common_evaluations(first: ModelVersion, second: ModelVersion) -> list[tuple[EvaluationJob, EvaluationJob]]:
    """Pairs of finished evaluations of both versions on the same rows, the newest pair of each dataset split."""
    rows = evaluations_of(first.workspace).filter(model_version__in=[first, second], row_count__isnull=False)
    newest: dict[tuple[int, str], dict[int, EvaluationJob]] = {}
    for row in rows:
        newest.setdefault((row.dataset_version_id, row.split), {}).setdefault(row.model_version_id, row)
    return [(pair[first.pk], pair[second.pk]) for pair in newest.values() if len(pair) == 2]


def flips_of(comparison: Comparison) -> list[str]:
    """The names that flips() takes for this comparison; of chat versions also by whose loss is lower."""
    return [*LIKELIER, *FLIPS] if comparison.first.model_version.is_chat else list(FLIPS)


def running_evaluations(first: ModelVersion, second: ModelVersion) -> QuerySet[EvaluationJob]:
    """Evaluations of either version that have not ended."""
    rows = evaluations_of(first.workspace).filter(model_version__in=[first, second])
    return rows.exclude(job__state__in=[State.SUCCEEDED, State.FAILED, State.CANCELLED])


def flips(comparison: Comparison, which: str) -> QuerySet[ExampleResult]:
    """Rows of the first evaluation by who was right, or by who gives the whole answer a lower loss."""
    mine = ExampleResult.objects.filter(evaluation=comparison.first_id)
    other = ExampleResult.objects.filter(evaluation=comparison.second_id, example_id=OuterRef("example_id"))
    if which in LIKELIER:
        total = F("loss") * F("answer_tokens")
        mine = mine.annotate(total=total)
        return mine.filter(
            Exists(other.annotate(total=total).filter(**{f"total__{LIKELIER[which]}": OuterRef("total")}))
        )
    one, two = FLIPS[which]
    return mine.filter(Q(correct=one), Exists(other.filter(correct=two)))


def other_side(comparison: Comparison, rows: list[ExampleResult]) -> list[tuple[ExampleResult, ExampleResult]]:
    """Each row beside the second evaluation's row of the same example."""
    ids = [row.example_id for row in rows]
    found = ExampleResult.objects.filter(evaluation=comparison.second_id, example_id__in=ids)
    second = {row.example_id: row for row in found}
    return [(row, second[row.example_id]) for row in rows if row.example_id in second]


def figures_beside(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per headline figure: name, both sides with intervals, and the tested difference where there is one."""
    first, second = comparison.first.headline, comparison.second.headline
    tested = dict(comparison.figures)
    if tested.get("unit") == "answer":
        del tested["loss"]  # it is of whole answers, the headline's is per token
    return [
        {
            "name": name,
            "first": first[name],
            "second": second.get(name),
            "difference": tested.get(name),
        }
        for name in sorted(first, key=figure_order)
    ]

"""What pages and the API read of evaluations, suites and gates."""

import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from apps.evaluation.models import (
    Comparison,
    EvaluationJob,
    ExampleResult,
    Gate,
    Suite,
    SuiteCheck,
    SuiteResult,
    SuiteRun,
)
from apps.evaluation.remembering import remembering
from apps.evaluation.tasks import FLIPS, LIKELIER
from apps.evaluation.verdicts import CheckVerdict, Verdict, judge, judge_forgetting
from apps.registry.models import ModelVersion
from apps.registry.selectors import figure_order
from core.jobs.states import OPEN, State
from engine.specs.figures import METRICS_REVISION


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


def newest_comparison(first: ModelVersion, second: ModelVersion) -> Comparison | None:
    """The newest comparison of these two, in this order."""
    rows = comparisons_of(first.workspace).filter(first__model_version=first, second__model_version=second)
    return rows.first()


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


def suites_of(workspace: Any) -> QuerySet[Suite]:
    """Suites with the number of their checks and runs, newest first."""
    checks = SuiteCheck.objects.filter(suite=OuterRef("pk")).order_by().values("suite")
    runs = SuiteRun.objects.filter(suite=OuterRef("pk")).order_by().values("suite")
    return (
        Suite.objects.filter(workspace=workspace)
        .select_related("created_by")
        .annotate(
            check_count=Coalesce(Subquery(checks.annotate(count=Count("pk")).values("count")), 0),
            run_count=Coalesce(Subquery(runs.annotate(count=Count("pk")).values("count")), 0),
        )
        .order_by("-id")
    )


def checks_of(suite: Suite) -> QuerySet[SuiteCheck]:
    """Its checks in their order, with their data."""
    return suite.checks.select_related("dataset_version__dataset").order_by("position")


def runs_of(suite: Suite) -> QuerySet[SuiteRun]:
    """The versions it was run on, newest run first."""
    rows = suite.runs.select_related("model_version__family", "created_by")
    return rows.defer("model_version__samples", "model_version__metrics", "model_version__files").order_by("-id")


def usable_evaluation(version: ModelVersion, check: SuiteCheck) -> EvaluationJob | None:
    """An evaluation that answers the check: same rows and decoding, figures of today's making, done or still at work."""
    rows = EvaluationJob.objects.filter(
        model_version=version,
        dataset_version=check.dataset_version_id,
        split=check.split,
        seed=check.seed,
        max_new_tokens=check.max_new_tokens,
    ).select_related("job")
    done = rows.filter(metrics__revision=METRICS_REVISION, job__state=State.SUCCEEDED).order_by("-id").first()
    return done or rows.filter(job__state__in=OPEN).order_by("-id").first()


def verdict_of(suite: Suite, version: ModelVersion) -> Verdict:
    """How the suite came out on the version; checks that were never run wait."""
    return verdicts([suite], [version])[suite.pk, version.pk]


def verdicts(suites: Sequence[Suite], versions: Sequence[ModelVersion]) -> dict[tuple[int, int], Verdict]:
    """(suite, version) -> verdict for every pair, in two queries, and those of the lineage where it is bounded."""
    checks: dict[int, list[SuiteCheck]] = {suite.pk: [] for suite in suites}
    for check in (
        SuiteCheck.objects.filter(suite__in=suites).select_related("dataset_version__dataset").order_by("position")
    ):
        checks[check.suite_id].append(check)
    results = SuiteResult.objects.filter(run__suite__in=suites, run__model_version__in=versions)
    measured = {
        (row.suite_check_id, row.run.model_version_id): row.evaluation
        for row in results.select_related("run", "evaluation__job")
    }
    known = functools.cache(remembering)

    def verdict(check: SuiteCheck, version: ModelVersion) -> CheckVerdict:
        if check.dataset_version_id is None:
            return judge_forgetting(check, known(version))
        return judge(check, measured.get((check.pk, version.pk)))

    return {
        (suite.pk, version.pk): Verdict(suite, [verdict(check, version) for check in checks[suite.pk]])
        for suite in suites
        for version in versions
    }


def suites_for(version: ModelVersion) -> list[tuple[Suite, Verdict, bool]]:
    """Suites that were run on the version or are required of it, each with its verdict and whether it is required."""
    gate = gate_of(version.family_id)
    wanted = Q(runs__model_version=version) | (Q(pk=gate.suite_id) if gate else Q(pk__in=[]))
    rows = list(Suite.objects.filter(wanted).distinct().order_by("-id")[:20])
    found = verdicts(rows, [version])
    required = gate.suite_id if gate else None
    ordered = sorted(rows, key=lambda suite: suite.pk != required)
    return [(suite, found[suite.pk, version.pk], suite.pk == required) for suite in ordered]


def gate_of(family_id: int) -> Gate | None:
    """The suite a family requires, if it does."""
    return Gate.objects.select_related("suite").filter(family=family_id).first()


def figures_known(workspace: Any, task: str) -> list[str]:
    """Names of headline figures that versions and evaluations of the task carry here, those looked at first first."""
    rows = EvaluationJob.objects.filter(workspace=workspace, model_version__task=task, row_count__isnull=False)
    found = set(
        chain.from_iterable(row or {} for row in rows.order_by("-id").values_list("metrics__headline", flat=True)[:20])
    )
    for metrics in (
        ModelVersion.objects.filter(workspace=workspace, task=task)
        .order_by("-id")
        .values_list("metrics", flat=True)[:20]
    ):
        found.update(chain.from_iterable(report.get("headline", {}) for report in metrics.values()))
    return sorted(found, key=figure_order)

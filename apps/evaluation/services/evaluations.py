"""Start, store, compare and delete evaluations."""

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from apps.accounts.services import audit
from apps.datasets.models import DatasetVersion
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult, SuiteResult
from apps.evaluation.tasks import DATA_KINDS
from apps.registry.models import ModelVersion
from apps.registry.selectors import version_folder
from core.access import Actor
from core.errors import Refused, conflict
from core.jobs import services as jobs
from engine.specs.figures import METRICS_REVISION
from words import say

SPLITS = ("", "train", "dev", "test")
LARGEST_ANSWER_TOKENS = 1024


def check_rows(dataset_version: DatasetVersion, split: str, max_new_tokens: int) -> None:
    """Raise Refused when there would be nothing to measure, or no way to."""
    if not 1 <= max_new_tokens <= LARGEST_ANSWER_TOKENS:
        raise Refused(
            "bad_length", say("An answer has 1 to {most} tokens.", most=LARGEST_ANSWER_TOKENS), field="max_new_tokens"
        )
    if split not in SPLITS:
        raise Refused("unknown_split", say("Choose train, dev, test or all rows."), field="split")
    counts = dataset_version.counts.get("splits", {})
    if split and not counts.get(split):
        raise Refused(
            "empty_split",
            say("{data} has no rows in the split {split}.", data=dataset_version, split=split),
            field="split",
            hint=say("Choose another split, or split the dataset and freeze it again."),
        )


@transaction.atomic
def start_evaluation(
    *,
    actor: Actor,
    model_version: ModelVersion,
    dataset_version: DatasetVersion,
    split: str = "test",
    seed: int = 17,
    max_new_tokens: int = 128,
) -> EvaluationJob:
    """Queue measuring `model_version` on a split ("" = all rows) of `dataset_version`."""
    version_folder(model_version)
    wanted = DATA_KINDS.get(model_version.task)
    if wanted is None:
        raise Refused(
            "task_not_supported",
            say("Versions for {task} cannot be evaluated yet.", task=model_version.task),
            field="model_version",
        )
    if dataset_version.dataset.kind not in wanted:
        raise Refused(
            "wrong_kind",
            say(
                "{version} is measured on data of the kind “{wanted}”; {data} is of the kind “{kind}”.",
                version=model_version,
                wanted=", ".join(wanted),
                data=dataset_version,
                kind=dataset_version.dataset.kind,
            ),
            field="dataset_version",
        )
    check_rows(dataset_version, split, max_new_tokens)
    job = jobs.create(
        kind="evaluation.run",
        workspace=actor.workspace,
        queue="infer",
        title=say("Evaluate {version} on {data}", version=model_version, data=dataset_version),
        by=actor.user,
        unit="texts",
    )
    made = EvaluationJob.objects.create(
        job=job,
        workspace=actor.workspace,
        model_version=model_version,
        dataset_version=dataset_version,
        split=split,
        seed=seed,
        max_new_tokens=max_new_tokens,
        created_by=actor.user,
    )
    job.page = f"evaluations/{made.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="evaluation.start", obj=made, model_version=model_version.pk, split=split)
    return made


def clear_results(*, evaluation: EvaluationJob) -> None:
    """Drop what an earlier attempt stored; called by the worker under its lease."""
    rows = ExampleResult.objects.filter(evaluation=evaluation)
    rows._raw_delete(rows.db)


def finish_evaluation(*, evaluation: EvaluationJob, metrics: Mapping[str, Any], row_count: int) -> None:
    """Store the figures and the way they were made; called by the worker under its lease, after the rows."""
    kept = {**metrics, "revision": METRICS_REVISION}
    EvaluationJob.objects.filter(pk=evaluation.pk).update(metrics=kept, row_count=row_count)


@transaction.atomic
def delete_evaluation(*, actor: Actor, evaluation: EvaluationJob) -> None:
    """Delete an ended evaluation with its rows, comparisons and job."""
    if not evaluation.job.ended:
        raise conflict("still_running", say("The evaluation is still at work. Cancel it first."))
    rests = SuiteResult.objects.filter(evaluation=evaluation).select_related("run__suite").first()
    if rests is not None:
        raise conflict(
            "evaluation_is_evidence",
            say("The verdict of the suite {suite} rests on this evaluation.", suite=rests.run.suite),
            hint=say("Delete the suite first, or keep the evaluation."),
        )
    audit(actor=actor, action="evaluation.delete", obj=evaluation)
    for comparison in Comparison.objects.filter(first=evaluation) | Comparison.objects.filter(second=evaluation):
        comparison.job.delete()
    clear_results(evaluation=evaluation)
    evaluation.job.delete()


@transaction.atomic
def start_comparison(*, actor: Actor, first: EvaluationJob, second: EvaluationJob) -> Comparison:
    """Queue testing two finished evaluations on the same rows against each other; asked twice, it is made once."""
    if first.pk == second.pk:
        raise Refused("same_evaluation", say("Choose two different evaluations."), field="second")
    if (first.dataset_version_id, first.split) != (second.dataset_version_id, second.split):
        raise Refused(
            "other_rows",
            say("These evaluations were made on different rows. Compare evaluations of one dataset version and split."),
            field="second",
        )
    if not (first.is_done and second.is_done):
        raise conflict("not_finished", say("Both evaluations must be finished."))
    earlier = Comparison.objects.select_related("job").filter(first=first, second=second).first()
    if earlier is not None and earlier.job.state not in {"failed", "cancelled"}:
        return earlier
    if earlier is not None:
        earlier.job.delete()
    job = jobs.create(
        kind="evaluation.compare",
        workspace=actor.workspace,
        queue="io",
        title=say("Compare {first} with {second}", first=first.model_version, second=second.model_version),
        by=actor.user,
        unit="rows",
    )
    try:
        with transaction.atomic():
            made = Comparison.objects.create(
                job=job, workspace=actor.workspace, first=first, second=second, created_by=actor.user
            )
    except IntegrityError:
        job.delete()
        return Comparison.objects.select_related("job").get(first=first, second=second)
    job.page = f"evaluations/comparisons/{made.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="evaluation.compare", obj=made, first=first.pk, second=second.pk)
    return made


def finish_comparison(*, comparison: Comparison, figures: Mapping[str, Any]) -> None:
    """Store the tests; called by the worker under its lease."""
    Comparison.objects.filter(pk=comparison.pk).update(figures=dict(figures))

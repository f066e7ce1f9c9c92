"""Suites: drafts until used, then frozen and hashed; run on versions with one verdict that can be made again."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from apps.datasets.models import DatasetVersion
from apps.evaluation import services
from apps.evaluation.forms_suites import CheckForm
from apps.evaluation.models import EvaluationJob, Suite, SuiteResult
from apps.evaluation.selectors import figures_known, verdict_of
from apps.evaluation.services import CheckPlan
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from workers.loop import run_next

Version = Callable[..., ModelVersion]
Made = Callable[..., Suite]
Evaluated = Callable[..., EvaluationJob]


def measured(verdict: Any) -> list[Any]:
    return [found.figure for found in verdict.checks]


def test_a_draft_changes_and_a_used_suite_does_not(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion
) -> None:
    draft = suite()
    plan = CheckPlan(data, "accuracy", 0.5)
    services.set_checks(actor=actor, suite=draft, checks=[plan, plan])
    services.run_suite(actor=actor, suite=draft, model_version=version())

    sealed = Suite.objects.get(pk=draft.pk)
    assert sealed.is_sealed and len(sealed.content_hash) == 64
    with pytest.raises(Refused, match="frozen"):
        services.set_checks(actor=actor, suite=sealed, checks=[plan])
    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        sealed.checks.update(threshold=0.0)
    with pytest.raises(DatabaseError, match="frozen"), transaction.atomic():
        Suite.objects.filter(pk=sealed.pk).update(content_hash="0" * 64)


def test_a_check_that_was_taken_out_of_a_used_suite_is_noticed(actor: Actor, suite: Made, version: Version) -> None:
    made = suite()
    services.run_suite(actor=actor, suite=made, model_version=version())
    made.checks.filter(position=1).delete()

    with pytest.raises(Refused, match="not those that were frozen"):
        services.run_suite(actor=actor, suite=made, model_version=version())


def test_the_hash_covers_everything_that_could_change_a_verdict(
    actor: Actor, suite: Made, data: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = suite()
    plan = services.plans_of(made)[0]
    changes: list[dict[str, Any]] = [
        {"threshold": 0.25}, {"figure": "macro_f1"}, {"split": "train"}, {"direction": "<="}, {"bound": "interval"},
        {"seed": 18}, {"max_new_tokens": 64},
    ]  # fmt: skip
    hashes = {services.suite_hash(made)}
    for change in changes:
        services.set_checks(actor=actor, suite=made, checks=[dataclasses.replace(plan, **change)])
        hashes.add(services.suite_hash(made))
    services.set_checks(actor=actor, suite=made, checks=[plan])
    first = services.suite_hash(made)
    monkeypatch.setattr("apps.evaluation.services.suites.METRICS_REVISION", 2)
    hashes.add(services.suite_hash(made))
    monkeypatch.undo()

    assert len(hashes) == len(changes) + 2
    services.set_checks(actor=actor, suite=made, checks=[plan])
    assert services.suite_hash(made) == first


def test_the_next_revision_begins_with_the_same_checks(actor: Actor, suite: Made, version: Version) -> None:
    first = suite()
    with pytest.raises(Refused, match="still a draft"):
        services.revise_suite(actor=actor, suite=first)
    services.run_suite(actor=actor, suite=first, model_version=version())

    second = services.revise_suite(actor=actor, suite=first)

    assert (second.revision, second.is_sealed) == (2, False)
    assert services.plans_of(second) == services.plans_of(first)
    with pytest.raises(Refused, match="There is a suite called"):
        services.create_suite(actor=actor, name=first.name.upper(), task="classification")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"figure": "Accuracy!"}, "bad_figure"),
        ({"threshold": float("nan")}, "bad_threshold"),
        ({"direction": "=="}, "bad_check"),
        ({"bound": "mean"}, "bad_check"),
        ({"split": "dev"}, "empty_split"),
        ({"split": "night"}, "unknown_split"),
        ({"max_new_tokens": 0}, "bad_length"),
    ],
)
def test_a_check_that_could_never_be_judged_is_refused(
    actor: Actor, suite: Made, data: DatasetVersion, changes: dict[str, Any], code: str
) -> None:
    plan = dataclasses.replace(CheckPlan(data, "accuracy", 0.5), **changes)

    with pytest.raises(Refused) as refused:
        services.set_checks(actor=actor, suite=suite(), checks=[plan])

    assert refused.value.code == code


def test_data_of_another_kind_or_workspace_is_refused(
    actor: Actor, stranger: Actor, suite: Made, data: DatasetVersion, chat_data: DatasetVersion
) -> None:
    foreign = services.create_suite(actor=stranger, name="Mine", task="classification")

    with pytest.raises(Refused, match="of the kind"):
        services.set_checks(actor=actor, suite=suite(), checks=[CheckPlan(chat_data, "accuracy", 0.5)])
    with pytest.raises(Refused, match="no such dataset version"):
        services.set_checks(actor=stranger, suite=foreign, checks=[CheckPlan(data, "accuracy", 0.5)])


def test_running_starts_only_the_evaluations_that_are_missing(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion, evaluated: Evaluated
) -> None:
    tried, other = version(1), version(2)
    before = evaluated(tried)
    made = suite(
        CheckPlan(data, "accuracy", 0.0), CheckPlan(data, "macro_f1", 0.0), CheckPlan(data, "loss", 9.0, "train", "<=")
    )

    services.run_suite(actor=actor, suite=made, model_version=tried)

    assert verdict_of(made, tried).state == "waiting"
    assert EvaluationJob.objects.filter(model_version=tried).count() == 2
    assert [found.state for found in verdict_of(made, tried).checks] == ["passed", "passed", "waiting"]
    assert SuiteResult.objects.filter(evaluation=before).count() == 2
    services.run_suite(actor=actor, suite=made, model_version=tried)
    assert EvaluationJob.objects.filter(model_version=tried).count() == 2
    assert run_next("infer") is not None
    assert verdict_of(made, tried).state == "passed"
    assert verdict_of(made, other).state == "waiting"


def test_a_measurement_that_failed_is_made_again(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion, evaluated: Evaluated
) -> None:
    made, tried = suite(CheckPlan(data, "accuracy", 0.0)), version()
    services.run_suite(actor=actor, suite=made, model_version=tried)
    jobs.cancel(job=EvaluationJob.objects.get().job, by=actor.user)
    [found] = verdict_of(made, tried).checks
    assert (found.state, "run the suite again" in str(found.why)) == ("waiting", True)

    services.run_suite(actor=actor, suite=made, model_version=tried)

    assert EvaluationJob.objects.count() == 2
    assert SuiteResult.objects.get().evaluation == EvaluationJob.objects.latest("pk")


def test_figures_of_an_older_making_are_not_taken(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion, evaluated: Evaluated
) -> None:
    tried = version()
    row = evaluated(tried)
    assert row.metrics["revision"] == 1
    EvaluationJob.objects.filter(pk=row.pk).update(metrics={**row.metrics, "revision": 0})

    services.run_suite(actor=actor, suite=suite(CheckPlan(data, "accuracy", 0.0)), model_version=tried)

    assert EvaluationJob.objects.count() == 2


def test_each_bound_and_direction_is_judged_by_its_own_side(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion, evaluated: Evaluated
) -> None:
    tried = version()
    figure = evaluated(tried).headline["accuracy"]
    assert figure["low"] < figure["value"] < figure["high"]
    plans = [
        CheckPlan(data, "accuracy", figure["value"]),
        CheckPlan(data, "accuracy", figure["value"], bound="interval"),
        CheckPlan(data, "accuracy", figure["low"], bound="interval"),
        CheckPlan(data, "accuracy", figure["value"], direction="<="),
        CheckPlan(data, "accuracy", figure["value"], direction="<=", bound="interval"),
        CheckPlan(data, "accuracy", figure["high"], direction="<=", bound="interval"),
        CheckPlan(data, "exact_match", 0.0),
    ]
    made = suite(*plans)

    services.run_suite(actor=actor, suite=made, model_version=tried)

    states = [found.state for found in verdict_of(made, tried).checks]
    assert states == ["passed", "failed", "passed", "passed", "failed", "passed", "failed"]
    assert verdict_of(made, tried).state == "failed"


def test_an_evaluation_that_a_verdict_rests_on_cannot_be_deleted(
    actor: Actor, suite: Made, version: Version, data: DatasetVersion, evaluated: Evaluated
) -> None:
    tried = version()
    row, made = evaluated(tried), suite(CheckPlan(data, "accuracy", 0.0))
    services.run_suite(actor=actor, suite=made, model_version=tried)

    with pytest.raises(Refused, match="rests on this evaluation"):
        services.delete_evaluation(actor=actor, evaluation=row)
    services.delete_suite(actor=actor, suite=made)
    services.delete_evaluation(actor=actor, evaluation=row)


def test_a_suite_is_only_run_on_versions_for_its_task(actor: Actor, suite: Made, chat_version: Version) -> None:
    with pytest.raises(Refused, match="is for classification"):
        services.run_suite(actor=actor, suite=suite(), model_version=chat_version())


def test_figures_are_offered_by_what_was_measured(
    actor: Actor, workspace: Any, version: Version, evaluated: Evaluated, suite: Made
) -> None:
    assert figures_known(workspace, "classification") == []

    evaluated(version())

    assert figures_known(workspace, "classification")[:2] == ["accuracy", "macro_f1"]
    offered = dict(CheckForm(suite=suite()).fields["figure"].choices)  # type: ignore[attr-defined]
    assert str(offered["macro_f1"]) == "Macro F1" and "forgetting" in offered
    assert figures_known(workspace, "generation") == []


@pytest.mark.parametrize("kind", ["classifier", "chat"])
def test_an_evaluation_gives_the_same_figures_whatever_shares_a_batch(
    kind: str, tiny_classifier: Any, tiny_chat: Any, data: DatasetVersion, chat_data: DatasetVersion,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Pain 19: elsewhere the batch size changes the score."""
    from core.storage import home
    from engine import chat_model, predict, tasks
    from engine.report import Silent

    folder, rows = (tiny_classifier(), data) if kind == "classifier" else (tiny_chat(), chat_data)

    def figures(budget: int) -> Any:
        monkeypatch.setattr(predict, "BATCH_TOKENS", budget)
        monkeypatch.setattr(chat_model, "BATCH_TOKENS", budget)
        order = {
            "task": "evaluate", "model": str(folder), "data": {"path": str(home() / rows.path), "split": "test"},
            "out": str(tmp_path / str(budget)), "max_new_tokens": 6,
        }  # fmt: skip
        return tasks.perform(order, None, Silent())["headline"]

    alone, together = figures(1), figures(4096)

    assert alone.keys() == together.keys()
    for name in alone:
        close = {"loss", "perplexity"}
        for side in ("value", "low", "high"):
            exact = 1e-4 if name in close else 0.0
            assert alone[name][side] == pytest.approx(together[name][side], rel=exact, abs=0.0), name

"""Evaluations: measured by the real engine, stored example by example, compared with a paired test."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from apps.datasets.models import DatasetVersion
from apps.evaluation import services
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.selectors import common_evaluations, flips, other_side
from apps.registry.models import ModelVersion
from apps.registry.services import delete_version
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from workers import evaluation as worker
from workers.loop import run_next
from workers.runners import RUNNERS

Version = Callable[..., ModelVersion]
Evaluated = Callable[..., EvaluationJob]


def test_figures_and_rows_agree(evaluated: Evaluated, version: Version) -> None:
    row = evaluated(version(), in_child=True)

    results = ExampleResult.objects.filter(evaluation=row)
    right = results.filter(correct=True).count()
    assert row.row_count == results.count() == 40
    assert row.headline["accuracy"]["value"] == pytest.approx(right / 40)
    assert row.headline["accuracy"]["low"] <= right / 40 <= row.headline["accuracy"]["high"]
    assert sum(cell[2] for cell in row.metrics["confusion"]["cells"]) == 40
    assert {result.text.split("<b>")[1] for result in results} == {f"{at}</b>" for at in range(60) if at % 3}


def test_wrong_and_confident_rows_come_first(evaluated: Evaluated, version: Version) -> None:
    rows = list(ExampleResult.objects.filter(evaluation=evaluated(version())).order_by("rank", "id"))

    wrong = [row.probability for row in rows if not row.correct]
    assert [row.correct for row in rows] == [False] * len(wrong) + [True] * (len(rows) - len(wrong))
    assert wrong == sorted(wrong, reverse=True)


def test_a_worker_that_dies_while_storing_leaves_no_row_twice(
    actor: Actor, version: Version, data: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = services.start_evaluation(actor=actor, model_version=version(), dataset_version=data)
    monkeypatch.setattr(worker, "ROWS_AT_ONCE", 15)
    copied, original = [], worker.copy_rows

    def dies_at_the_second_portion(*args: Any) -> int:
        copied.append(1)
        if len(copied) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(worker, "copy_rows", dies_at_the_second_portion)
    run = jobs.claim(queue="infer", worker="dying")
    assert run is not None
    with pytest.raises(KeyboardInterrupt):
        worker.run_evaluation(run)
    assert ExampleResult.objects.count() == 15
    monkeypatch.setattr(worker, "copy_rows", original)
    run.hand_back(reason="the worker died")

    assert run_next("infer") == made.job.pk

    made.refresh_from_db()
    assert made.row_count == ExampleResult.objects.count() == 40


def test_two_versions_are_tested_on_the_same_rows(
    actor: Actor, evaluated: Evaluated, version: Version, workspace: Any
) -> None:
    first, second = evaluated(version(1)), evaluated(version(2))

    made = services.start_comparison(actor=actor, first=first, second=second)
    again = services.start_comparison(actor=actor, first=first, second=second)
    assert run_next("io") == made.job.pk

    made = Comparison.objects.select_related("job").get(pk=made.pk)
    assert again.pk == made.pk
    assert made.job.state == "succeeded", made.job.error_message
    figures: Mapping[str, Any] = made.figures
    difference = second.headline["accuracy"]["value"] - first.headline["accuracy"]["value"]
    assert figures["accuracy"]["difference"] == pytest.approx(difference)
    difference = second.headline["macro_f1"]["value"] - first.headline["macro_f1"]["value"]
    assert figures["macro_f1"]["difference"] == pytest.approx(difference)
    only = figures["mcnemar"]
    assert only["only_second"] - only["only_first"] == pytest.approx(40 * figures["accuracy"]["difference"])
    for which in ("first_only", "second_only", "both_wrong", "both_right"):
        pairs = other_side(made, list(flips(made, which)))
        assert all(
            (one.correct, two.correct)
            == {
                "first_only": (True, False),
                "second_only": (False, True),
                "both_wrong": (False, False),
                "both_right": (True, True),
            }[which]
            for one, two in pairs
        )
    assert flips(made, "first_only").count() == only["only_first"]
    assert common_evaluations(first.model_version, second.model_version) == [(first, second)]


def test_what_cannot_be_measured_is_refused_with_a_sentence(
    actor: Actor, version: Version, data: DatasetVersion
) -> None:
    known = version()
    given = {"actor": actor, "model_version": known, "dataset_version": data}

    with pytest.raises(Refused, match="no rows in the split dev"):
        services.start_evaluation(**given, split="dev")
    with pytest.raises(Refused, match="Choose train"):
        services.start_evaluation(**given, split="somewhere")
    with pytest.raises(Refused, match="cannot be evaluated"):
        services.start_evaluation(**{**given, "model_version": version(name="bot", task="translation")})
    data.dataset.kind = "chat"
    with pytest.raises(Refused, match="of the kind “chat”"):
        services.start_evaluation(**given)


def test_labels_the_model_does_not_know_end_the_job_with_a_sentence(
    actor: Actor, version: Version, data: DatasetVersion, tiny_classifier: Any
) -> None:
    other = version(folder=tiny_classifier(("refund", "card", "other"), 3), labels=["refund", "card", "other"])
    made = services.start_evaluation(actor=actor, model_version=other, dataset_version=data)

    run_next("infer")

    made.job.refresh_from_db()
    assert (made.job.state, made.job.error_code) == ("failed", "unknown_label")


def test_comparing_other_rows_or_unfinished_ones_is_refused(
    actor: Actor, evaluated: Evaluated, version: Version, data: DatasetVersion
) -> None:
    known = version()
    done = evaluated(known)
    other = services.start_evaluation(actor=actor, model_version=known, dataset_version=data, split="train")
    waiting = services.start_evaluation(actor=actor, model_version=known, dataset_version=data, split="test")

    with pytest.raises(Refused, match="different rows"):
        services.start_comparison(actor=actor, first=done, second=other)
    with pytest.raises(Refused, match="must be finished"):
        services.start_comparison(actor=actor, first=done, second=waiting)
    with pytest.raises(Refused, match="two different"):
        services.start_comparison(actor=actor, first=done, second=done)


def test_an_evaluated_version_stays_until_its_evaluation_goes(
    actor: Actor, evaluated: Evaluated, version: Version
) -> None:
    known = version()
    row = evaluated(known)
    with pytest.raises(Refused, match=f"evaluation #{row.pk}"):
        delete_version(actor=actor, version=known)

    services.delete_evaluation(actor=actor, evaluation=row)

    assert not ExampleResult.objects.exists()
    delete_version(actor=actor, version=known)
    assert not ModelVersion.objects.exists()


def test_a_running_evaluation_is_not_deleted(actor: Actor, version: Version, data: DatasetVersion) -> None:
    made = services.start_evaluation(actor=actor, model_version=version(), dataset_version=data)

    with pytest.raises(Refused, match="Cancel it first"):
        services.delete_evaluation(actor=actor, evaluation=made)

    assert "evaluation.run" in RUNNERS

"""Readers measured on questions about passages: figures, rows, comparison, pages and API."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.urls import reverse

from apps.evaluation import services
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from engine.answer_metrics import answer_f1, exact_match
from engine.paired import compare_answers
from tests.fixtures.jobs import in_process
from workers.loop import run_next


@pytest.fixture
def measured(actor: Any, qa_data: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], EvaluationJob]:
    """Evaluates a reader on all rows with the real engine in this process."""
    monkeypatch.setattr("workers.evaluation.run_engine", in_process)

    def run(version: Any) -> EvaluationJob:
        made = services.start_evaluation(actor=actor, model_version=version, dataset_version=qa_data, split="")
        assert run_next("infer") == made.job.pk
        found = EvaluationJob.objects.select_related("job", "model_version__family").get(pk=made.pk)
        assert found.job.state == "succeeded", found.job.error_message
        return found

    return run


@pytest.fixture
def pair(actor: Any, measured: Callable[[Any], EvaluationJob], reader_version: Callable[..., Any]) -> Comparison:
    """Two readers measured on the same questions and compared."""
    first, second = measured(reader_version(1)), measured(reader_version(2))
    made = services.start_comparison(actor=actor, first=first, second=second)
    run_next("io")
    return Comparison.objects.select_related("job", "first__model_version").get(pk=made.pk)


def url(name: str, /, **kwargs: Any) -> str:
    return reverse(f"evaluation:{name}", kwargs={"workspace": "harbour", **kwargs})


def test_figures_and_rows_of_a_reader_agree(measured: Any, reader_version: Any) -> None:
    row = measured(reader_version())

    rows = list(ExampleResult.objects.filter(evaluation=row).order_by("example_id"))
    assert (row.row_count, len(rows)) == (60, 60)
    assert row.metrics["answerable"]["rows"] == 50 and row.metrics["without_answer"]["rows"] == 10
    gold = [[each.gold_text] if each.gold_text else [] for each in rows]
    wanted = [
        (answer_f1(each.predicted_text, one), exact_match(each.predicted_text, one))
        for each, one in zip(rows, gold, strict=True)
    ]
    assert [(each.f1, each.correct) for each in rows] == wanted
    assert row.headline["f1"]["value"] == pytest.approx(np.mean([f1 for f1, _ in wanted]))
    assert row.headline["exact_match"]["value"] == pytest.approx(np.mean([exact for _, exact in wanted]))


def test_two_readers_are_tested_on_the_same_questions(pair: Comparison) -> None:
    difference = pair.second.headline["f1"]["value"] - pair.first.headline["f1"]["value"]

    assert pair.figures["f1"]["difference"] == pytest.approx(difference)
    rights = [dict(side.rows.values_list("example_id", "correct")) for side in (pair.first, pair.second)]
    only_second = sum(right and not rights[0][number] for number, right in rights[1].items())
    assert pair.figures["mcnemar"]["only_second"] == only_second


def test_the_paired_test_sees_a_steady_difference_and_none_where_there_is_none() -> None:
    f1 = np.random.default_rng(1).uniform(0, 0.5, 60)
    wrong, right = np.zeros(60, dtype=bool), np.arange(60) % 3 == 0

    better = compare_answers((f1, wrong), (f1 + 0.2, right))
    same = compare_answers((f1, wrong), (f1, wrong))

    assert better["f1"]["low"] > 0.19 and better["mcnemar"]["exact_p"] < 0.001
    assert same["f1"]["difference"] == 0 and same["mcnemar"]["exact_p"] == 1.0


def test_pages_and_api_show_questions_and_answers(
    pair: Comparison, page: Any, alice: Any, api: Any, actor: Any
) -> None:
    browser, client = page(alice), api(actor)

    shown = browser.get(url("detail", pk=pair.first_id)).content.decode()
    compared = browser.get(url("comparison", pk=pair.pk)).content.decode()
    rows = client.get(f"/api/v1/evaluations/{pair.first_id}/results?order=unsure").json()["results"]
    table = b"".join(client.get(f"/api/v1/evaluations/{pair.first_id}/results.csv").streaming_content).decode()

    assert "F1 of the words" in shown and "Nothing said where nothing is" in shown
    assert "&lt;i&gt;" in shown and "<i>" not in shown.split('id="results"')[1].split("</table>")[0]
    assert "F1 of the words, second minus first" in compared
    assert all(0 <= row["f1"] <= 1 for row in rows)
    assert table.splitlines()[0] == "example_id,text,gold_text,predicted_text,f1,probability,loss,correct"

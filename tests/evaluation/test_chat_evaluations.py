"""Chat versions measured on chats: figures, rows, comparison, pages and API."""

import csv
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.urls import reverse

from apps.datasets.models import DatasetVersion
from apps.evaluation import services
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.selectors import flips, other_side
from apps.evaluation.templatetags.evaluation import p_value
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused
from engine.paired import ChatSide, compare_chats
from tests.fixtures.jobs import in_process
from workers.loop import run_next

Version = Callable[..., ModelVersion]
Page = Callable[[Any], Any]
Api = Callable[[Actor], Any]


@pytest.fixture
def measured(actor: Actor, chat_data: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvaluationJob]:
    """Evaluates a chat version on the test split with the real engine, by default in this process."""

    def run(version: ModelVersion, *, in_child: bool = False) -> EvaluationJob:
        if not in_child:
            monkeypatch.setattr("workers.evaluation.run_engine", in_process)
        made = services.start_evaluation(
            actor=actor, model_version=version, dataset_version=chat_data, max_new_tokens=6
        )
        assert run_next("infer") == made.job.pk
        found = EvaluationJob.objects.select_related("job", "model_version__family").get(pk=made.pk)
        assert found.job.state == "succeeded", found.job.error_message
        return found

    return run


@pytest.fixture
def pair(actor: Actor, measured: Callable[..., EvaluationJob], chat_version: Version) -> Comparison:
    """Two versions measured on the same chats and compared."""
    first, second = measured(chat_version("own", 1)), measured(chat_version("own", 2))
    made = services.start_comparison(actor=actor, first=first, second=second)
    run_next("io")
    return Comparison.objects.select_related("job", "first__model_version").get(pk=made.pk)


def url(name: str, /, **kwargs: Any) -> str:
    return reverse(f"evaluation:{name}", kwargs={"workspace": "harbour", **kwargs})


def test_figures_and_rows_of_a_chat_version_agree(
    measured: Callable[..., EvaluationJob], chat_version: Version
) -> None:
    row = measured(chat_version(), in_child=True)

    rows = list(ExampleResult.objects.filter(evaluation=row).order_by("example_id"))
    tokens = sum(each.answer_tokens or 0 for each in rows)
    assert (row.row_count, len(rows), row.metrics["left_out"]) == (19, 19, 1)
    loss = sum(each.loss * (each.answer_tokens or 0) for each in rows) / tokens
    assert row.headline["loss"]["value"] == pytest.approx(loss)
    assert row.headline["perplexity"]["value"] == pytest.approx(math.exp(loss))
    assert row.headline["exact_match"]["value"] == sum(each.correct for each in rows) / 19
    assert {each.gold_text for each in rows} == {f"look at the map {at}" for at in range(30) if at % 3 and at != 4}
    assert all(each.text.startswith("where is") and not each.gold and not each.predicted for each in rows)
    assert all(each.predicted_text for each in rows[:3])


def test_two_chat_versions_are_tested_on_the_loss_of_each_chat(pair: Comparison) -> None:
    figures, first, second = pair.figures, pair.first, pair.second

    assert pair.job.state == "succeeded", pair.job.error_message
    losses = [
        np.array(ExampleResult.objects.filter(evaluation=side).order_by("example_id").values_list("loss", flat=True))
        for side in (first, second)
    ]
    assert (figures["unit"], figures["rows"]) == ("token", 19)
    assert figures["loss"]["difference"] == pytest.approx(float((losses[1] - losses[0]).mean()))
    assert figures["wilcoxon"]["first_lower"] == int((losses[0] < losses[1]).sum())
    likelier = flips(pair, "first_likelier")
    assert likelier.count() == figures["wilcoxon"]["first_lower"]
    assert all(one.loss < two.loss for one, two in other_side(pair, list(likelier)))


def test_versions_with_other_vocabularies_are_compared_by_whole_answers(
    actor: Actor, measured: Callable[..., EvaluationJob], chat_version: Version
) -> None:
    first, second = measured(chat_version("own")), measured(chat_version("gpt2"))
    made = services.start_comparison(actor=actor, first=first, second=second)
    run_next("io")

    made.refresh_from_db()
    totals = [
        sum(row.loss * (row.answer_tokens or 0) for row in ExampleResult.objects.filter(evaluation=side)) / 19
        for side in (first, second)
    ]
    assert made.figures["unit"] == "answer"
    assert made.figures["loss"]["difference"] == pytest.approx(totals[1] - totals[0])


def test_the_paired_test_sees_a_small_steady_difference_and_none_where_there_is_none() -> None:
    losses = np.random.default_rng(1).uniform(1, 5, 60)
    tokens, exact = np.full(60, 7), np.zeros(60, dtype=bool)
    noise = np.random.default_rng(2).normal(0, 0.05, 60)

    better = compare_chats(ChatSide(losses, tokens, exact), ChatSide(losses - 0.05 + noise, tokens, exact))
    same = compare_chats(ChatSide(losses, tokens, exact), ChatSide(losses, tokens, exact))

    assert better["wilcoxon"]["p"] < 0.001 and better["loss"]["high"] < 0
    assert same["wilcoxon"]["p"] == 1.0 and same["loss"]["difference"] == 0


@pytest.mark.parametrize(("kind", "task"), [("chat", "classification"), ("classification", "generation")])
def test_a_version_and_data_that_do_not_fit_are_refused_by_name(
    actor: Actor,
    version: Version,
    chat_version: Version,
    data: DatasetVersion,
    chat_data: DatasetVersion,
    kind: str,
    task: str,
) -> None:
    given = {
        "model_version": version() if task == "classification" else chat_version(),
        "dataset_version": chat_data if kind == "chat" else data,
    }

    with pytest.raises(Refused, match="is measured on data of the kind") as refused:
        services.start_evaluation(actor=actor, **given)

    assert (refused.value.code, refused.value.problems[0].field) == ("wrong_kind", "dataset_version")
    with pytest.raises(Refused) as length:
        services.start_evaluation(
            actor=actor, model_version=chat_version(), dataset_version=chat_data, max_new_tokens=0
        )
    assert length.value.code == "bad_length"


def test_pages_show_answers_as_text_to_the_team_only(pair: Comparison, page: Page, bob: Any, charlie: Any) -> None:
    versions = f"?first={pair.first.model_version_id}&second={pair.second.model_version_id}"
    addresses = [
        url("list"),
        url("detail", pk=pair.first_id),
        url("results", pk=pair.first_id) + "?order=likely&answer=a",
        url("comparison", pk=pair.pk),
        url("comparison", pk=pair.pk) + "?flips=first_likelier",
        url("compare_versions") + versions,
    ]
    browser = page(bob)
    shown = {address: browser.get(address).content.decode() for address in addresses}

    assert "Perplexity" in shown[url("list")]
    detail = shown[url("detail", pk=pair.first_id)]
    assert "&lt;b&gt;" in detail and "<b>1</b>" not in detail and "look at the map" in detail
    assert "Wilcoxon" in shown[url("comparison", pk=pair.pk)]
    stranger = page(charlie)
    assert {stranger.get(address).status_code for address in addresses} == {404}


def test_data_for_two_versions_are_those_they_can_be_measured_on(
    pair: Comparison, data: DatasetVersion, chat_data: DatasetVersion, page: Page, bob: Any
) -> None:
    address = url("compare_versions") + f"?first={pair.first.model_version_id}&second={pair.second.model_version_id}"

    form = page(bob).get(address).context["form"]

    assert list(form.fields["dataset_version"].queryset) == [chat_data]


def test_evaluating_a_chat_version_by_api(
    chat_version: Version,
    chat_data: DatasetVersion,
    api: Api,
    actor: Actor,
    stranger: Actor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.evaluation.run_engine", in_process)
    client, version = api(actor), chat_version()
    body = {"model_version": str(version.pk), "dataset_version": chat_data.pk, "max_new_tokens": 4}

    made = client.post("/api/v1/evaluations", body)
    run_next("infer")

    address = f"/api/v1/evaluations/{made.json()['id']}"
    assert made.status_code == 202, made.json()
    assert client.get(address).json()["metrics"]["max_new_tokens"] == 4
    rows = client.get(f"{address}/results?order=loss&limit=5").json()["results"]
    assert [row["loss"] for row in rows] == sorted((row["loss"] for row in rows), reverse=True)
    assert all(row["gold_text"].startswith("look") for row in rows)
    table = b"".join(client.get(f"{address}/results.csv")).decode()
    assert len(list(csv.DictReader(io.StringIO(table)))) == 19
    assert "predicted_text" in table.splitlines()[0]
    assert api(stranger).get(address).status_code == 404


def test_a_tiny_p_value_is_never_shown_as_zero() -> None:
    shown = [p_value(value).replace("\N{NO-BREAK SPACE}", " ") for value in (1e-9, 0.03214, 1.0)]
    assert shown == ["p < 0.0001", "p = 0.0321", "p = 1.0000"]

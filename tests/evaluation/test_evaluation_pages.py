"""Pages and endpoints of the evaluation room for owner, teammate and stranger."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from apps.accounts.models import Membership
from apps.datasets.models import DatasetVersion
from apps.evaluation.models import Comparison, EvaluationJob
from apps.evaluation.services import start_comparison
from apps.evaluation.templatetags.evaluation import confusion_chart
from apps.registry.models import ModelVersion
from core.access import Actor
from workers.loop import run_next

Version = Callable[..., ModelVersion]
Evaluated = Callable[..., EvaluationJob]
Page = Callable[[Any], Any]
Api = Callable[[Actor], Any]


def url(name: str, /, **kwargs: Any) -> str:
    return reverse(f"evaluation:{name}", kwargs={"workspace": "harbour", **kwargs})


@pytest.fixture
def pair(actor: Actor, evaluated: Evaluated, version: Version) -> Comparison:
    """Two finished evaluations and their finished comparison."""
    made = start_comparison(actor=actor, first=evaluated(version(1)), second=evaluated(version(2)))
    run_next("io")
    return Comparison.objects.get(pk=made.pk)


def test_every_page_is_there_for_the_team_and_not_for_strangers(
    pair: Comparison, page: Page, bob: Any, charlie: Any
) -> None:
    versions = f"?first={pair.first.model_version_id}&second={pair.second.model_version_id}"
    addresses = [
        url("list"),
        url("new"),
        url("detail", pk=pair.first_id),
        url("results", pk=pair.first_id),
        url("comparison", pk=pair.pk),
        url("compare_versions") + versions,
        url("download", pk=pair.first_id, form="csv"),
    ]
    browser = page(bob)
    for address in addresses:
        assert browser.get(address).status_code == 200, address
    Membership.objects.filter(user=bob).update(role="viewer")
    assert page(bob).get(url("new")).status_code == 403
    assert page(bob).post(url("delete", pk=pair.first_id)).status_code == 403
    stranger = page(charlie)
    for address in addresses:
        assert stranger.get(address).status_code == 404, address
        own = stranger.get(address.replace("harbour", "elsewhere"))
        assert own.status_code == (200 if address in {url("list"), url("new")} else 404), address


def test_starting_an_evaluation_by_page(version: Version, data: DatasetVersion, page: Page, bob: Any) -> None:
    browser, made = page(bob), version()
    form = {"model_version": made.pk, "dataset_version": data.pk, "split": "dev"}

    refused = browser.post(url("new"), form)
    done = browser.post(url("new"), {**form, "split": "test"})

    assert refused.status_code == 422
    assert "no rows in the split dev" in refused.content.decode()
    assert done.status_code == 302
    row = EvaluationJob.objects.get()
    assert done["Location"] == url("detail", pk=row.pk)
    assert row.job.page == f"evaluations/{row.pk}"


def test_the_table_of_examples_is_filtered_ordered_and_escaped(pair: Comparison, page: Page, alice: Any) -> None:
    browser = page(alice)
    address = url("results", pk=pair.first_id)

    wrong = browser.get(address, {"correct": "false"}).context["page"].rows
    card = browser.get(address, {"gold": "card", "order": "unsure"}).context["page"].rows
    text = browser.get(address, {"text": "<b>7</b>"})

    assert wrong and not any(row.correct for row in wrong)
    assert {tuple(row.gold) for row in card} == {("card",)}
    assert [row.probability for row in card] == sorted(row.probability for row in card)
    assert "&lt;b&gt;7&lt;/b&gt;" in text.content.decode()
    assert browser.get(address, {"before": "x"}).status_code == 404


def test_pages_of_examples_are_walked_without_gap_or_repeat(pair: Comparison, api: Api, actor: Actor) -> None:
    client = api(actor)
    address = f"/api/v1/evaluations/{pair.first_id}/results"
    for order in ("rank", "loss", "unsure"):
        seen, query = [], "limit=7"
        while query:
            answer = client.get(f"{address}?order={order}&limit=7&{query}").json()
            seen += [row["example_id"] for row in answer["results"]]
            query = answer["next"]
        assert len(seen) == len(set(seen)) == 40
    first = client.get(f"{address}?limit=7").json()
    second = client.get(f"{address}?limit=7&{first['next']}").json()
    back = client.get(f"{address}?limit=7&{second['previous']}").json()
    assert back["results"] == first["results"]
    assert client.get(f"{address}?limit=0").json()["code"] == "bad_limit"


def test_rows_come_out_as_csv_and_json_lines(pair: Comparison, page: Page, alice: Any) -> None:
    browser = page(alice)

    table = b"".join(browser.get(url("download", pk=pair.first_id, form="csv"))).decode()
    lines = b"".join(browser.get(url("download", pk=pair.first_id, form="jsonl"))).decode().splitlines()

    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == len(lines) == 40
    assert {json.loads(line)["text"] for line in lines} == {row["text"] for row in rows}
    assert browser.get(url("download", pk=pair.first_id, form="exe")).status_code == 404


def test_the_number_of_queries_does_not_grow(
    pair: Comparison, evaluated: Evaluated, page: Page, alice: Any, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        evaluated(pair.first.model_version)
    browser = page(alice)
    browser.get(url("list"))

    with django_assert_max_num_queries(10):
        browser.get(url("list"))
    with django_assert_max_num_queries(12):
        browser.get(url("detail", pk=pair.first_id))
    with django_assert_max_num_queries(12):
        browser.get(url("comparison", pk=pair.pk))


def test_evaluating_and_comparing_by_api(
    version: Version, data: DatasetVersion, api: Api, actor: Actor, evaluated: Evaluated
) -> None:
    client = api(actor)
    evaluated(version(name="other"))
    version(1), version(2)
    ids = []
    for reference in ("intents:1", "intents:2"):
        made = client.post("/api/v1/evaluations", {"model_version": reference, "dataset_version": data.pk})
        assert made.status_code == 202, made.json()
        run_next("infer")
        ids.append(made.json()["id"])
    compared = client.post("/api/v1/comparisons", {"first": ids[0], "second": ids[1]})
    run_next("io")

    detail = client.get(f"/api/v1/comparisons/{compared.json()['id']}").json()
    flipped = client.get(f"/api/v1/comparisons/{detail['id']}/flips?which=first_only").json()["results"]
    assert detail["job"]["state"] == "succeeded"
    assert len(flipped) == detail["figures"]["mcnemar"]["only_first"]
    assert client.get(f"/api/v1/evaluations/{ids[0]}").json()["metrics"]["rows"] == 40
    assert client.get("/api/v1/evaluations?state=succeeded&split=test").json()["results"][0]["id"] == ids[1]
    wrong = client.post("/api/v1/evaluations", {"model_version": "nobody", "dataset_version": 999})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "unknown_model_version")


def test_strangers_find_nothing_by_api(pair: Comparison, data: DatasetVersion, api: Api, stranger: Actor) -> None:
    client = api(stranger)

    for method, address in [
        ("get", f"/api/v1/evaluations/{pair.first_id}"),
        ("delete", f"/api/v1/evaluations/{pair.first_id}"),
        ("get", f"/api/v1/evaluations/{pair.first_id}/results"),
        ("get", f"/api/v1/evaluations/{pair.first_id}/results.csv"),
        ("get", f"/api/v1/comparisons/{pair.pk}"),
        ("get", f"/api/v1/comparisons/{pair.pk}/flips"),
    ]:
        assert getattr(client, method)(address).status_code == 404, address
    body = {"first": pair.first_id, "second": pair.second_id}
    assert client.post("/api/v1/comparisons", body).status_code == 404
    body = {"model_version": str(pair.first.model_version_id), "dataset_version": data.pk}
    assert client.post("/api/v1/evaluations", body).status_code == 422


def test_with_many_labels_the_chart_shows_those_that_are_confused() -> None:
    labels = [f"label {at}" for at in range(77)]
    cells = [[at, at, 30] for at in range(77)] + [[70, 71, 9], [3, 70, 5]]

    chart = confusion_chart({"confusion": {"labels": labels, "cells": cells, "matrix": None}})

    assert chart is not None
    assert len(chart["rows"]) == 40
    assert {"label 70", "label 71", "label 3"} <= set(chart["rows"])
    assert chart["left_out"] == 37


def test_the_report_stands_alone_and_survives_missing_figures() -> None:
    text = render_to_string("evaluation/_classification_report.html", {"metrics": {"rows": 3, "headline": {}}})

    assert "Rows" in text

"""Taggers measured on marked texts: figures, rows, comparison, pages and API."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from apps.evaluation import services
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from core.errors import Refused
from core.templatetags.lingxi import around, marked
from engine.paired import compare_spans
from engine.spans import Span
from tests.fixtures.jobs import in_process
from workers.loop import run_next


@pytest.fixture
def measured(actor: Any, span_data: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], EvaluationJob]:
    """Evaluates a tagger on the test split with the real engine in this process."""
    monkeypatch.setattr("workers.evaluation.run_engine", in_process)

    def run(version: Any) -> EvaluationJob:
        made = services.start_evaluation(actor=actor, model_version=version, dataset_version=span_data)
        assert run_next("infer") == made.job.pk
        found = EvaluationJob.objects.select_related("job", "model_version__family").get(pk=made.pk)
        assert found.job.state == "succeeded", found.job.error_message
        return found

    return run


@pytest.fixture
def pair(actor: Any, measured: Callable[[Any], EvaluationJob], tagger_version: Callable[..., Any]) -> Comparison:
    """Two taggers measured on the same texts and compared."""
    first, second = measured(tagger_version(1)), measured(tagger_version(2))
    made = services.start_comparison(actor=actor, first=first, second=second)
    run_next("io")
    return Comparison.objects.select_related("job", "first__model_version").get(pk=made.pk)


def url(name: str, /, **kwargs: Any) -> str:
    return reverse(f"evaluation:{name}", kwargs={"workspace": "harbour", **kwargs})


def spans(rows: list[dict[str, Any]]) -> set[tuple[int, int, str]]:
    return {(row["start"], row["end"], row["label"]) for row in rows}


def test_figures_and_rows_of_a_tagger_agree(measured: Any, tagger_version: Any, span_data: Any) -> None:
    row = measured(tagger_version())

    rows = list(ExampleResult.objects.filter(evaluation=row).order_by("example_id"))
    gold, said = ([spans(getattr(each, f"{side}_spans")) for each in rows] for side in ("gold", "predicted"))
    hits = sum(len(one & other) for one, other in zip(gold, said, strict=True))
    total = sum(len(one) for one in [*gold, *said])
    assert (row.row_count, len(rows), row.metrics["entities"]) == (18, 18, sum(map(len, gold)))
    assert row.headline["entity_f1"]["value"] == pytest.approx(2 * hits / total)
    assert all(each.correct == (one == other) for each, one, other in zip(rows, gold, said, strict=True))
    assert all(each.gold == sorted({span["label"] for span in each.gold_spans}) for each in rows)
    wrong = row.metrics["errors"]
    missed = sum(map(len, gold)) - hits
    assert wrong["missing"] + wrong["boundary"] + wrong["label"] + wrong["label_and_boundary"] == missed


def test_two_taggers_are_tested_on_the_same_texts(pair: Comparison) -> None:
    figures = pair.figures

    difference = pair.second.headline["entity_f1"]["value"] - pair.first.headline["entity_f1"]["value"]
    assert figures["entity_f1"]["difference"] == pytest.approx(difference)
    assert figures["entity_f1"]["low"] <= figures["entity_f1"]["difference"] <= figures["entity_f1"]["high"]
    rights = [dict(side.rows.values_list("example_id", "correct")) for side in (pair.first, pair.second)]
    only_first = sum(right and not rights[1][number] for number, right in rights[0].items())
    assert figures["mcnemar"]["only_first"] == only_first


def test_the_paired_test_sees_a_steady_difference_and_none_where_there_is_none() -> None:
    gold = [[Span(0, 4, "city"), Span(5, 9, "name")] for _ in range(60)]
    worse = [spans if at % 3 else spans[:1] for at, spans in enumerate(gold)]

    better = compare_spans(gold, worse, gold)
    same = compare_spans(gold, worse, worse)

    assert better["entity_f1"]["low"] > 0 and better["entity_f1"]["p"] < 0.01
    assert better["precision"]["difference"] == 0 and better["recall"]["difference"] == pytest.approx(1 / 6)
    assert same["entity_f1"] == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}


def test_pages_show_marked_texts_and_the_report(pair: Comparison, page: Any, alice: Any) -> None:
    browser = page(alice)

    shown = browser.get(url("detail", pk=pair.first_id)).content.decode()
    compared = browser.get(url("comparison", pk=pair.pk)).content.decode()
    flipped = browser.get(url("comparison", pk=pair.pk) + "?flips=both_wrong").content.decode()

    assert "Entity F1" in shown and "processed " in shown and 'class="lx-span"' in shown
    assert "&lt;b&gt;" in shown and "<b>" not in shown.split('id="results"')[1].split("</table>")[0]
    assert "Entity F1, second minus first" in compared and 'class="lx-span"' in flipped


def test_rows_are_filtered_by_label_and_downloaded_with_offsets(pair: Comparison, api: Any, actor: Any) -> None:
    client, base = api(actor), f"/api/v1/evaluations/{pair.first_id}"

    named = client.get(f"{base}/results?gold=name").json()["results"]
    flips = client.get(f"/api/v1/comparisons/{pair.pk}/flips?which=both_wrong").json()["results"]
    table = b"".join(client.get(f"{base}/results.csv").streaming_content).decode()

    assert len(named) == 9 and all(row["gold"] == ["city", "name"] for row in named)
    assert all(set(row) >= {"gold_spans", "first_spans", "second_spans"} for row in flips)
    row = next(csv.DictReader(io.StringIO(table)))
    assert {"start", "end", "label"} == set(json.loads(row["gold_spans"])[0])


def test_a_tagger_is_not_measured_on_labelled_texts(actor: Any, tagger_version: Any, chat_data: Any) -> None:
    with pytest.raises(Refused, match="is measured on data of the kind") as refused:
        services.start_evaluation(actor=actor, model_version=tagger_version(), dataset_version=chat_data)

    assert refused.value.code == "wrong_kind"


def test_marks_are_escaped_clipped_and_do_not_repeat_a_character() -> None:
    text = "<i>Lena</i> in Oslo " + "x" * 600
    found = [
        {"start": 3, "end": 7, "label": "<name>"},
        {"start": 5, "end": 9, "label": "city"},
        {"start": 590, "end": 610, "label": "long"},
        {"start": 612, "end": 615, "label": "late"},
    ]

    shown = str(marked(text, found))

    assert shown.startswith("&lt;i&gt;<mark") and "<span>&lt;name&gt;</span></mark>&lt;/i&gt; in Oslo" in shown
    assert "city" not in shown and "late" not in shown and shown.endswith("<span>long</span></mark>…")
    assert str(marked("a & b", None)) == "a &amp; b"


def test_a_span_is_shown_with_what_stands_around_it() -> None:
    text = f"{'a' * 200}<b>{'z' * 200}"

    shown = str(around(text, {"start": 200, "end": 203}))

    assert shown == f"…{'a' * 160}<mark>&lt;b&gt;</mark>{'z' * 160}…"
    assert str(around("at nine", {"start": 3, "end": 7})) == "at <mark>nine</mark>"


def test_the_report_stands_alone(measured: Any, tagger_version: Any) -> None:
    row = measured(tagger_version())

    alone = render_to_string("evaluation/_span_report.html", {"metrics": row.metrics})

    assert "Entity F1" in alone and "By label" in alone and "Report in the form of CoNLL" in alone

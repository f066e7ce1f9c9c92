"""Rankers trained by a job, and used: form, curves, figures, samples, card, evaluation, comparison, batches and API."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.evaluation.models import Comparison, ExampleResult
from apps.inference import services as inference
from apps.inference.models import OnlineRequest, OnlineState, Prediction
from apps.registry.models import VersionExport
from apps.registry.selectors import version_folder
from apps.registry.services import start_export, start_import
from core.jobs.states import State
from core.storage import home
from engine.ranker import chances
from engine.ranker_folder import open_ranker
from workers.generation import Models, answer_next
from workers.loop import run_next

pytestmark = pytest.mark.usefixtures("no_beats")
Version = Callable[..., Any]
QUERY = "where is my card"
TEXTS = ["the loan", "我的卡 is lost", "my card is back", "<b>"]


def scores_of(version: Any, pairs: list[tuple[str, str]]) -> Any:
    return chances(open_ranker(version_folder(version)).score(pairs))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["pairs", "classification"])
def test_a_run_registers_a_ranker_with_figures_curves_and_both_orders(
    trained: Any, pair_data: Any, frozen: Any, tiny_embedder: Any, page: Any, alice: Any, kind: str
) -> None:
    data = pair_data if kind == "pairs" else frozen
    spec = {
        "base_model": {"kind": "folder", "name": str(tiny_embedder())},
        "epochs": 2,
        "batch_size": 8,
        "max_length_tokens": 24,
        "negatives": 2,
        "candidates": 10,
    }

    done = trained("rerank", spec, data)

    version = done.model_version
    assert version is not None and (version.task, version.labels) == ("reranking", [])
    assert {"train_loss", "dev_loss", "dev_mrr", "dev_mrr_gain"} <= set(done.points.values_list("name", flat=True))
    assert {"mrr", "first_mrr", "mrr_gain", "first_recall"} <= set(version.headline)
    assert {"found_at", "first_at", "candidates", "gold_text"} <= set(version.samples[0])
    card = version.card_revisions.get().generated
    assert "MRR@10 gained on the search" in card and "Recall of the search" in card
    browser = page(alice)
    shown = browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()
    assert "Place before" in shown and "Gained on the search" in shown and "Re-ranking" in shown
    assert "<i>" not in shown.split("Place before")[1].split("</table>")[0]
    run = browser.get(f"/w/harbour/training/{done.pk}").content.decode()
    assert "Dev MRR@10 gained on the search" in run and "What the model sees" in run
    assert "MRR@10" in browser.get("/w/harbour/models/").content.decode()


@pytest.mark.django_db
def test_the_form_offers_pairs_labelled_texts_and_versions_that_make_vectors(
    pair_data: Any, frozen: Any, embedder_version: Version, ranker_version: Version, page: Any, alice: Any
) -> None:
    embedder_version()
    ranker_version()

    shown = page(alice).get("/w/harbour/training/new?recipe=rerank").content.decode()

    assert "Frequent v1" in shown and "Questions v1" in shown
    assert "Where negatives come from" in shown and "Most alike by words (BM25)" in shown
    assert "vectors v1" in shown and "ranker v1" in shown


@pytest.fixture
def pair(pair_data: Any, ranker_version: Version, compared: Any) -> Comparison:
    """Two versions measured on the same queries and compared."""
    found: Comparison = compared(ranker_version(1), ranker_version(2), pair_data)
    return found


@pytest.mark.django_db
def test_figures_are_those_of_the_rows_and_versions_are_compared_query_by_query(
    pair: Comparison, page: Any, alice: Any, api: Any, actor: Any
) -> None:
    rows = {
        side.pk: ExampleResult.objects.filter(evaluation=side).order_by("example_id")
        for side in (pair.first, pair.second)
    }
    places = [np.array(found.values_list("found_at", flat=True)) for found in rows.values()]
    before = [np.array(found.values_list("first_at", flat=True)) for found in rows.values()]
    after, first = (np.where(side <= 10, 1 / side, 0.0).mean() for side in (places[0], before[0]))

    assert (before[0] == before[1]).all()  # the search is the same, whoever re-ranks
    assert pair.first.headline["mrr"]["value"] == pytest.approx(after)
    assert pair.first.headline["first_mrr"]["value"] == pytest.approx(first)
    assert pair.first.headline["mrr_gain"]["value"] == pytest.approx(after - first)
    assert pair.figures["mcnemar"]["only_second"] == int(((places[1] == 1) & (places[0] > 1)).sum())
    browser, client = page(alice), api(actor)
    shown = browser.get(f"/w/harbour/evaluations/{pair.first_id}").content.decode()
    compared = browser.get(f"/w/harbour/evaluations/comparisons/{pair.pk}").content.decode()
    listed = client.get(f"/api/v1/evaluations/{pair.first_id}/results").json()["results"]
    table = b"".join(client.get(f"/api/v1/evaluations/{pair.first_id}/results.jsonl").streaming_content).decode()
    assert "Place before" in shown and "the ceiling" in shown and "After re-ranking" in shown
    assert "&lt;b&gt;" in shown and "<b>" not in shown.split('id="results"')[1].split("</table>")[0]
    assert "MRR@10, second minus first" in compared
    assert all(row["first_at"] >= 1 and row["candidates"][0]["text"] == row["predicted_text"] for row in listed)
    assert json.loads(table.splitlines()[0])["first_at"] >= 1


@pytest.mark.django_db
def test_a_suite_may_ask_for_what_is_gained_on_the_search(pair: Comparison, page: Any, alice: Any) -> None:
    from apps.evaluation.selectors import figures_known

    known = figures_known(pair.workspace_id, "reranking")

    assert {"mrr", "mrr_gain", "first_recall"} <= set(known)
    assert "Re-ranking" in page(alice).get("/w/harbour/evaluations/suites/new").content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("source", ["file", "version", "texts"])
def test_pairs_are_scored_in_a_batch(
    actor: Any, ranker_version: Version, pair_data: Any, api: Any, page: Any, alice: Any, source: str
) -> None:
    version, client = ranker_version(), api(actor)
    if source == "file":
        lines = "".join(f"{QUERY},{text}\n" for text in TEXTS)
        upload = SimpleUploadedFile("pairs.csv", f"query,target\n{lines}".encode())
        batch_job = inference.predict_upload(actor=actor, version=version, upload=upload)
    elif source == "version":
        batch_job = inference.predict_version(actor=actor, version=version, data=pair_data, split="test")
    else:
        items = [{"id": str(at), "text": QUERY, "context": text} for at, text in enumerate(TEXTS)]
        batch_job = inference.predict_texts(actor=actor, version=version, items=items)

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    rows = list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))
    assert len(rows) == (12 if source == "version" else 4)
    wanted = scores_of(version, [(row.text, row.context) for row in rows])
    assert [row.probability for row in rows] == pytest.approx(wanted.tolist(), abs=1e-6)
    address = f"/api/v1/predictions/{batch_job.pk}"
    cells = b"".join(client.get(f"{address}/export?file_format=csv").streaming_content).decode()
    assert cells.splitlines()[0].startswith("position,id,text,context,score,")
    table = b"".join(client.get(f"{address}/export?file_format=jsonl").streaming_content).decode()
    assert [json.loads(line)["score"] for line in table.splitlines()] == pytest.approx(wanted.tolist(), abs=1e-6)
    found = client.get(f"{address}/rows?max_probability={sorted(wanted)[1]}").json()["results"]
    assert 1 <= len(found) < len(rows)
    shown = page(alice).get(f"/w/harbour/predictions/{batch_job.pk}").content.decode()
    assert "Score at most" in shown and "<b>" not in shown.split("<tbody>")[-1]


@pytest.mark.django_db
def test_texts_are_ranked_at_once_by_the_api_and_on_the_page(
    actor: Any, stranger: Any, ranker_version: Version, embedder_version: Version, api: Any, page: Any, alice: Any
) -> None:
    version, client = ranker_version(), api(actor)
    embedder_version()
    scores = scores_of(version, [(QUERY, text) for text in TEXTS])
    order = np.argsort(-scores, kind="stable").tolist()
    assert len(set(scores.round(4).tolist())) == 4
    asked = client.post("/api/v1/rank", {"model": "ranker", "query": QUERY, "texts": TEXTS})
    assert asked.status_code == 202, asked.json()
    assert answer_next(Models())

    address = f"/api/v1/rank/{asked.json()['id']}"
    found = client.get(address).json()
    assert found["state"] == OnlineState.DONE and found["texts"] == [QUERY, *TEXTS]
    assert [row["index"] for row in found["results"]] == order
    assert [row["score"] for row in found["results"]] == pytest.approx(scores[order].tolist(), abs=1e-6)
    assert api(stranger).get(address).status_code == 404
    refused = {
        "wrong_task": {"model": "vectors", "query": QUERY, "texts": TEXTS},
        "empty": {"model": "ranker", "query": " \t", "texts": TEXTS},
    }
    for code, values in refused.items():
        assert client.post("/api/v1/rank", values).json()["code"] == code
    many = client.post("/api/v1/rank", {"model": "ranker", "query": QUERY, "texts": ["a"] * 101})
    assert many.status_code == 422
    assert client.post("/api/v1/embed", {"model": "ranker", "texts": ["a"]}).json()["code"] == "wrong_task"

    browser = page(alice)
    box = browser.get(f"/w/harbour/predictions/try/{version.pk}").content.decode()
    assert "Texts to bring into order" in box and "Rank now" in box
    browser.post(f"/w/harbour/predictions/try/{version.pk}", {"query": QUERY, "candidates": "\n\n".join(TEXTS)})
    assert answer_next(Models())
    request = OnlineRequest.objects.latest("pk")
    answer = browser.get(f"/w/harbour/predictions/asked/{request.pk}").content.decode()
    body = answer.split("<tbody>")[1]
    places = [body.index(TEXTS[at].replace("<b>", "&lt;b&gt;")) for at in order]
    assert "<b>" not in answer and places == sorted(places)
    too_many = browser.post(f"/w/harbour/predictions/try/{version.pk}", {"query": QUERY, "candidates": "a\n" * 101})
    assert "Send 1 to 100 texts." in too_many.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["full", "lora", "bottleneck"])
def test_exports_give_the_scores_that_are_served(ranker_version: Version, method: str, exports_that_pass: Any) -> None:
    wanted = {"full": ["merged", "onnx"], "lora": ["adapter", "merged", "onnx"], "bottleneck": ["adapter"]}

    assert exports_that_pass(ranker_version(method=method)) == wanted[method]


@pytest.mark.django_db
@pytest.mark.parametrize("described", [True, False])
def test_a_ranker_goes_out_and_comes_back_the_same(actor: Any, ranker_version: Version, described: bool) -> None:
    version = ranker_version()
    start_export(actor=actor, version=version)
    run_next("io")
    source = io.BytesIO((home() / VersionExport.objects.get(version=version).path).read_bytes())
    sink = io.BytesIO()
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(sink, "w") as copy:
        for name in archive.namelist():
            if described or name != "lingxi.json":  # without it the folder is one of anybody's cross-encoders
                copy.writestr(name, archive.read(name))

    made = start_import(actor=actor, name="taken in", upload=SimpleUploadedFile("model.zip", sink.getvalue()))
    run_next("infer")

    made.refresh_from_db()
    made.job.refresh_from_db()
    assert made.version is not None, made.job.error_message
    assert made.version.task == "reranking"
    pairs = [(QUERY, text) for text in TEXTS]
    assert scores_of(made.version, pairs) == pytest.approx(scores_of(version, pairs), abs=1e-5)

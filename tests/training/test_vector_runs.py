"""Vectors trained by a job, and used: form, curves, figures, samples, card, evaluation, comparison, batches and API."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.remembering import remembering
from apps.inference import services as inference
from apps.inference.models import OnlineRequest, OnlineState, Prediction
from apps.registry.models import VersionExport
from apps.registry.selectors import version_folder
from apps.registry.services import start_export, start_import
from core.jobs.states import State
from core.storage import home
from engine.embedder_folder import open_embedder
from workers.generation import Models, answer_next
from workers.loop import run_next

pytestmark = pytest.mark.usefixtures("no_beats")
Version = Callable[..., Any]
TEXTS = ["where is my card", "the loan", "我的卡 is lost"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["pairs", "classification"])
def test_a_run_registers_vectors_with_figures_curves_and_what_queries_found(
    trained: Any, pair_data: Any, frozen: Any, tiny_embedder: Any, page: Any, alice: Any, kind: str
) -> None:
    data = pair_data if kind == "pairs" else frozen
    spec = {
        "base_model": {"kind": "folder", "name": str(tiny_embedder())},
        "epochs": 2,
        "batch_size": 8,
        "max_length_tokens": 16,
        "learning_rate": 0.01,
    }

    done = trained("embed", spec, data)

    version = done.model_version
    assert version is not None and (version.task, version.labels) == ("embedding", [])
    assert {"train_loss", "dev_loss", "dev_mrr", "dev_recall_at_1"} <= set(done.points.values_list("name", flat=True))
    assert ("centroid_accuracy" in version.headline) == (kind == "classification")
    assert {"found_at", "candidates", "gold_text"} <= set(version.samples[0])
    card = version.card_revisions.get().generated
    assert "MRR@10" in card and "NDCG@10" in card
    browser = page(alice)
    shown = browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()
    assert "Found at rank" in shown and "Where the wanted text was found" in shown and "Text vectors" in shown
    assert "<i>" not in shown.split("Found at rank")[1].split("</table>")[0]
    run = browser.get(f"/w/harbour/training/{done.pk}").content.decode()
    assert "Dev MRR@10" in run and "What the model sees" in run
    assert "MRR@10" in browser.get("/w/harbour/models/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_vectors_that_go_on_rehearse_and_what_they_still_find_is_measured(
    actor: Any,
    trained: Any,
    engine_here: None,
    pair_data: Any,
    frozen: Any,
    tiny_embedder: Any,
    page: Any,
    alice: Any,
    api: Any,
) -> None:
    def learn(data: Any, **options: Any) -> Any:
        return trained("embed", {"epochs": 1, "batch_size": 8, "max_length_tokens": 16, **options}, data).model_version

    first = learn(frozen, base_model={"kind": "folder", "name": str(tiny_embedder())})
    after = learn(pair_data, base_model=f"version:{first.pk}", keep="replay", replay_share=0.5)
    while run_next("infer") is not None:
        pass

    found = remembering(after)
    assert found is not None and found.figures == ["mrr"] and not found.missing
    by_hand = {
        (row.model_version_id, row.dataset_version_id): row.headline["mrr"]["value"]
        for row in EvaluationJob.objects.all()
    }
    assert [[cell.value for cell in row] for row in found.cells] == [
        [by_hand[first.pk, frozen.pk], by_hand[first.pk, pair_data.pk]],
        [by_hand[after.pk, frozen.pk], by_hand[after.pk, pair_data.pk]],
    ]
    lost = by_hand[first.pk, frozen.pk] - by_hand[after.pk, frozen.pk]
    assert found.most_forgotten.value == pytest.approx(lost)
    body = api(actor).get(f"/api/v1/model-versions/{after.pk}/remembering").json()
    assert [row["keep"] for row in body["rows"]] == ["none", "replay"]
    shown = page(alice).get(f"/w/harbour/evaluations/versions/{after.pk}/tasks").content.decode()
    assert "MRR@10" in shown and "replay of 50%" in shown
    assert "What is kept of earlier tasks" in page(alice).get("/w/harbour/training/new?recipe=embed").content.decode()


@pytest.mark.django_db
def test_the_form_offers_pairs_and_labelled_texts(pair_data: Any, frozen: Any, page: Any, alice: Any) -> None:
    shown = page(alice).get("/w/harbour/training/new?recipe=embed").content.decode()

    assert "Frequent v1" in shown and "Questions v1" in shown
    assert "Texts of a class in a batch" in shown and "Both directions" in shown


@pytest.fixture
def pair(pair_data: Any, embedder_version: Version, compared: Any) -> Comparison:
    """Two versions measured on the same queries and compared."""
    found: Comparison = compared(embedder_version(1), embedder_version(2), pair_data)
    return found


@pytest.mark.django_db
def test_figures_are_those_of_the_rows_and_versions_are_compared_query_by_query(
    pair: Comparison, page: Any, alice: Any, api: Any, actor: Any
) -> None:
    places = [
        np.array(
            ExampleResult.objects.filter(evaluation=side).order_by("example_id").values_list("found_at", flat=True)
        )
        for side in (pair.first, pair.second)
    ]
    reciprocal = [np.where(side <= 10, 1 / side, 0.0).mean() for side in places]

    assert pair.first.headline["mrr"]["value"] == pytest.approx(reciprocal[0])
    assert pair.figures["mrr"]["difference"] == pytest.approx(reciprocal[1] - reciprocal[0])
    assert pair.figures["mcnemar"]["only_second"] == int(((places[1] == 1) & (places[0] > 1)).sum())
    browser, client = page(alice), api(actor)
    shown = browser.get(f"/w/harbour/evaluations/{pair.first_id}").content.decode()
    compared = browser.get(f"/w/harbour/evaluations/comparisons/{pair.pk}").content.decode()
    rows = client.get(f"/api/v1/evaluations/{pair.first_id}/results").json()["results"]
    table = b"".join(client.get(f"/api/v1/evaluations/{pair.first_id}/results.jsonl").streaming_content).decode()
    assert "&lt;b&gt;" in shown and "<b>" not in shown.split('id="results"')[1].split("</table>")[0]
    assert "MRR@10, second minus first" in compared and "wanted at" in compared
    assert all(row["found_at"] >= 1 and row["candidates"][0]["text"] == row["predicted_text"] for row in rows)
    assert json.loads(table.splitlines()[0])["found_at"] >= 1


@pytest.mark.django_db
def test_texts_become_vectors_in_a_batch_and_go_out_with_all_their_numbers(
    actor: Any, embedder_version: Version, api: Any, page: Any, alice: Any
) -> None:
    version = embedder_version()
    upload = SimpleUploadedFile("texts.csv", "text\n{}\n".format("\n".join(TEXTS)).encode())
    batch_job = inference.predict_upload(actor=actor, version=version, upload=upload)

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    wanted = open_embedder(version_folder(version)).embed(TEXTS)
    rows = list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))
    assert np.allclose([row.vector for row in rows], wanted, atol=1e-6)
    client = api(actor)
    table = b"".join(client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=jsonl").streaming_content)
    assert np.allclose([json.loads(line)["vector"] for line in table.splitlines()], wanted, atol=1e-6)
    cells = b"".join(client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=csv").streaming_content)
    assert cells.decode().splitlines()[0].startswith("position,id,text,vector,")
    listed = client.get(f"/api/v1/predictions/{batch_job.pk}/rows?text=loan").json()["results"]
    assert [len(row["vector"]) for row in listed] == [16] * len(listed)
    shown = page(alice).get(f"/w/harbour/predictions/{batch_job.pk}").content.decode()
    assert "Beginning of the vector" in shown


@pytest.mark.django_db
def test_vectors_are_given_at_once_and_texts_ordered_on_the_page(
    actor: Any, stranger: Any, embedder_version: Version, api: Any, page: Any, alice: Any
) -> None:
    version, client = embedder_version(), api(actor)
    asked = client.post("/api/v1/embed", {"model": "vectors", "texts": TEXTS})
    assert asked.status_code == 202, asked.json()
    assert answer_next(Models())

    address = f"/api/v1/embed/{asked.json()['id']}"
    found = client.get(address).json()
    vectors = open_embedder(version_folder(version)).embed(TEXTS)
    assert found["state"] == OnlineState.DONE
    assert np.allclose([row["vector"] for row in found["results"]], vectors, atol=1e-6)
    assert api(stranger).get(address).status_code == 404
    assert client.post("/api/v1/classify", {"model": "vectors", "texts": ["a"]}).json()["code"] == "wrong_task"

    browser = page(alice)
    assert "Texts to bring into order" in browser.get(f"/w/harbour/predictions/try/{version.pk}").content.decode()
    browser.post(
        f"/w/harbour/predictions/try/{version.pk}",
        {"query": TEXTS[0], "candidates": f"{TEXTS[1]}\n\n{TEXTS[2]}\n<b>"},
    )
    assert answer_next(Models())
    request = OnlineRequest.objects.latest("pk")
    answer = browser.get(f"/w/harbour/predictions/asked/{request.pk}").content.decode()
    similarity = dict(
        zip(request.texts, open_embedder(version_folder(version)).embed(request.texts) @ vectors[0], strict=True)
    )
    order = sorted(request.texts[1:], key=lambda text: -similarity[text])
    body = answer.split("<tbody>")[1]
    assert "<b>" not in answer
    places = [body.index(text.replace("<b>", "&lt;b&gt;")) for text in order]
    assert places == sorted(places)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["full", "lora", "bottleneck"])
def test_exports_give_the_vectors_that_are_served(
    embedder_version: Version, method: str, exports_that_pass: Any
) -> None:
    wanted = {"full": ["merged", "onnx"], "lora": ["adapter", "merged", "onnx"], "bottleneck": ["adapter"]}

    assert exports_that_pass(embedder_version(method=method)) == wanted[method]


@pytest.mark.django_db
def test_vectors_go_out_and_come_back_the_same(actor: Any, embedder_version: Version) -> None:
    version = embedder_version()
    start_export(actor=actor, version=version)
    run_next("io")
    sink = io.BytesIO((home() / VersionExport.objects.get(version=version).path).read_bytes())
    with zipfile.ZipFile(sink) as archive:
        assert {"modules.json", "1_Pooling/config.json", "model.safetensors"} <= set(archive.namelist())

    made = start_import(actor=actor, name="taken in", upload=SimpleUploadedFile("model.zip", sink.getvalue()))
    run_next("infer")

    made.refresh_from_db()
    made.job.refresh_from_db()
    assert made.version is not None, made.job.error_message
    assert made.version.task == "embedding"
    again = open_embedder(version_folder(made.version))
    assert np.array_equal(again.embed(TEXTS), open_embedder(version_folder(version)).embed(TEXTS))

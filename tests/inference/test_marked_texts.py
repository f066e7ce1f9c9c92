"""Taggers at work: batches keep spans with code-point offsets, single texts are marked at once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.inference import services
from apps.inference.models import OnlineRequest, OnlineState, Prediction
from apps.registry.selectors import version_folder
from core.errors import Refused
from core.jobs.states import State
from engine.tagger_folder import open_tagger
from workers.generation import Models, answer_next
from workers.loop import run_next

Version = Callable[..., Any]
TEXTS = ["My card, Lena 😀 in Oslo", "我在北京", "where is Lena"]


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


def said(version: Any, texts: list[str]) -> list[list[tuple[int, int, str]]]:
    """What the engine itself marks."""
    return [[tuple(span) for span, _ in one.spans] for one in open_tagger(version_folder(version)).mark(texts)]


def as_tuples(spans: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    return [(span["start"], span["end"], span["label"]) for span in spans]


def test_a_file_is_marked_with_offsets_into_the_stored_text(actor: Any, tagger_version: Version, api: Any) -> None:
    version = tagger_version()
    content = "id,text\n" + "".join(f'{at},"{text}"\n' for at, text in enumerate(TEXTS))
    upload = SimpleUploadedFile("texts.csv", content.encode())
    batch_job = services.predict_upload(actor=actor, version=version, upload=upload)

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    rows = list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))
    assert [as_tuples(row.spans) for row in rows] == said(version, TEXTS)
    assert sum(batch_job.label_counts.values()) == sum(len(row.spans) for row in rows) > 0
    assert all(row.labels == sorted({span["label"] for span in row.spans}) for row in rows)
    assert all(0 <= row.probability <= 1 for row in rows)
    client = api(actor)
    lines = b"".join(client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=jsonl").streaming_content)
    assert [as_tuples(json.loads(line)["spans"]) for line in lines.splitlines()] == said(version, TEXTS)
    table = b"".join(client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=csv").streaming_content)
    assert table.decode().splitlines()[0] == "position,id,text,spans,labels,probability,model_version,model_version_id"
    listed = client.get(f"/api/v1/predictions/{batch_job.pk}/rows").json()["results"]
    assert {row["position"]: as_tuples(row["spans"]) for row in listed} == dict(enumerate(said(version, TEXTS)))


def test_the_texts_of_a_marked_dataset_are_marked_anew(actor: Any, tagger_version: Version, span_data: Any) -> None:
    batch_job = services.predict_version(actor=actor, version=tagger_version(), data=span_data, split="test")

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.stored_count == 18, batch_job.job.error_message


def test_data_that_are_no_texts_are_refused(actor: Any, tagger_version: Version, chat_data: Any) -> None:
    with pytest.raises(Refused) as refused:
        services.predict_version(actor=actor, version=tagger_version(), data=chat_data)

    assert refused.value.code == "wrong_kind"


def test_texts_are_marked_at_once(actor: Any, stranger: Any, tagger_version: Version, api: Any) -> None:
    version, client = tagger_version(), api(actor)
    asked = client.post("/api/v1/tag", {"model": "names", "texts": TEXTS})
    assert asked.status_code == 202, asked.json()

    assert answer_next(Models())

    address = f"/api/v1/tag/{asked.json()['id']}"
    found = client.get(address).json()
    assert found["state"] == OnlineState.DONE
    assert [as_tuples(row["spans"]) for row in found["results"]] == said(version, TEXTS)
    assert client.get(address.replace("/tag/", "/classify/")).status_code == 404
    assert api(stranger).get(address).status_code == 404
    assert client.post("/api/v1/classify", {"model": "names", "texts": ["a"]}).json()["code"] == "wrong_task"


def test_a_tagger_is_tried_on_its_page(
    actor: Any, tagger_version: Version, page: Any, alice: Any, charlie: Any, workspace: Any
) -> None:
    version, browser = tagger_version(), page(alice)
    address = f"/w/{workspace.slug}/predictions/try/{version.pk}"
    assert "Mark texts" in browser.get(f"/w/{workspace.slug}/models/versions/{version.pk}").content.decode()
    assert "Mark now" in browser.get(address).content.decode()

    browser.post(address, {"texts": "Lena in <b>Oslo</b>"})
    assert answer_next(Models())

    asked = f"/w/{workspace.slug}/predictions/asked/{OnlineRequest.objects.get().pk}"
    answer = browser.get(asked).content.decode()
    assert "&lt;" in answer and "<b>" not in answer and "lx-span" in answer
    assert page(charlie).get(asked).status_code == 404


def test_the_page_of_a_batch_shows_the_marks(
    actor: Any, tagger_version: Version, page: Any, alice: Any, workspace: Any
) -> None:
    items = [{"id": str(at), "text": text} for at, text in enumerate(TEXTS)]
    batch_job = services.predict_texts(actor=actor, version=tagger_version(), items=items)
    run_next("infer")

    shown = page(alice).get(f"/w/{workspace.slug}/predictions/{batch_job.pk}").content.decode()

    assert "lx-span" in shown and "Least sure" in shown

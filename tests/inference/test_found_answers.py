"""Readers at work: batches of questions with their passages, single questions, and the way out and in again."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.inference import services
from apps.inference.models import OnlineRequest, OnlineState, Prediction
from apps.registry.models import VersionExport
from apps.registry.selectors import version_folder
from apps.registry.services import start_export, start_import
from core.errors import Refused
from core.jobs.states import State
from core.storage import home
from engine.reader_folder import open_reader
from workers.generation import Models, answer_next
from workers.loop import run_next

Version = Callable[..., Any]
PAIRS = [("where is my card", "Lena 😀 lives in Oslo"), ("where is Lena", "我在 we open at nine " * 6)]


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


def said(version: Any) -> list[tuple[str, int, int]]:
    """What the engine itself answers."""
    return [(one.answer, one.start, one.end) for one in open_reader(version_folder(version)).read(PAIRS)]


def test_a_file_of_questions_is_answered_with_offsets_into_the_passages(
    actor: Any, reader_version: Version, api: Any
) -> None:
    version = reader_version()
    lines = [json.dumps({"question": question, "context": context}) for question, context in PAIRS]
    content = "\n".join([*lines, json.dumps({"question": "why", "context": " "})])
    upload = SimpleUploadedFile("questions.jsonl", content.encode())
    batch_job = services.predict_upload(actor=actor, version=version, upload=upload)

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    assert (batch_job.bad_count, batch_job.context_column) == (1, "context")
    rows = list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))
    found = [(row.answer, row.spans[0]["start"], row.spans[0]["end"]) for row in rows]
    assert found == said(version)
    assert all(row.context[start:end] == answer for row, (answer, start, end) in zip(rows, found, strict=True))
    client = api(actor)
    table = b"".join(client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=jsonl").streaming_content)
    exported = [json.loads(line) for line in table.splitlines()]
    assert [(row["answer"], row["start"], row["end"]) for row in exported] == found
    listed = client.get(f"/api/v1/predictions/{batch_job.pk}/rows?answer={found[0][0]}").json()["results"]
    assert PAIRS[0][1] in {row["context"] for row in listed}


def test_a_file_without_passages_is_refused(actor: Any, reader_version: Version) -> None:
    upload = SimpleUploadedFile("questions.csv", b"id,question\n1,why\n")

    with pytest.raises(Refused) as refused:
        services.predict_upload(actor=actor, version=reader_version(), upload=upload)

    assert refused.value.code == "context_column_missing"


def test_a_dataset_and_a_list_of_questions_are_answered(
    actor: Any, reader_version: Version, qa_data: Any, chat_data: Any, page: Any, alice: Any
) -> None:
    version = reader_version()
    whole = services.predict_version(actor=actor, version=version, data=qa_data, split="test")
    items = [{"id": str(at), "text": question, "context": context} for at, (question, context) in enumerate(PAIRS)]
    listed = services.predict_texts(actor=actor, version=version, items=items)
    with pytest.raises(Refused, match="passages"):
        services.predict_version(actor=actor, version=version, data=chat_data)

    run_next("infer")
    run_next("infer")

    whole.refresh_from_db()
    listed.refresh_from_db()
    assert (whole.stored_count, listed.stored_count) == (9, 2), (whole.job.error_message, listed.job.error_message)
    shown = page(alice).get(f"/w/harbour/predictions/{whole.pk}").content.decode()
    assert "Passage" in shown and "<mark>" in shown and "&lt;b&gt;" in shown


def test_a_question_is_answered_at_once(actor: Any, stranger: Any, reader_version: Version, api: Any) -> None:
    version, client = reader_version(), api(actor)
    body = {"model": "reader", "question": PAIRS[0][0], "context": PAIRS[0][1]}
    asked = client.post("/api/v1/extract", body)
    assert asked.status_code == 202, asked.json()

    assert answer_next(Models())

    address = f"/api/v1/extract/{asked.json()['id']}"
    found = client.get(address).json()
    assert found["state"] == OnlineState.DONE
    assert [(row["answer"], row["start"], row["end"]) for row in found["results"]] == said(version)[:1]
    assert api(stranger).get(address).status_code == 404
    assert client.post("/api/v1/classify", {"model": "reader", "texts": ["a"]}).json()["code"] == "wrong_task"
    assert client.post("/api/v1/extract", {**body, "context": " "}).status_code == 422


def test_a_reader_is_tried_on_its_page(reader_version: Version, page: Any, alice: Any, charlie: Any) -> None:
    version, browser = reader_version(), page(alice)
    assert "Answer questions" in browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()

    browser.post(
        f"/w/harbour/predictions/try/{version.pk}", {"question": "where is Lena", "context": "Lena is in <b>Oslo</b>"}
    )
    assert answer_next(Models())

    asked = f"/w/harbour/predictions/asked/{OnlineRequest.objects.get().pk}"
    answer = browser.get(asked).content.decode()
    assert "<mark>" in answer and "<b>" not in answer
    assert page(charlie).get(asked).status_code == 404


def test_a_reader_goes_out_and_comes_back_with_the_same_answers(actor: Any, reader_version: Version) -> None:
    version = reader_version()
    start_export(actor=actor, version=version)
    run_next("io")
    sink = io.BytesIO((home() / VersionExport.objects.get(version=version).path).read_bytes())
    with zipfile.ZipFile(sink) as archive:
        assert {"lingxi.json", "model.safetensors"} <= {Path(name).name for name in archive.namelist()}
    upload = SimpleUploadedFile("model.zip", sink.getvalue())

    made = start_import(actor=actor, name="taken in", upload=upload)
    assert run_next("infer") == made.job.pk

    made.refresh_from_db()
    made.job.refresh_from_db()
    assert made.version is not None, made.job.error_message
    assert made.version.task == "extraction" and said(made.version) == said(version)

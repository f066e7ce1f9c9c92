"""Batches label every row exactly once; single texts are answered by the resident role."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.inference import services
from apps.inference.models import BatchJob, OnlineRequest, OnlineState, Prediction, Usage
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from core.errors import Refused
from core.jobs.run import Stopped
from core.jobs.states import State
from workers import inference as runner
from workers.generation import Models, answer_next
from workers.loop import run_next

LABELS = ("refund", "card", "loan")


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def version(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> ModelVersion:
    return register_version(
        workspace=workspace,
        name="intents",
        folder=tiny_classifier(LABELS, 1),
        recipe="classify",
        task="classification",
        labels=LABELS,
        by=alice,
    )


def upload(text: str, name: str = "texts.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def test_a_file_is_labelled_in_order_and_bad_rows_are_named(actor: Any, version: ModelVersion) -> None:
    batch_job = services.predict_upload(
        actor=actor, version=version, upload=upload("id,text\na,my card\nb,\nc,refund please\n")
    )

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    rows = list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))
    assert [(row.position, row.custom_id, row.text) for row in rows] == [(0, "a", "my card"), (1, "c", "refund please")]
    assert all(row.label in LABELS and 0 <= row.probability <= 1 for row in rows)
    assert batch_job.bad_count == 1
    assert batch_job.bad_rows[0]["number"] == 2
    assert sum(batch_job.label_counts.values()) == 2


@pytest.mark.usefixtures("cold_engine")
def test_a_batch_that_is_stopped_midway_has_each_row_once_in_the_end(
    actor: Any, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"id": str(n), "text": f"my card {n} is {'not ' * (n % 7)}working"} for n in range(5000)]
    batch_job = services.predict_texts(actor=actor, version=version, items=items)
    keep = services.keep_predictions

    def keep_then_stop(**values: Any) -> None:
        keep(**values)
        raise Stopped("shutdown")

    monkeypatch.setattr(runner.services, "keep_predictions", keep_then_stop)
    run_next("infer")
    batch_job.refresh_from_db()
    assert 0 < batch_job.stored_count < 5000
    monkeypatch.setattr(runner.services, "keep_predictions", keep)

    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    positions = Prediction.objects.filter(batch_job=batch_job).order_by("position").values_list("position", flat=True)
    assert list(positions) == list(range(5000))
    usage = Usage.objects.get()
    assert (usage.kind, usage.key_name, usage.version_name, usage.requests) == ("prediction", "", "intents:1", 5000)
    assert usage.seconds > 0


@pytest.mark.parametrize(
    ("content", "code"),
    [("a,b\n1,2\n", "text_column_missing"), ("", "empty_file"), ("\x89PNG\r\n\x1a\n", "binary_file")],
)
def test_a_file_that_cannot_be_labelled_is_refused_at_the_door(
    actor: Any, version: ModelVersion, content: str, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.predict_upload(
            actor=actor,
            version=version,
            upload=SimpleUploadedFile("x.csv", content.encode("latin-1")),
        )

    assert refused.value.code == code
    assert not BatchJob.objects.exists()


def test_spreadsheet_cells_cannot_become_formulas(actor: Any, version: ModelVersion, api: Any) -> None:
    batch_job = services.predict_texts(actor=actor, version=version, items=[{"id": "=1", "text": "=HYPERLINK(1)"}])
    run_next("infer")
    client = api(actor)

    def download(kind: str) -> str:
        answer = client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format={kind}")
        return b"".join(answer.streaming_content).decode("utf-8-sig")

    assert "'=HYPERLINK(1)" in download("csv-spreadsheet")
    assert ",=HYPERLINK(1)," in download("csv")
    assert json.loads(io.StringIO(download("jsonl")).readline())["text"] == "=HYPERLINK(1)"
    assert client.get(f"/api/v1/predictions/{batch_job.pk}/export?file_format=exe").json()["code"] == "unknown_format"


def test_a_few_texts_are_answered_at_once(actor: Any, version: ModelVersion, api: Any) -> None:
    client = api(actor)
    asked = client.post("/api/v1/classify", {"model": "intents", "texts": ["my card", "refund please"]})

    assert answer_next(Models())

    answer = client.get(f"/api/v1/classify/{asked.json()['id']}").json()
    assert asked.status_code == 202
    assert answer["state"] == OnlineState.DONE
    assert [len(result["labels"]) for result in answer["results"]] == [1, 1]
    assert not answer_next(Models())


def test_a_request_that_nobody_can_answer_is_given_up(actor: Any, version: ModelVersion) -> None:
    asked = services.ask(actor=actor, version=version, texts=["my card"])
    OnlineRequest.objects.filter(pk=asked.pk).update(attempt_count=services.ONLINE_ATTEMPTS)

    assert services.claim_online(services.Turns()) == []

    asked.refresh_from_db()
    assert asked.state == OnlineState.FAILED
    assert asked.error_message


def test_pages_show_the_batch_and_strangers_see_nothing(
    actor: Any, version: ModelVersion, alice: Any, charlie: Any, page: Any, workspace: Any
) -> None:
    batch_job = services.predict_texts(actor=actor, version=version, items=[{"text": "<script>alert(1)</script>"}])
    run_next("infer")
    path = f"/w/{workspace.slug}/predictions/{batch_job.pk}"

    shown = page(alice).get(path).content.decode()
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert(1)" not in shown
    assert page(charlie).get(path).status_code == 404

"""The main road of the datasets room: create, upload, import, browse, split, freeze, export, download."""

from typing import Any

import pyarrow.parquet as pq
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.accounts.models import Membership
from apps.datasets import services
from apps.datasets.kinds import kind_cards
from apps.datasets.models import Dataset, DatasetVersion, Example
from apps.datasets.selectors import version_file
from core.jobs.states import State
from workers.loop import run_next

CSV = "text,label\nmy card is lost,lost_card\n我的卡丢了,lost_card\nwhere is my money,transfer\n"


def test_a_csv_becomes_examples_and_a_frozen_version(dataset: Dataset, bring: Any, frozen: Any) -> None:
    import_job = bring(dataset, CSV)

    assert import_job.job.state == State.SUCCEEDED, import_job.job.error_message
    assert (import_job.new_count, import_job.bad_count) == (3, 0)
    assert dataset.example_count == 3
    assert dataset.labels == ["lost_card", "transfer"]

    version = frozen(dataset)

    rows = pq.read_table(version_file(version)).to_pylist()
    assert [row["text"] for row in rows] == ["my card is lost", "我的卡丢了", "where is my money"]
    assert version.row_count == 3
    assert version.counts["labels"] == {"lost_card": 2, "transfer": 1}
    assert version.counts["splits"] == {"none": 3}
    assert len(version.content_hash) == 64


def test_the_whole_way_by_page(actor: Any, alice: Any, page: Any) -> None:
    client, base = page(alice), f"/w/{actor.workspace.slug}/datasets"

    made = client.post(f"{base}/new", {"name": "Mails", "kind": "classification"})
    dataset = Dataset.objects.get()
    assert made["Location"] == f"{base}/{dataset.pk}/imports/new"
    here = f"{base}/{dataset.pk}"
    assert client.get(f"{here}/imports/new").status_code == 200

    sent = client.post(f"{here}/imports/new", {"file": SimpleUploadedFile("mails.csv", CSV.encode())})
    assert sent.status_code == 302, sent.content.decode()
    shown = client.get(sent["Location"]).content.decode()
    assert "我的卡丢了" in shown
    values = {"column_text": "text", "column_label": "label", "run": ""}
    started = client.post(sent["Location"], values)
    assert started.status_code == 302, started.content.decode()
    run_next("io")
    assert "Succeeded" in client.get(started["Location"]).content.decode()

    listed = client.get(here, {"q": "卡丢"}).content.decode()
    assert "我的卡丢了" in listed and "where is my money" not in listed
    assert client.post(f"{here}/splits", {"method": "stratified", "train": 60, "dev": 20, "test": 20, "seed": 1,
                                          "apply": ""}).status_code == 302  # fmt: skip
    run_next("io")
    assert client.post(f"{here}/profile").status_code == 302
    run_next("io")
    assert client.post(f"{here}/versions", {"note": "first"}).status_code == 302
    run_next("io")
    version = DatasetVersion.objects.get()
    assert client.post(f"{here}/exports", {"format": "jsonl", "version": version.pk}).status_code == 302
    run_next("io")
    example = Example.objects.first()
    assert example is not None
    parts = ["", "/imports", "/profile", "/splits", "/versions", "/versions/1", "/exports", "/settings",
             f"/examples/{example.pk}", "/examples/new", "?deleted=true", "?label=transfer"]  # fmt: skip
    for part in parts:
        answer = client.get(here + part)
        assert answer.status_code == 200, part
    got = client.get(f"{here}/exports/{version.exports.get().pk}/file")
    assert b"".join(got.streaming_content).decode().count("\n") == 3
    assert client.get(f"{base}/").status_code == 200


@pytest.mark.parametrize("kind", ["spans", "pairs", "qa", "chat", "preference", "corpus"])
def test_each_kind_can_be_made_typed_in_looked_at_and_frozen(
    kind: str, actor: Any, alice: Any, page: Any, frozen: Any
) -> None:

    record = next(card.record for card in kind_cards() if card.name == kind)
    dataset = services.create(actor=actor, name=kind, kind=kind)
    result = services.add(actor=actor, dataset=dataset, items=[{"record": record}])
    client, here = page(alice), f"/w/{actor.workspace.slug}/datasets/{dataset.pk}"

    assert result[0]["status"] == "new"
    assert client.get(f"{here}/examples/{result[0]['id']}").status_code == 200
    assert client.get(f"{here}/examples/new").status_code == 200
    assert client.post(f"{here}/profile").status_code == 302
    run_next("io")
    assert client.get(f"{here}/profile").status_code == 200
    assert frozen(Dataset.objects.get(pk=dataset.pk)).row_count == 1


def test_who_may_write_sees_the_tools_and_who_may_read_does_not(
    dataset: Dataset, bring: Any, alice: Any, bob: Any, page: Any
) -> None:
    bring(dataset, CSV)
    here = f"/w/{dataset.workspace.slug}/datasets/{dataset.pk}"
    assert 'name="ids" value=' in page(alice).get(here).content.decode()
    Membership.objects.filter(user=bob).update(role="viewer")

    shown = page(bob).get(here).content.decode()

    assert 'name="ids" value=' not in shown and "imports/new" not in shown

"""The pages of batches by /v1/batches: who sees them, what they show, cancel, and the files of results."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import Membership
from apps.datasets.services import make_file
from apps.inference.models import ApiBatch, BatchItem
from core.jobs.models import Job
from workers.bench.kills import batch_of
from workers.loop import run_next


@pytest.fixture
def batch(actor: Any, chat_version: Callable[..., Any], no_beats: None) -> ApiBatch:
    """A batch of three requests that lies in the queue."""
    return batch_of(actor, chat_version(), 3)


def results(batch: ApiBatch, **columns: Any) -> None:
    """One answer, one refusal and one request whose time was over."""
    rows: list[dict[str, Any]] = [
        {"state": "completed", "status_code": 200, "response": {"choices": [{"text": "look <b>here</b>"}]}},
        {"state": "failed", "status_code": 400, "response": {"error": {"message": "no room", "code": "x"}}},
        {"state": "failed", "error_code": "batch_expired", "error_message": "too late"},
    ]
    for at, row in enumerate(rows):
        BatchItem.objects.create(batch=batch, position=at, line=at + 1, custom_id=f"r{at}", body={}, **row)
    counts = {"total_count": 3, "completed_count": 1, "failed_count": 2}
    ApiBatch.objects.filter(pk=batch.pk).update(**counts, **columns)


def test_members_see_a_batch_and_strangers_do_not(
    batch: ApiBatch, page: Any, alice: Any, bob: Any, charlie: Any, workspace: Any
) -> None:
    results(batch, state="in_progress")
    place = f"/w/{workspace.slug}/predictions/batches"
    for who in (alice, bob):
        listed = page(who).get(place).content.decode()
        assert "kills.jsonl" in listed and "3" in listed and f"batch_{batch.pk}" in listed
        for address in (f"{place}/{batch.pk}", f"{place}/{batch.pk}/live"):
            shown = page(who).get(address).content.decode()
            assert "look &lt;b&gt;here" in shown and "no room" in shown and "too late" in shown
            failed = page(who).get(f"{address}?state=failed").content.decode()
            assert "no room" in failed and "look &lt;b&gt;here" not in failed
            assert 'hx-trigger="every 2s"' in shown and "Cancel batch" in shown
    for address in (place, f"{place}/{batch.pk}", f"{place}/{batch.pk}/live", f"{place}/{batch.pk}/files/output"):
        assert page(charlie).get(address).status_code == 404
    assert page(alice).get(f"{place}?state=completed").content.decode().count("kills.jsonl") == 0
    assert page(alice).get(f"{place}?name=kill").content.decode().count("kills.jsonl") == 1


def test_two_tabs_cancel_a_batch_once(
    batch: ApiBatch, page: Any, alice: Any, bob: Any, charlie: Any, workspace: Any
) -> None:
    address = f"/w/{workspace.slug}/predictions/batches/{batch.pk}/cancel"
    Membership.objects.filter(user=bob).update(role="viewer")
    assert page(charlie).post(address).status_code == 404
    assert page(bob).post(address).status_code == 403
    assert [page(alice).post(address).status_code for _ in range(2)] == [302, 302]
    batch.refresh_from_db()
    assert batch.state == "cancelling"
    run_next("io")
    batch.refresh_from_db()
    assert batch.state == "cancelled" and Job.objects.get(pk=batch.job_id).state == "succeeded"
    assert "Cancel batch" not in page(alice).get(address.removesuffix("/cancel")).content.decode()


def test_files_of_results_are_downloaded_by_their_names(batch: ApiBatch, page: Any, alice: Any, workspace: Any) -> None:
    place = f"/w/{workspace.slug}/predictions/batches/{batch.pk}"
    assert page(alice).get(f"{place}/files/output").status_code == 404
    made = make_file(
        workspace=workspace, by=alice, purpose="batch_output", name="batch_1_output.jsonl",
        write=lambda path: path.write_text('{"custom_id": "r0"}\n') and None,
    )  # fmt: skip
    results(batch, state="completed", output_file=made)
    shown = page(alice).get(place).content.decode()
    assert f"{place}/files/output" in shown and f"{place}/files/errors" not in shown and "every 2s" not in shown
    answer = page(alice).get(f"{place}/files/output")
    assert json.loads(b"".join(answer.streaming_content)) == {"custom_id": "r0"}
    assert "batch_1_output.jsonl" in answer["Content-Disposition"]
    assert page(alice).get(f"{place}/files/other").status_code == 404


def test_a_refused_file_is_told_in_the_readers_language(batch: ApiBatch, page: Any, alice: Any, workspace: Any) -> None:
    ApiBatch.objects.filter(pk=batch.pk).update(endpoint="/v1/embeddings")
    run_next("io")
    address = f"/w/{workspace.slug}/predictions/batches/{batch.pk}"
    assert "url is that of the batch: /v1/embeddings" in page(alice).get(address).content.decode()
    type(alice).objects.filter(pk=alice.pk).update(language="zh-hans")
    assert "url 必须与批次一致：/v1/embeddings" in page(alice).get(address).content.decode()

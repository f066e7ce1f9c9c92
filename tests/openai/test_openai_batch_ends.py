"""How batches below /v1 end: cancelled, late, failed, given up, and nothing stored twice."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from openai import ConflictError, OpenAI
from openai.types import Batch

from apps.inference import services
from apps.inference.models import ApiBatch, BatchItem, Generation, GenerationState
from apps.registry.models import ModelVersion
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Stopped
from core.jobs.services import claim
from tests.openai.batching import chat_line, lines_of, start, work
from workers import batches as runner
from workers import looks
from workers.bench.beside import at_work
from workers.loop import run_next
from workers.memory import Models as Memory
from workers.writing import Desk, write

Version = Callable[..., ModelVersion]


@pytest.fixture
def bot(chat_version: Version) -> ModelVersion:
    return chat_version()


def half_done(client: OpenAI, monkeypatch: pytest.MonkeyPatch, count: int = 6) -> Batch:
    """A batch whose first two requests have their results while the others are being written, and whose worker stopped."""
    made = start(client, [chat_line(f"q{at}") for at in range(count)])
    batch = ApiBatch.objects.get()

    def stop_then(seconds: float) -> None:
        if Generation.objects.count() == count:
            raise Stopped("shutdown")

    monkeypatch.setattr(looks, "sleep", stop_then)
    run_next("io")
    desk = Desk(Memory(10**9))
    Generation.objects.filter(batch_item__position__gte=2).update(priority=90)
    while Generation.objects.filter(state=GenerationState.DONE).count() < 2:
        Generation.objects.filter(priority=90).update(state=GenerationState.RUNNING,
                                                      lease_expires_at=timezone.now() + timedelta(hours=1))  # fmt: skip
        desk.turn()
    desk.leave()
    batch.refresh_from_db()
    assert batch.state == "in_progress" and batch.completed_count == 0
    monkeypatch.undo()
    return made


def test_a_cancelled_batch_delivers_what_is_done_and_cancelling_twice_is_harmless(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = half_done(strict, monkeypatch)
    once, twice = strict.batches.cancel(made.id), strict.batches.cancel(made.id)
    assert once.status == twice.status == "cancelling" and once.cancelling_at == twice.cancelling_at

    work()

    done = strict.batches.retrieve(made.id)
    assert done.status == "cancelled" and done.cancelled_at and done.completed_at is None
    assert [line["custom_id"] for line in lines_of(strict, done.output_file_id)] == ["q0", "q1"]
    rest = lines_of(strict, done.error_file_id)
    assert [(line["custom_id"], line["response"], line["error"]["code"]) for line in rest] == [
        (f"q{at}", None, "batch_cancelled") for at in range(2, 6)
    ]
    assert Generation.objects.filter(is_unwanted=True).count() == 4
    assert strict.batches.cancel(made.id).status == "cancelled"


def test_a_batch_whose_time_is_over_delivers_what_is_done(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = half_done(strict, monkeypatch)
    ApiBatch.objects.update(expires_at=timezone.now())
    work()
    done = strict.batches.retrieve(made.id)
    assert done.status == "expired" and done.expired_at and done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 4)
    assert {line["error"]["code"] for line in lines_of(strict, done.error_file_id)} == {"batch_expired"}
    with pytest.raises(ConflictError) as caught:
        strict.batches.cancel(made.id)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_batch_that_lies_in_the_queue_is_cancelled_without_being_read(strict: OpenAI, bot: ModelVersion) -> None:
    made = start(strict, [chat_line("a")])
    strict.batches.cancel(made.id)
    work()
    done = strict.batches.retrieve(made.id)
    assert (done.status, done.output_file_id, done.error_file_id) == ("cancelled", None, None)
    assert done.in_progress_at is None


def test_a_job_cancelled_on_its_own_page_ends_its_batch_with_its_files(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch, alice: Any
) -> None:
    made = half_done(strict, monkeypatch)
    job = Job.objects.get(kind="inference.api_batch")
    jobs.cancel(job=job, by=alice)
    assert Job.objects.get(pk=job.pk).state == "cancelled"
    services.mend_batches()
    work()
    done = strict.batches.retrieve(made.id)
    assert done.status == "cancelled" and len(lines_of(strict, done.output_file_id)) == 2


def test_a_batch_fails_with_its_job_and_goes_on_when_that_is_sent_again(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch, alice: Any, writer: None
) -> None:
    made = start(strict, [chat_line("a"), chat_line("b")])
    with monkeypatch.context() as broken:
        broken.setattr(runner, "_make_files", lambda *_: 1 / 0)
        work()
    failed = strict.batches.retrieve(made.id)
    assert failed.status == "failed" and failed.errors is not None and failed.errors.data is not None
    assert failed.errors.data[0].code == "unexpected"
    jobs.retry(job=Job.objects.get(kind="inference.api_batch"), by=alice)
    work()
    done = strict.batches.retrieve(made.id)
    assert done.status == "completed" and done.failed_at is None and done.errors is None
    assert len(lines_of(strict, done.output_file_id)) == 2 and Generation.objects.count() == 2


def test_an_answer_that_was_given_up_is_asked_for_again_but_not_for_ever(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role dies again and again over one request: after three rows of three attempts it stands in the error file."""
    made = start(strict, [chat_line("a")])
    monkeypatch.setattr(looks, "sleep", lambda _seconds: Generation.objects.filter(state="waiting").update(
        state="failed", error_code="given_up", error_message="gone"))  # fmt: skip
    work()
    done = strict.batches.retrieve(made.id)
    assert done.status == "completed" and Generation.objects.count() == 3
    (line,) = lines_of(strict, done.error_file_id)
    assert line["response"]["status_code"] == 503 and line["response"]["body"]["error"]["code"] == "given_up"


def test_a_late_worker_stores_nothing(strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease went to another one: what it still brings is refused, and each request has one result."""
    half_done(strict, monkeypatch)
    batch, late = ApiBatch.objects.get(), claim(queue="io", worker="late")
    assert late is not None
    Job.objects.filter(pk=late.job.pk).update(state="queued")
    now = claim(queue="io", worker="now")
    assert now is not None and now.job.pk == late.job.pk
    with pytest.raises(Stopped):
        runner._harvest(late, batch)
    assert not BatchItem.objects.filter(state="completed").exists()
    assert (runner._harvest(now, batch), runner._harvest(now, batch)) == (2, 0)
    batch.refresh_from_db()
    assert batch.completed_count == BatchItem.objects.filter(state="completed").count() == 2


def test_the_version_is_the_one_of_the_beginning_whatever_becomes_of_the_alias(
    strict: OpenAI, chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = chat_version()
    half_done(strict, monkeypatch)
    chat_version(seed=2)
    with at_work(lambda stop: write(stop, Desk(Memory(10**9)))):
        Generation.objects.filter(state="running").update(lease_expires_at=timezone.now())
        work()
    assert ApiBatch.objects.get().state == "completed"
    assert set(Generation.objects.values_list("model_version", flat=True)) == {first.pk}


def test_an_answer_that_a_slow_batch_has_not_read_is_not_forgotten(
    strict: OpenAI, bot: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_done(strict, monkeypatch)
    Generation.objects.update(is_stored=False, finished_at=timezone.now() - timedelta(hours=2))
    services.expire_unread()
    assert Generation.objects.filter(state="done").exclude(answers=[]).count() == 2

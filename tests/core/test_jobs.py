"""Jobs: one claim, fenced writes, stops, retries, the sweeper."""

import errno
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job, JobLog
from core.jobs.run import Stopped
from core.jobs.states import State
from workers.loop import perform, run_next


def queued(workspace: Any, **columns: Any) -> Job:
    return jobs.create(kind="test", workspace=workspace, queue="io", title="Test", **columns)


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_workers_claims_a_job(workspace: Any) -> None:
    job = queued(workspace)
    barrier, won = threading.Barrier(8), []

    def worker(number: int) -> None:
        barrier.wait()
        run = jobs.claim(queue="io", worker=f"w{number}")
        if run is not None:
            won.append(run.job.pk)
        connection.close()

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert won == [job.pk]
    assert job.attempts.count() == 1


def test_claims_go_by_priority_then_fair_share_then_age(workspace: Any, stranger: Any) -> None:
    first = queued(workspace)
    second = queued(workspace)
    other = queued(stranger.workspace)
    urgent = queued(workspace, priority=5)

    order = [run.job.pk for _ in range(4) if (run := jobs.claim(queue="io", worker="w"))]

    assert order == [urgent.pk, other.pk, first.pk, second.pk]


def test_a_workspace_never_runs_more_than_its_share(workspace: Any, settings: Any) -> None:
    settings.JOBS_RUNNING_PER_WORKSPACE = {"io": 2, "train": 1, "infer": 1}
    for _ in range(3):
        queued(workspace)

    claimed = [jobs.claim(queue="io", worker="w") for _ in range(3)]

    assert [run is not None for run in claimed] == [True, True, False]


def test_a_worker_that_lost_its_lease_writes_nothing(workspace: Any) -> None:
    job = queued(workspace)
    late = jobs.claim(queue="io", worker="slow")
    assert late is not None
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert jobs.sweep()["requeued"] == [job.pk]
    fresh = jobs.claim(queue="io", worker="fast")
    assert fresh is not None

    with pytest.raises(Stopped, match="lost"):
        late.progress(5, 10, now=True)
    with pytest.raises(Stopped, match="lost"):
        late.log("too late")
    assert not late.succeed({"by": "late"})
    assert fresh.succeed({"by": "fresh"})

    job.refresh_from_db()
    assert job.result == {"by": "fresh"}
    assert JobLog.objects.count() == 0


def test_a_job_whose_workers_keep_dying_fails_with_a_sentence(workspace: Any) -> None:
    job = queued(workspace, max_attempts=1)
    jobs.claim(queue="io", worker="w")
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))

    assert jobs.sweep()["failed"] == [job.pk]

    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "worker_lost")


def test_cancelling_twice_is_harmless_and_cancelling_an_ended_job_is_refused(workspace: Any, alice: Any) -> None:
    job = queued(workspace)
    jobs.cancel(job=job, by=alice)
    jobs.cancel(job=job, by=alice)
    done = queued(workspace)
    run = jobs.claim(queue="io", worker="w")
    assert run is not None
    run.succeed()

    with pytest.raises(Refused, match="already ended"):
        jobs.cancel(job=done, by=alice)

    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert job.transitions.count() == 2


def test_a_running_job_learns_of_a_cancel_at_its_next_progress(workspace: Any, alice: Any) -> None:
    job = queued(workspace)

    def runner(run: Any) -> None:
        jobs.cancel(job=job, by=alice)
        run.progress(1, 2, now=True)

    assert run_next("io", {"test": runner}) == job.pk

    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_paused_job_resumes_as_a_new_attempt(workspace: Any, alice: Any) -> None:
    job = queued(workspace, can_pause=True)

    def runner(run: Any) -> None:
        if run.job.attempt_count == 1:
            jobs.pause(job=job, by=alice)
            run.beat()
            run.check()

    run_next("io", {"test": runner})
    job.refresh_from_db()
    assert job.state == State.PAUSED
    jobs.resume(job=job, by=alice)
    run_next("io", {"test": runner})

    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert [attempt.outcome for attempt in job.attempts.order_by("id")] == ["paused", "succeeded"]


def test_an_unexpected_error_ends_the_job_with_a_number_for_the_user(workspace: Any) -> None:
    job = queued(workspace)

    def runner(run: Any) -> None:
        raise RuntimeError("secret inside")

    run_next("io", {"test": runner})

    job.refresh_from_db()
    assert job.error_code == "unexpected"
    assert "secret" not in job.error_message


def test_a_job_that_finds_the_disk_full_says_so(workspace: Any) -> None:
    job = queued(workspace)

    def fill(_run: Any) -> dict[str, Any]:
        raise OSError(errno.ENOSPC, "No space left on device")

    run_next("io", {"test": fill})

    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "disk_full")
    assert "Free some space" in job.error_message


def test_an_unknown_kind_fails_by_name(workspace: Any) -> None:
    job = queued(workspace)
    run = jobs.claim(queue="io", worker="w")
    assert run is not None

    perform(run, {})

    job.refresh_from_db()
    assert job.error_code == "unknown_kind"


def test_a_failed_job_can_be_retried_with_fresh_attempts(workspace: Any, alice: Any) -> None:
    job = queued(workspace, max_attempts=1)
    run = jobs.claim(queue="io", worker="w")
    assert run is not None
    run.fail(code="x", message="It broke.")
    job.refresh_from_db()

    jobs.retry(job=job, by=alice)

    job.refresh_from_db()
    assert (job.state, job.attempt_count, job.finished_at) == (State.QUEUED, 0, None)


def test_progress_gives_rate_and_remaining_time(workspace: Any) -> None:
    queued(workspace)
    run = jobs.claim(queue="io", worker="w")
    assert run is not None
    run.progress(0, 100, unit="rows", phase="reading", now=True)
    run.progress(50, 100, now=True)

    run.job.refresh_from_db()
    assert (run.job.percent, run.job.unit, run.job.phase) == (50, "rows", "reading")
    assert run.job.rate_per_second is not None and run.job.rate_per_second > 0
    assert run.job.remaining_seconds is not None

"""Celery workers as they run in production: lost messages, kill -9 and a polite stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from redis import Redis

from core.jobs import services as jobs
from core.jobs.models import Job, JobLog
from core.jobs.states import State

PROGRAM = Path(__file__).with_name("celery_for_test.py")

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def worker(*options: str, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    db = connection.settings_dict
    host, port = db["HOST"], db["PORT"]
    url = f"postgresql://{db['USER']}:{db['PASSWORD']}@/{db['NAME']}?host={host}" + (f"&port={port}" if port else "")
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *options],
        env={
            **os.environ,
            "DATABASE_URL": url,
            "LINGXI_JOB_LEASE_SECONDS": "3",
            "LINGXI_JOB_BEAT_SECONDS": "1",
            **extra,
        },
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    """Wait for a fact; the time limit only ends a broken test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def broker() -> Iterator[Redis]:
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
        yield client
        client.flushdb()


def test_no_job_is_lost_or_run_twice_when_the_broker_is_emptied_mid_load(workspace: Any, broker: Any) -> None:
    ids = [jobs.create(kind="test.slow", workspace=workspace, queue="io", title=str(n)).pk for n in range(40)]

    with worker("-c", "2"):
        until(lambda: Job.objects.filter(state=State.SUCCEEDED).count() >= 5)
        broker.flushdb()
        for _ in range(200):
            jobs.sweep()
            if not Job.objects.exclude(state=State.SUCCEEDED).exists():
                break
            time.sleep(0.2)

    assert list(Job.objects.filter(state=State.SUCCEEDED).order_by("id").values_list("pk", flat=True)) == ids
    assert JobLog.objects.count() == len(ids)
    assert set(Job.objects.values_list("attempt_count", flat=True)) == {1}


def test_a_killed_worker_loses_its_job_to_another_after_the_lease(workspace: Any, broker: Any, settings: Any) -> None:
    job = jobs.create(kind="test.endless", workspace=workspace, queue="io", title="endless")
    with worker("--pool=solo") as first:
        until(lambda: Job.objects.get(pk=job.pk).done_count > 2)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        until(lambda: bool(jobs.sweep()["requeued"]))

    with worker("--pool=solo"):
        until(lambda: bool(jobs.sweep()) and Job.objects.get(pk=job.pk).attempt_count == 2)
        jobs.cancel(job=job, by="alice")
        until(lambda: Job.objects.get(pk=job.pk).state == State.CANCELLED)

    assert list(job.attempts.order_by("token").values_list("outcome", flat=True)) == ["queued", "cancelled"]


def test_a_worker_that_is_told_to_stop_hands_its_job_back(workspace: Any, broker: Any) -> None:
    job = jobs.create(kind="test.endless", workspace=workspace, queue="io", title="endless")

    with worker("--pool=solo") as process:
        until(lambda: Job.objects.get(pk=job.pk).done_count > 2)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)

    job.refresh_from_db()
    assert (job.state, job.attempt_count) == (State.QUEUED, 0)

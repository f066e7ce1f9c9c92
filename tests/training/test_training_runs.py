"""Training runs with the real engine: they register a version, stop politely, and survive kill -9 bit by bit."""

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
from django.db.models import ProtectedError
from redis import Redis

from apps.registry.services import register_version
from apps.training import services
from apps.training.bases import base_choices, base_problems
from apps.training.models import TrainingJob
from core.jobs import services as jobs
from core.jobs.states import State
from engine.specs import BaseModel, ClassifySpec, SftSpec
from workers.loop import run_next

PROGRAM = Path(__file__).parents[1] / "workers" / "celery_for_test.py"

pytestmark = pytest.mark.django_db(transaction=True)


def start(actor: Any, frozen: Any, spec: dict[str, Any], **more: Any) -> TrainingJob:
    return services.start(actor=actor, recipe="classify", spec=spec, version=frozen, name="Run", **more)


def fresh(training_job: TrainingJob) -> TrainingJob:
    return TrainingJob.objects.select_related("job", "model_version").get(pk=training_job.pk)


@pytest.mark.usefixtures("cold_engine")
def test_a_run_registers_a_version_with_figures_curves_and_samples(
    actor: Any, frozen: Any, spec: dict[str, Any], settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    training_job = start(actor, frozen, spec, family_name="Intents")

    run_next("train")

    done = fresh(training_job)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None
    assert str(version) == "Intents v1"
    assert set(version.metrics) == {"dev", "test"}
    assert len(version.samples) == 18
    assert version.dataset_version_id == frozen.pk
    assert {"train_loss", "dev_accuracy"} <= set(done.points.values_list("name", flat=True))
    assert 1 <= done.checkpoints.count() <= 3
    assert not (services.run_folder(done) / "1" / "model").exists() or version.path.exists()


def test_a_bad_dataset_ends_the_run_in_its_first_phase_with_named_rows(
    actor: Any, frozen: Any, spec: dict[str, Any], settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    import pyarrow.parquet as pq

    from core.storage import home

    path = home() / frozen.path
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        if row["split"] == "test":
            row["text"] = rows[0]["text"]
            row["labels"] = rows[0]["labels"]
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), path)
    training_job = start(actor, frozen, spec)

    run_next("train")

    done = fresh(training_job)
    assert done.job.state == State.FAILED
    assert done.job.error_code == "bad_data"
    assert any(problem["rows"] for problem in done.problems)
    assert done.job.error_hint


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    db = connection.settings_dict
    port = f"&port={db['PORT']}" if db["PORT"] else ""
    url = f"postgresql://{db['USER']}:{db['PASSWORD']}@/{db['NAME']}?host={db['HOST']}{port}"
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), "-Q", "train", "--pool=solo"],
        env={
            **os.environ,
            "DATABASE_URL": url,
            "LINGXI_HOME": str(settings.HOME),
            "LINGXI_JOB_LEASE_SECONDS": "4",
            "LINGXI_JOB_BEAT_SECONDS": "1",
        },
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(condition: Callable[[], bool], *, seconds: float = 180.0) -> None:
    """Wait for a fact; the time limit only ends a broken test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def test_a_worker_killed_midway_is_followed_by_one_that_ends_with_the_same_weights(
    actor: Any, frozen: Any, spec: dict[str, Any], settings: Any
) -> None:
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    spec = {**spec, "epochs": 12}
    whole = start(actor, frozen, spec)
    settings.JOB_BEAT_SECONDS = 3600
    run_next("train")
    assert fresh(whole).job.state == State.SUCCEEDED, fresh(whole).job.error_message

    broken = start(actor, frozen, spec)
    with worker() as first:
        until(lambda: bool(jobs.sweep()) and broken.checkpoints.count() > 0)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    assert not fresh(broken).job.ended
    with worker():
        until(lambda: bool(jobs.sweep()) and fresh(broken).job.ended)

    done, other = fresh(broken), fresh(whole)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    assert done.job.attempts.count() == 2
    assert done.model_version is not None
    assert other.model_version is not None
    assert done.model_version.weights_hash == other.model_version.weights_hash
    steps = list(done.points.filter(name="train_loss").order_by("step").values_list("step", flat=True))
    assert len(steps) == len(set(steps))


def test_a_version_is_tuned_further_and_stays_the_parent_of_what_it_became(
    actor: Any, chat_version: Any, chat_data: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    base = chat_version("llama")
    spec = {
        "base_model": f"version:{base.pk}",
        "method": "lora",
        "adapter_rank": 2,
        "epochs": 1,
        "batch_size": 2,
        "context_tokens": 96,
        "answered_rows": 2,
        "sample_tokens": 4,
        "test_split": "nothing",
    }
    training_job = services.start(actor=actor, recipe="sft", spec=spec, version=chat_data, name="Further")

    run_next("train")

    done = fresh(training_job)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    assert done.model_version is not None and done.model_version.parent == base
    assert done.estimate["parameters"]["trainable"] < done.estimate["parameters"]["total"]
    assert (done.model_version.path / "adapter" / "adapter_model.safetensors").is_file()
    with pytest.raises(ProtectedError):
        base.delete()


@pytest.mark.parametrize(
    ("number", "says"),
    [("999999", "no model version"), ("classifier", "something else"), ("stranger", "no model version")],
)
def test_only_a_version_of_the_workspace_and_task_can_be_started_from(
    actor: Any, stranger: Any, chat_version: Any, chat_data: Any, tiny_classifier: Any, number: str, says: str
) -> None:
    if number == "classifier":
        version = register_version(
            workspace=actor.workspace, name="c", folder=tiny_classifier(("a", "b"), 1), recipe="classify",
            task="classification", labels=["a", "b"], by=actor.user,
        )  # fmt: skip
        number = str(version.pk)
    if number == "stranger":
        number = str(chat_version("own").pk)
        workspace = stranger.workspace
    else:
        workspace = actor.workspace

    problems = base_problems("sft", SftSpec(base_model=BaseModel("version", number)), workspace)

    assert len(problems) == 1 and says in str(problems[0].message)


def test_a_classifier_may_start_from_a_version_that_writes(actor: Any, chat_version: Any) -> None:
    version = chat_version("own")
    reference = BaseModel("version", str(version.pk))

    assert base_problems("classify", ClassifySpec(base_model=reference), version.workspace) == []
    offered = base_choices(recipe="classify", default=BaseModel(), workspace=version.workspace)
    assert str(reference) in dict(offered)


def test_a_taught_version_has_its_teacher_as_parent_and_stands_beside_it(
    actor: Any, frozen: Any, tiny_classifier: Any, spec: dict[str, Any], page: Any, alice: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    labels = ("card", "loan", "refund")
    teacher = register_version(
        workspace=actor.workspace, name="Large", folder=tiny_classifier(labels, 1), recipe="classify",
        task="classification", labels=list(labels), by=actor.user,
    )  # fmt: skip
    options = {**spec, "teacher": f"version:{teacher.pk}", "epochs": 1, "student_weights": "int8"}
    training_job = services.start(actor=actor, recipe="distil", spec=options, version=frozen, name="Small")

    run_next("train")

    done = fresh(training_job)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    assert done.model_version is not None and done.model_version.parent == teacher
    shown = page(alice).get(f"/w/{actor.workspace.slug}/models/versions/{done.model_version.pk}").content.decode()
    assert "Student and teacher on the same texts" in shown
    assert "int8, multiplied by" in shown


def test_a_student_that_writes_stands_beside_its_teacher_by_api_and_page(
    actor: Any, chat_version: Any, chat_data: Any, api: Any, page: Any, alice: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    teacher = chat_version("llama")
    reference = f"version:{teacher.pk}"
    options = {
        "teacher": reference, "base_model": reference, "student_layers": 1, "epochs": 1, "batch_size": 2,
        "context_tokens": 96, "answered_rows": 2, "sample_tokens": 4, "test_split": "nothing",
    }  # fmt: skip
    form = page(alice).get(f"/w/{actor.workspace.slug}/training/new?recipe=distil_text").content.decode()
    asked = {"recipe": "distil_text", "dataset_version": chat_data.pk, "spec": options}
    answer = api(actor).post("/api/v1/training-jobs", asked)
    assert answer.status_code == 201, answer.json()

    run_next("train")

    done = fresh(TrainingJob.objects.get(pk=answer.json()["id"]))
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None and version.parent == teacher and version.task == "generation"
    assert (
        version.metrics["dev"]["teacher"]["parameters"]["student"]
        < version.metrics["dev"]["teacher"]["parameters"]["teacher"]
    )
    assert len(version.samples) > 0 and done.estimate["estimate"]["memory_bytes"] > 0
    shown = page(alice).get(f"/w/{actor.workspace.slug}/models/versions/{version.pk}").content.decode()
    assert "Student and teacher on the same chats" in shown
    assert "A new network" in form and reference in form

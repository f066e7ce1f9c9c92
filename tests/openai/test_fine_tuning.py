"""/v1/fine_tuning/jobs: from files to a model version, through kills, cancels and pauses."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.datasets.models import ApiFile, Dataset, DatasetVersion
from apps.registry.models import BaseModel, ModelVersion
from apps.training.models import FineTuningJob, MetricPoint, TrainingJob
from core.jobs import services as jobs
from core.jobs.models import Job, JobLog
from core.storage import home
from tests.openai.lines import chats, preferences
from workers import fine_tuning as chain
from workers.loop import run_next

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def base(workspace: Any, tiny_chat: Callable[..., Path]) -> BaseModel:
    """A tiny chat model as a base model of the workspace."""
    folder = str(tiny_chat("llama"))
    return BaseModel.objects.create(
        workspace=workspace, name="tiny", kind="folder", reference=folder, task_family="decoder"
    )


@pytest.fixture
def create(v1: APIClient, base: BaseModel, upload: Callable[..., ApiFile]) -> Callable[..., Any]:
    """Sends a create; with a file of its own unless one is named."""

    def send(**body: Any) -> Any:
        file = body.pop("training_file", None) or f"file-{upload().pk}"
        headers = {"X-Stainless-Retry-Count": "0"}  # equal bodies here mean two jobs
        return v1.post(JOBS, {"model": "tiny", "training_file": file, **body}, format="json", headers=headers)

    return send


def prepare() -> None:
    """Everything that stands before the training."""
    while run_next("io"):
        pass


def told(answer: Any) -> Any:
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_a_new_job_has_openais_fields(create: Callable[..., Any], upload: Callable[..., ApiFile]) -> None:
    file = upload()

    shown = told(create(training_file=f"file-{file.pk}", suffix="short", seed=5, metadata={"team": "a"}))

    row = FineTuningJob.objects.get()
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert shown == {
        "id": f"ftjob-{row.pk}", "object": "fine_tuning.job", "created_at": int(row.created_at.timestamp()),
        "finished_at": None, "model": "tiny", "fine_tuned_model": None, "organization_id": "harbour",
        "status": "validating_files", "paused": False, "error": None, "hyperparameters": auto,
        "method": {"type": "supervised", "supervised": {"hyperparameters": auto}},
        "training_file": f"file-{file.pk}", "validation_file": None, "result_files": [], "trained_tokens": None,
        "estimated_finish": None, "seed": 5, "integrations": [], "metadata": {"team": "a"},
        "user_provided_suffix": "short",
    }  # fmt: skip


def test_a_job_without_a_seed_gets_one(create: Callable[..., Any]) -> None:
    assert told(create())["seed"] != told(create())["seed"]


def test_files_become_a_frozen_version_and_that_a_training(
    v1: APIClient, create: Callable[..., Any], upload: Callable[..., ApiFile]
) -> None:
    training, validation = upload(chats(20)), upload(chats(24)[len(chats(18)) :], "dev.jsonl")
    shown = told(
        create(
            training_file=f"file-{training.pk}",
            validation_file=f"file-{validation.pk}",
            suffix="short",
            seed=5,
            method={
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": 2, "learning_rate_multiplier": 0.5}},
            },
        )
    )
    v1.delete(f"/v1/files/{shown['training_file']}")  # what was given is kept

    prepare()

    run = TrainingJob.objects.select_related("dataset_version").get()
    assert (run.recipe, run.family_name) == ("sft", "ft:tiny:harbour:short")
    assert (run.spec["epochs"], run.spec["learning_rate"], run.spec["seed"]) == (2, 0.0005, 5)
    assert run.dataset_version.counts["splits"] == {"train": 18, "dev": 6}  # rows of both are only measured
    now = told(v1.get(f"{JOBS}/{shown['id']}"))
    assert now["status"] == "queued"
    assert now["hyperparameters"] == {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 0.5}
    assert Job.objects.filter(kind="training.fine_tune").get().state == "succeeded"


def test_a_job_trains_and_its_model_is_listed(v1: APIClient, create: Callable[..., Any]) -> None:
    shown = told(create(suffix="short", hyperparameters={"n_epochs": 1}))
    prepare()

    run_next("train")

    done = told(v1.get(f"{JOBS}/{shown['id']}"))
    assert (done["status"], done["error"]) == ("succeeded", None)
    assert done["fine_tuned_model"] == "ft:tiny:harbour:short:1"
    assert done["trained_tokens"] > 0 and done["finished_at"] >= done["created_at"]
    assert v1.get(f"/v1/models/{done['fine_tuned_model']}").status_code == 200
    assert done["fine_tuned_model"] in [row["id"] for row in v1.get("/v1/models").json()["data"]]
    (result,) = done["result_files"]
    assert told(v1.get(f"/v1/files/{result}"))["purpose"] == "fine-tune-results"
    content = b"".join(v1.get(f"/v1/files/{result}/content").streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    points = MetricPoint.objects.filter(training_job__fine_tuning__isnull=False)
    assert {int(row["step"]) for row in rows} == set(points.values_list("step", flat=True))
    measured = {float(row["train_loss"]) for row in rows if row["train_loss"]}
    assert measured == set(points.filter(name="train_loss").values_list("value", flat=True))
    assert any(row["full_valid_loss"] for row in rows)
    checkpoints = told(v1.get(f"{JOBS}/{shown['id']}/checkpoints"))
    assert checkpoints["has_more"] is False
    for row in checkpoints["data"]:
        assert row["fine_tuned_model_checkpoint"] == f"ft:tiny:harbour:short:ckpt-step-{row['step_number']}"


def test_preferences_are_learnt_by_dpo_from_a_version(
    create: Callable[..., Any], upload: Callable[..., ApiFile], chat_version: Callable[..., ModelVersion]
) -> None:
    base_version = chat_version(name="ft:tiny:harbour:first")
    file = upload(preferences(), "pairs.jsonl")
    shown = told(
        create(
            model="ft:tiny:harbour:first:1",
            training_file=f"file-{file.pk}",
            method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 1}}},
        )
    )
    assert shown["hyperparameters"] == {"n_epochs": 1, "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert shown["method"]["dpo"]["hyperparameters"]["beta"] == 0.2

    prepare()

    run = TrainingJob.objects.get()
    assert (run.recipe, run.spec["beta"], run.family_name) == ("prefer", 0.2, "ft:tiny:harbour:")
    assert run.base_version == base_version


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        ({"model": "nobody"}, 404, "model", "model_not_found"),
        ({"training_file": "file-999"}, 400, "training_file", "file_not_found"),
        ({"validation_file": "nonsense"}, 400, "validation_file", "file_not_found"),
        ({"method": {"type": "reinforcement"}}, 400, "method.type", "invalid_choice"),
        ({"method": {"type": "dpo"}}, 400, "training_file", "invalid_training_file"),
        ({"method": {"type": "dpo", "supervised": {}}}, 400, "method.supervised", "invalid"),
        ({"hyperparameters": {"n_epochs": 0}}, 400, "hyperparameters.n_epochs", "bad"),
        ({"hyperparameters": {"n_epochs": "many"}}, 400, "hyperparameters.n_epochs", "bad"),
        ({"hyperparameters": {"learning_rate_multiplier": -1}}, 400, "hyperparameters.learning_rate_multiplier", "bad"),
        (
            {
                "hyperparameters": {"n_epochs": 2},
                "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
            },
            400,
            "hyperparameters.n_epochs",
            "invalid",
        ),
        ({"suffix": "a:b"}, 400, "suffix", "invalid"),
        ({"seed": -1}, 400, "seed", "min_value"),
        (
            {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
            400,
            "integrations.0.wandb.project",
            "unsupported_integration",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_at_the_door(
    create: Callable[..., Any], body: Any, status: int, param: str, code: str
) -> None:
    answer = create(**body)

    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert not FineTuningJob.objects.exists() and not Dataset.objects.exists() and not Job.objects.exists()


def test_hyperparameters_may_stand_in_both_places_when_they_agree(create: Callable[..., Any]) -> None:
    inside = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}}

    shown = told(create(hyperparameters={"n_epochs": 3}, method=inside))

    assert (shown["hyperparameters"]["n_epochs"], shown["hyperparameters"]["batch_size"]) == (3, 4)


def test_the_installations_own_wandb_project_may_be_named(create: Callable[..., Any], settings: Any) -> None:
    settings.WANDB_PROJECT = "curves"
    wish = {"type": "wandb", "wandb": {"project": "curves"}}

    assert told(create(integrations=[wish]))["integrations"] == [wish]


def test_a_model_that_writes_no_text_is_refused(
    create: Callable[..., Any], tagger_version: Callable[..., ModelVersion]
) -> None:
    tagger_version()

    assert create(model="names").json()["error"]["code"] == "model_not_available"


def test_a_file_for_batches_is_not_learnt_from(create: Callable[..., Any], upload: Callable[..., ApiFile]) -> None:
    file = upload(b"{}", purpose="batch")

    assert create(training_file=f"file-{file.pk}").json()["error"]["code"] == "invalid_file"


def test_a_training_that_cannot_start_fails_the_job_with_its_reason(
    v1: APIClient, create: Callable[..., Any], upload: Callable[..., ApiFile]
) -> None:
    shown = told(create(training_file=f"file-{upload(chats(1)).pk}"))

    prepare()

    failed = told(v1.get(f"{JOBS}/{shown['id']}"))
    assert failed["status"] == "failed" and failed["finished_at"]
    assert failed["error"]["param"] == "training_file" and "at least" in failed["error"]["message"]
    assert told(v1.get(f"{JOBS}/{shown['id']}/events"))["data"][0]["level"] == "error"


def test_a_failed_import_names_the_file_to_blame(v1: APIClient, create: Callable[..., Any]) -> None:
    shown = told(create())
    (found,) = Dataset.objects.get().imports.all()
    (home() / found.file_path).write_bytes(chats(2) + b"{\n")

    prepare()

    error = told(v1.get(f"{JOBS}/{shown['id']}"))["error"]
    assert (error["code"], error["param"]) == ("invalid_training_file", "training_file")
    assert error["message"].startswith("Line 3 is not JSON")


class Killed(BaseException):
    """What a kill -9 looks like from inside: nothing more is written."""


@pytest.mark.parametrize("step", ["first import asked", "second import asked", "freeze asked", "training asked"])
def test_the_chain_survives_the_death_of_its_worker_at_every_step(
    create: Callable[..., Any], upload: Callable[..., ApiFile], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    validation = upload(chats(4), "dev.jsonl")
    told(create(training_file=f"file-{upload(chats(20)).pk}", validation_file=f"file-{validation.pk}"))
    wait, begin, waits = chain._require_done, chain.services.begin_training, []

    def dies(job: Job, code: str) -> None:
        if not job.ended:
            waits.append(job)
            if len(waits) == ["first import asked", "second import asked", "freeze asked"].index(step) + 1:
                raise Killed
        wait(job, code)

    def dies_late(**arguments: Any) -> TrainingJob:
        begin(**arguments)
        raise Killed

    if step == "training asked":
        monkeypatch.setattr(chain.services, "begin_training", dies_late)
    else:
        monkeypatch.setattr(chain, "_require_done", dies)
    with pytest.raises(Killed):
        prepare()
    monkeypatch.undo()
    Job.objects.filter(state="running").update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert len(jobs.sweep()["requeued"]) == 1

    prepare()

    assert Dataset.objects.count() == DatasetVersion.objects.count() == TrainingJob.objects.count() == 1
    assert Job.objects.filter(kind="datasets.import").count() == 2
    assert FineTuningJob.objects.get().training == TrainingJob.objects.get()


def test_a_step_that_ends_while_the_chain_goes_to_sleep_wakes_it(
    create: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(create())
    wait = chain._require_done

    def slow(job: Job, code: str) -> None:
        while run_next("io"):  # another worker ends the step before this one is back in the queue
            pass
        wait(job, code)

    monkeypatch.setattr(chain, "_require_done", slow)
    prepare()

    assert FineTuningJob.objects.get().training is not None


def test_a_job_is_cancelled_while_its_files_are_read(v1: APIClient, create: Callable[..., Any]) -> None:
    shown = told(create())

    cancelled = told(v1.post(f"{JOBS}/{shown['id']}/cancel"))
    prepare()

    assert cancelled["status"] == "cancelled" and cancelled["finished_at"]
    assert not TrainingJob.objects.exists()
    assert told(v1.post(f"{JOBS}/{shown['id']}/cancel"))["status"] == "cancelled"  # twice is harmless


def test_a_cancel_that_comes_while_the_chain_goes_to_sleep_is_not_lost(
    v1: APIClient, create: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = told(create())
    wait = chain._require_done

    def asked_meanwhile(job: Job, code: str) -> None:
        told(v1.post(f"{JOBS}/{shown['id']}/cancel"))
        wait(job, code)

    monkeypatch.setattr(chain, "_require_done", asked_meanwhile)
    prepare()

    assert told(v1.get(f"{JOBS}/{shown['id']}"))["status"] == "cancelled"


def test_a_training_is_paused_resumed_and_cancelled(v1: APIClient, create: Callable[..., Any]) -> None:
    job = told(create())["id"]
    early = v1.post(f"{JOBS}/{job}/pause")
    assert early.status_code == 409 and early.json()["error"]["code"] == "not_training_yet"
    prepare()

    paused = told(v1.post(f"{JOBS}/{job}/pause"))
    resumed = told(v1.post(f"{JOBS}/{job}/resume"))
    again = v1.post(f"{JOBS}/{job}/resume")
    cancelled = told(v1.post(f"{JOBS}/{job}/cancel"))

    assert (paused["status"], paused["paused"]) == ("queued", True)
    assert (resumed["status"], resumed["paused"]) == ("queued", False)
    assert again.status_code == 409 and again["x-should-retry"] == "false"
    assert cancelled["status"] == "cancelled"
    assert v1.post(f"{JOBS}/{job}/pause").status_code == 409


def test_events_are_one_list_of_moves_lines_and_measured_steps(v1: APIClient, create: Callable[..., Any]) -> None:
    job = told(create())["id"]
    prepare()
    run = TrainingJob.objects.get()
    now = timezone.now()
    for step in range(1, 6):
        for name in ("train_loss", "learning_rate"):
            MetricPoint.objects.create(
                training_job=run, name=name, step=step, value=step / 10, at=now + timedelta(seconds=step)
            )
        JobLog.objects.create(job=run.job, message=f"line {step}", level="warning", at=now + timedelta(seconds=step))

    whole = told(v1.get(f"{JOBS}/{job}/events"))
    piece, after, pieces = None, "", []
    while piece is None or piece["has_more"]:
        piece = told(v1.get(f"{JOBS}/{job}/events?limit=3{after}"))
        pieces += piece["data"]
        after = f"&after={piece['last_id']}"

    assert pieces == whole["data"] and whole["has_more"] is False
    assert len({event["id"] for event in pieces}) == len(pieces)
    assert pieces[0]["message"] == "Step 5" and pieces[0]["type"] == "metrics"
    assert pieces[0]["data"] == {"step": 5, "train_loss": 0.5, "learning_rate": 0.5}
    assert (pieces[1]["message"], pieces[1]["level"]) == ("line 5", "warn")
    assert pieces[-1]["message"] == "The files are being read."


@pytest.mark.parametrize("after", ["ftevent-x1", "ftevent-t999999", "7", "ftevent-m99999999999"])
def test_an_unknown_event_begins_no_page(v1: APIClient, create: Callable[..., Any], after: str) -> None:
    job = told(create())["id"]

    assert v1.get(f"{JOBS}/{job}/events?after={after}").json()["error"]["param"] == "after"


def test_jobs_are_found_by_their_metadata(v1: APIClient, create: Callable[..., Any]) -> None:
    first, second = told(create(metadata={"team": "a"}))["id"], told(create())["id"]

    assert [row["id"] for row in told(v1.get(JOBS))["data"]] == [second, first]
    assert [row["id"] for row in told(v1.get(f"{JOBS}?metadata[team]=a"))["data"]] == [first]
    assert [row["id"] for row in told(v1.get(f"{JOBS}?metadata=null"))["data"]] == [second]


def test_jobs_of_another_workspace_are_not_there(
    create: Callable[..., Any], api: Callable[..., APIClient], stranger: Any
) -> None:
    job, client = told(create())["id"], api(stranger)

    codes = {client.get(f"{JOBS}/{job}{part}").status_code for part in ("", "/events", "/checkpoints")}
    codes |= {client.post(f"{JOBS}/{job}/{verb}").status_code for verb in ("cancel", "pause", "resume")}
    assert codes == {404} and told(client.get(JOBS))["data"] == []


def test_a_file_of_another_workspace_is_not_learnt_from(
    create: Callable[..., Any], api: Callable[..., APIClient], stranger: Any, upload: Callable[..., ApiFile]
) -> None:
    file = upload()

    answer = api(stranger).post(JOBS, {"model": "tiny", "training_file": f"file-{file.pk}"}, format="json")

    assert answer.json()["error"]["param"] == "training_file"

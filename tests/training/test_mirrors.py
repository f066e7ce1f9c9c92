"""Curves outside: an event file always, trackers when configured; what fails there never fails a run."""

import struct
import sys
import threading
import types
from typing import Any

import pytest

from apps.training import event_files, services
from apps.training.models import MetricPoint, TrainingJob
from apps.training.selectors import event_file, file_places
from core.jobs.models import JobLog
from workers import child, mirrors
from workers.loop import run_next


@pytest.fixture(autouse=True)
def quiet(settings: Any) -> None:
    settings.JOB_BEAT_SECONDS = 3600


def records(data: bytes) -> list[bytes]:
    """The payloads of an event file, every checksum looked at."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack("<Q", data[at : at + 8])
        body = data[at + 12 : at + 12 + length]
        for part, place in ((data[at : at + 8], at + 8), (body, at + 12 + length)):
            crc = event_files.crc32c(part)
            masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
            assert struct.unpack("<I", data[place : place + 4]) == (masked,)
        found.append(body)
        at += 16 + length
    return found


def start(actor: Any, frozen: Any, spec: dict[str, Any]) -> TrainingJob:
    return services.start(actor=actor, recipe="classify", spec=spec, version=frozen, name="Run")


def warnings_of(run: TrainingJob) -> list[str]:
    said = [str(line.message) for line in JobLog.objects.filter(job=run.job, level="warning")]
    return [line for line in said if "mirrored" in line]


def test_the_checksum_is_castagnolis() -> None:
    assert event_files.crc32c(b"123456789") == 0xE3069283


def test_a_point_is_laid_out_as_the_format_says() -> None:
    (body,) = records(event_files.scalar(1.5, 300, "dev_loss", 0.25))

    value = b"\x0a\x08dev/loss" + b"\x15" + struct.pack("<f", 0.25)
    summary = b"\x0a" + bytes([len(value)]) + value
    assert body == b"\x09" + struct.pack("<d", 1.5) + b"\x10\xac\x02" + b"\x2a" + bytes([len(summary)]) + summary
    assert records(event_files.begin(2.0)) == [b"\x09" + struct.pack("<d", 2.0) + b"\x1a\x0dbrain.Event:2"]


def test_the_curves_of_a_run_are_downloaded_as_one_event_file(
    actor: Any, frozen: Any, api: Any, page: Any, alice: Any, workspace: Any
) -> None:
    run = start(actor, frozen, {"epochs": 1})
    for step in (1, 2):
        MetricPoint.objects.create(training_job=run, name="train_loss", step=step, value=1 / step)

    by_api = api(actor).get(f"/api/v1/training-jobs/{run.pk}/events")
    by_page = page(alice).get(f"/w/{workspace.slug}/training/{run.pk}/events")

    assert by_api.content == by_page.content == event_file(run)
    assert len(records(by_api.content)) == 3
    assert "events.out.tfevents." in by_api["Content-Disposition"]


@pytest.mark.django_db(transaction=True)
def test_a_run_leaves_an_event_file_that_no_sweep_takes_away(actor: Any, frozen: Any, spec: dict[str, Any]) -> None:
    run = start(actor, frozen, {**spec, "epochs": 1})

    run_next("train")

    (path,) = (services.run_folder(run) / "tensorboard").iterdir()
    assert len(records(path.read_bytes())) > 3
    kept = {name for _pattern, names in file_places() for name in names()}
    assert any(name.endswith(f"/runs/{run.job_id}/tensorboard") for name in kept)


class Broken:
    """A tracker that fails at one of its three moments."""

    def __init__(self, at: str) -> None:
        self.at = at

    def begin(self) -> None:
        self._fail("begin")

    def tell(self, points: Any) -> None:
        self._fail("tell")

    def end(self, *, succeeded: bool) -> None:
        self._fail("end")

    def _fail(self, where: str) -> None:
        if self.at == where:
            raise RuntimeError("no route to https://me:my-password@tracker.example")


@pytest.mark.django_db(transaction=True)
def test_failing_mirrors_are_one_warning_each_and_never_fail_a_run(
    actor: Any, frozen: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = ("begin", "tell", "end")
    monkeypatch.setattr(mirrors, "trackers_of", lambda *_given: {at: Broken(at) for at in moments})
    run = start(actor, frozen, {**spec, "epochs": 1})

    run_next("train")

    run.job.refresh_from_db()
    said = warnings_of(run)
    assert run.job.state == "succeeded"
    assert len(said) == 3 and all("no route" in line and "my-password" not in line for line in said)


def test_a_mirror_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "PATIENCE_SECONDS", 0.05)
    released = threading.Event()

    class Hanging(Broken):
        def tell(self, points: Any) -> None:
            released.wait()

    mirror = mirrors.Mirror("Hanging", Hanging("never"))
    for _batch in range(mirrors.WAITING + 2):
        mirror.tell([("loss", 1, 1.0)])
    mirror.end(succeeded=True)
    released.set()

    assert mirror.news() == "it fell too far behind" and mirror.news() == ""


def test_a_tracker_that_is_not_installed_says_so(
    settings: Any, actor: Any, frozen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WANDB_PROJECT = "lingxi"
    monkeypatch.setitem(sys.modules, "wandb", None)
    tracker = mirrors.trackers_of(start(actor, frozen, {"epochs": 1}), 1)["Weights & Biases"]

    mirror = mirrors.Mirror("Weights & Biases", tracker)
    mirror.end(succeeded=True)

    assert "wandb" in mirror.news()


def test_curves_reach_the_trackers_as_those_take_them(
    settings: Any, actor: Any, frozen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WANDB_PROJECT, settings.WANDB_API_KEY, settings.MLFLOW_URL = "lingxi", "k" * 40, "http://127.0.0.1:9"
    told: list[Any] = []
    opened = types.SimpleNamespace(
        log=lambda values, step: told.append((step, values)), finish=lambda exit_code: told.append(("exit", exit_code))
    )
    wandb: Any = types.ModuleType("wandb")
    wandb.login = lambda **options: told.append(("login", options["key"][:1]))
    wandb.init = lambda **options: told.append(("init", options["id"])) or opened
    entities: Any = types.ModuleType("mlflow.entities")
    entities.Metric = lambda key, value, _at, step: (key, value, step)
    mlflow: Any = types.ModuleType("mlflow")
    found = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
    mlflow.MlflowClient = lambda **_options: types.SimpleNamespace(
        get_experiment_by_name=lambda _name: types.SimpleNamespace(experiment_id="e1"),
        search_runs=lambda _experiments, _wish: [found],
        log_batch=lambda run_id, metrics: told.append((run_id, metrics)),
        set_terminated=lambda run_id, status: told.append((run_id, status)),
    )
    for name, module in (("wandb", wandb), ("mlflow", mlflow), ("mlflow.entities", entities)):
        monkeypatch.setitem(sys.modules, name, module)
    run = start(actor, frozen, {"epochs": 1})
    trackers = mirrors.trackers_of(run, 1)

    for name in ("Weights & Biases", "MLflow"):
        mirror = mirrors.Mirror(name, trackers[name])
        mirror.tell([("loss", 2, 0.5), ("loss", 1, 0.7), ("norm", 1, 3.0)])
        mirror.end(succeeded=False)
        assert mirror.news() == ""

    assert told == [
        ("login", "k"),
        ("init", f"lingxi-{run.pk}"),
        (1, {"loss": 0.7, "norm": 3.0}),
        (2, {"loss": 0.5}),
        ("exit", 1),
        ("r1", [("loss", 0.5, 2), ("loss", 0.7, 1), ("norm", 3.0, 1)]),
        ("r1", "KILLED"),
    ]


def test_the_engine_is_given_no_secret_of_the_installation() -> None:
    names = ("DATABASE_URL", "REDIS_URL", "LINGXI_WANDB_API_KEY", "WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN")

    assert all(name.startswith(child.SECRETS) for name in names)


HANGS = """
import sys, time
from engine.report import JsonLines
from engine.watchdog import Watchdog
report = JsonLines(int(sys.argv[-1]))
report.watchdog = Watchdog(floor_seconds=0.2)
report.progress(1, 9, "steps", "training")
def stuck_in_a_step():
    time.sleep(100)
stuck_in_a_step()
"""


@pytest.mark.usefixtures("cold_engine")
@pytest.mark.django_db(transaction=True)
def test_a_run_whose_step_hangs_is_started_again_and_its_log_says_where_it_was(
    actor: Any, frozen: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(actor, frozen, {**spec, "epochs": 1})
    monkeypatch.setattr(child, "ENGINE", ("-c", HANGS))
    run_next("train")
    run.job.refresh_from_db()
    assert run.job.state == "queued"
    monkeypatch.setattr(child, "ENGINE", ("-m", "engine.run"))

    run_next("train")

    run.job.refresh_from_db()
    assert (run.job.state, run.job.attempts.count()) == ("succeeded", 2)
    assert any("stuck_in_a_step" in str(line.message) for line in run.job.log_lines.all())
    assert "did not end" in str(run.job.attempts.order_by("token")[0].note)

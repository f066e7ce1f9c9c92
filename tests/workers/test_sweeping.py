"""Nothing is left behind, and nothing that a row names is ever dropped."""

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import AuditEntry, Workspace
from apps.accounts.services import apply_retention
from apps.accounts.services.workspaces import erase_workspace
from apps.datasets.models import ImportJob
from apps.registry import services as registry
from apps.registry.models import ModelVersion, VersionExport, VersionImport
from core import leftovers
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.work import file_places as work_places
from core.jobs.work import work_folder
from core.storage import home, workspace_folder
from workers.tasks import FILE_ROOMS, sweep_files

HOUR = 3600.0


@pytest.fixture
def files(settings: Any, tmp_path: Path, workspace: Any) -> Path:
    """An installation's folder of its own, with the workspace's files in it."""
    settings.HOME = tmp_path
    return workspace_folder(workspace.pk)


def age(path: Path, hours: float) -> None:
    """As if nobody had written there for some hours."""
    at = time.time() - hours * HOUR
    for each in [path, *path.rglob("*")]:
        os.utime(each, (at, at))


def put(path: Path, *, hours: float = 30.0, size: int = 1000) -> Path:
    """A folder with one file, or a file where the name has an ending."""
    target = path if path.suffix else path / "content.bin"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"x" * size)
    age(path, hours)
    return path


def pass_the_period(folder: Path) -> None:
    """What lies aside grows old enough."""
    for path in folder.rglob(f"{leftovers.ASIDE}*"):
        age(path, 30.0)


LEFTOVERS = (
    "models/0123abcd",  # kept, but its registration was rolled back or its row deleted
    "uploads/0123abcd.zip",  # the request died after the upload
    "exports/model-1-2.zip",  # the row is gone
    "runs/77",  # the training job was deleted
    "work/12-1",  # the attempt died
    "predictions/0123abcd",  # an upload without a batch
    "datasets/99",  # the dataset was deleted
)


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_no_row_names_goes_after_two_periods_and_the_log_says_how_much(
    files: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(files / name, size=1234)
    caplog.set_level(logging.INFO)

    sweep_files()
    aside = [path.name for path in (files / name).parent.iterdir()]
    pass_the_period(files)
    sweep_files()

    assert aside == [f"{leftovers.ASIDE}{Path(name).name}"]
    assert not list((files / name).parent.iterdir())
    assert f"{name} (1,234 bytes)" in caplog.text


@pytest.mark.parametrize("name", LEFTOVERS)
def test_what_was_written_lately_is_left_alone(files: Path, name: str) -> None:
    put(files / name, hours=23)

    sweep_files()

    assert (files / name).exists()


def test_a_folder_is_as_young_as_its_youngest_file(files: Path) -> None:
    put(files / "models/0123abcd")
    (files / "models/0123abcd/late.bin").write_bytes(b"x")
    os.utime(files / "models/0123abcd", (1, 1))

    sweep_files()

    assert (files / "models/0123abcd/late.bin").exists()


def test_files_of_a_workspace_that_is_gone_go_too(files: Path) -> None:
    put(files.parent / "987654" / "models" / "0123abcd")
    age(files.parent / "987654", 30)

    sweep_files()
    pass_the_period(files.parent)
    sweep_files()

    assert [path.name for path in files.parent.iterdir()] == [files.name]


def version_of(workspace: Any, folder: Path) -> ModelVersion:
    (folder / "model.safetensors").parent.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    kept = registry.keep_folder(workspace_id=workspace.pk, folder=folder)
    return registry.register_version(
        workspace=workspace, name="Intents", folder=kept, recipe="classify", task="classification",
        origin="test", labels=["a", "b"],
    )  # fmt: skip


def test_what_rows_name_stays_however_old(files: Path, workspace: Any, actor: Any, tmp_path: Path) -> None:
    version = version_of(workspace, tmp_path / "made")
    job = jobs.create(kind="registry.import", workspace=workspace, queue="infer", title="Import")
    upload = put(files / "uploads" / "a.zip")
    VersionImport.objects.create(
        job=job, workspace=workspace, name="m", filename="m.zip", upload=upload.relative_to(home()).as_posix()
    )
    run = jobs.claim(queue="infer", worker="w")
    assert run is not None
    scratch = put(work_folder(run))
    age(version.path, 1000)

    sweep_files()
    pass_the_period(files)
    sweep_files()

    assert version.path.is_dir() and upload.is_file() and scratch.is_dir()


def test_the_scratch_of_an_attempt_that_died_goes_when_the_next_one_runs(files: Path, workspace: Any) -> None:
    jobs.create(kind="evaluation.run", workspace=workspace, queue="infer", title="Evaluate")
    first = jobs.claim(queue="infer", worker="w")
    assert first is not None
    dead = put(work_folder(first))
    first.hand_back(reason="died", counts=False)
    second = jobs.claim(queue="infer", worker="w")
    assert second is not None
    live = put(work_folder(second))

    leftovers.sweep_all(work_places())

    assert live.is_dir() and not dead.exists()


def test_a_row_committed_while_the_sweep_looks_keeps_its_file(files: Path, workspace: Any, tmp_path: Path) -> None:
    version = version_of(workspace, tmp_path / "made")
    age(version.path, 30)
    folder = version.folder
    asked = []

    def names() -> set[str]:
        asked.append(version.path.exists())
        return set() if len(asked) == 1 else {folder}  # the row is committed after the first question

    swept = leftovers.sweep("*/models/*", names)

    assert asked == [True, False]  # it was set aside in between
    assert swept.given_back == [folder] and not swept.dropped and not swept.set_aside
    assert (version.path / "model.safetensors").read_bytes() == b"weights"


def test_a_row_committed_while_its_file_lies_aside_gets_it_back(files: Path, workspace: Any, tmp_path: Path) -> None:
    version = version_of(workspace, tmp_path / "made")
    age(version.path, 30)
    leftovers.sweep("*/models/*", set)
    assert not version.path.exists()
    pass_the_period(files)

    sweep_files()

    assert (version.path / "model.safetensors").is_file()


def test_two_files_of_one_name_wait_for_a_person(files: Path) -> None:
    put(files / "uploads" / "a.zip")
    sweep_files()
    again = put(files / "uploads" / "a.zip", hours=0)

    leftovers.sweep("*/uploads/*", lambda: {again.relative_to(home()).as_posix()})

    assert sorted(path.name for path in again.parent.iterdir()) == [f"{leftovers.ASIDE}a.zip", "a.zip"]


def test_a_sweeper_that_was_faster_is_no_error(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(files / "uploads" / "a.zip")
    original: Callable[[Path, Path], Path] = Path.rename

    def faster(self: Path, target: Path) -> Path:
        if self == path:
            self.unlink()
        return original(self, target)

    monkeypatch.setattr(Path, "rename", faster)

    swept = leftovers.sweep("*/uploads/*", set)

    assert not swept.set_aside and not swept.dropped


def test_every_folder_that_the_rooms_use_is_swept() -> None:
    patterns = [pattern for room in FILE_ROOMS for pattern, _names in room()]

    used = {"models", "uploads", "exports", "runs", "work", "predictions", "datasets", "api-files", "backfills"}
    assert {pattern.split("/")[1] for pattern in patterns if "/" in pattern} == used


def days_ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def ended(workspace: Any, kind: str, state: str, days: float) -> Job:
    job = jobs.create(kind=kind, workspace=workspace, queue="io", title=kind)
    Job.objects.filter(pk=job.pk).update(state=state, finished_at=days_ago(days))
    return job


@pytest.mark.parametrize(("days", "stays"), [(29, True), (31, False)])
def test_model_exports_go_with_the_workspaces_period(
    files: Path, workspace: Any, tmp_path: Path, days: float, stays: bool
) -> None:
    version = version_of(workspace, tmp_path / "made")
    path = put(files / "exports" / "model-1-1.zip", hours=0)
    export = VersionExport.objects.create(
        job=ended(workspace, "registry.export", "succeeded", days), workspace=workspace, version=version,
        path=path.relative_to(home()).as_posix(),
    )  # fmt: skip

    registry.expire_files()

    export.refresh_from_db()
    assert (path.exists(), bool(export.path)) == (stays, stays)


@pytest.mark.parametrize(("state", "days", "stays"), [("failed", 6, True), ("failed", 8, False), ("queued", 8, True)])
def test_uploads_of_failed_imports_wait_a_week_for_a_retry(
    files: Path, workspace: Any, state: str, days: float, stays: bool
) -> None:
    path = put(files / "uploads" / "a.zip", hours=0)
    VersionImport.objects.create(
        job=ended(workspace, "registry.import", state, days), workspace=workspace, name="m", filename="m.zip",
        upload=path.relative_to(home()).as_posix(),
    )  # fmt: skip

    registry.expire_files()

    assert path.exists() is stays


def test_the_audit_trail_of_a_deleted_workspace_ends_when_it_would_have(workspace: Any, stranger: Any) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(audit_retention_days=30, deleting_at=timezone.now())
    Workspace.objects.filter(pk=stranger.workspace.pk).update(deleting_at=timezone.now())
    for place in (workspace, stranger.workspace):
        for days in (10, 50):
            AuditEntry.objects.create(workspace_id=place.pk, actor="a", action=f"old.{days}", at=days_ago(days))
        erase_workspace(workspace=Workspace.objects.get(pk=place.pk))

    apply_retention()

    left = AuditEntry.objects.filter(action__startswith="old.").values_list("workspace_id", "action")
    assert set(left) == {
        (workspace.pk, "old.10"),
        (stranger.workspace.pk, "old.10"),  # kept for ever, as it was set
        (stranger.workspace.pk, "old.50"),
    }


def test_an_import_of_a_dataset_names_its_upload(files: Path, workspace: Any, actor: Any) -> None:
    from apps.datasets.services import create

    dataset = create(actor=actor, name="Mails", kind="classification")
    named = put(files / "datasets" / str(dataset.pk) / "imports" / "one.csv")
    other = put(files / "datasets" / str(dataset.pk) / "imports" / "two.csv")
    ImportJob.objects.create(dataset=dataset, file_path=named.relative_to(home()).as_posix(), source="upload")

    sweep_files()

    assert named.exists() and not other.exists()

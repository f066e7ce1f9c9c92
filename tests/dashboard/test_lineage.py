"""Lineage both ways: from the file that was imported to what a version is used for, and back."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Membership
from apps.dashboard.drawing import HEIGHT, WIDTH, drawn, fitting
from apps.dashboard.lineage import SHOWN, Graph, lineage_of_data, lineage_of_model
from apps.datasets.models import Dataset, DatasetVersion, ImportJob
from apps.datasets.services import delete_version
from apps.evaluation.models import EvaluationJob
from apps.inference.models import BatchJob
from apps.registry.models import BaseModel, ModelVersion, VersionExport
from apps.registry.services import delete_version as delete_model_version
from apps.registry.services import move_alias, register_version
from apps.training.models import TrainingJob
from core.access import Actor
from core.errors import Refused
from core.jobs.models import Job


def job(workspace: Any, kind: str) -> Job:
    return Job.objects.create(
        workspace=workspace, kind=kind, queue="io", title=kind, state="succeeded", finished_at=timezone.now()
    )


@pytest.fixture
def data(workspace: Any) -> DatasetVersion:
    """Two imports before a frozen version, and one that came after it."""
    dataset = Dataset.objects.create(workspace=workspace, name="Questions", kind="classification")
    version = DatasetVersion.everything.create(
        dataset=dataset, number=1, content_hash="d" * 64, frozen_at=timezone.now() + timedelta(hours=1)
    )
    for at, name in enumerate(("first.csv", "second.csv", "late.csv")):
        made = job(workspace, "datasets.import")
        made.finished_at = timezone.now() + timedelta(hours=at)
        made.save()
        ImportJob.objects.create(dataset=dataset, job=made, source="upload", file_name=name, file_hash=f"{at}" * 64)
    ImportJob.objects.filter(file_name="second.csv").update(dry_run=False)
    Job.objects.filter(import_job__file_name="second.csv").update(finished_at=timezone.now())
    return version


@pytest.fixture
def trained(workspace: Any, data: DatasetVersion, alice: Any, tmp_path: Path) -> Callable[..., ModelVersion]:
    """Registers what a training of the data made."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")

    def make(parent: ModelVersion | None = None, name: str = "intents") -> ModelVersion:
        training = TrainingJob.objects.create(
            workspace=workspace, job=job(workspace, "training.run"), name=f"run of {name}", recipe="classify", spec={},
            spec_hash="s", dataset_version=data, family_name=name,
        )  # fmt: skip
        version = register_version(
            workspace=workspace, name=name, folder=folder, recipe="classify", task="classification", by=alice,
            dataset_version=data, base_model=BaseModel.objects.get(workspace=None), parent=parent,
        )  # fmt: skip
        TrainingJob.objects.filter(pk=training.pk).update(model_version=version)
        return version

    return make


@pytest.fixture
def used(actor: Actor, workspace: Any, data: DatasetVersion, trained: Any) -> ModelVersion:
    """A version with an evaluation, an alias, a batch, an export, and a child."""
    version: ModelVersion = trained()
    EvaluationJob.objects.create(
        job=job(workspace, "evaluation.run"),
        workspace=workspace,
        model_version=version,
        dataset_version=data,
        split="test",
    )
    BatchJob.objects.create(job=job(workspace, "inference.batch"), workspace=workspace, model_version=version)
    VersionExport.objects.create(
        job=job(workspace, "registry.export"), workspace=workspace, version=version, kind="gguf", sha256="e" * 64
    )
    move_alias(actor=actor, family=version.family, name="champion", version=version)
    trained(parent=version, name="child")
    return version


def ways(graph: Graph) -> set[tuple[str, str]]:
    return {(f"{one[0]} {graph.nodes[one].title}", f"{two[0]} {graph.nodes[two].title}") for one, two in graph.edges}


def test_a_model_version_knows_its_files_and_its_uses(actor: Actor, used: ModelVersion) -> None:
    graph = lineage_of_model(actor, used)

    assert ways(graph) == {
        ("import first.csv", "dataset_version Questions v1"),
        ("import second.csv", "dataset_version Questions v1"),
        ("dataset_version Questions v1", "training run of intents"),
        ("base_model MiniLM L6 v2", "training run of intents"),
        ("training run of intents", "model_version intents v1"),
        ("model_version intents v1", "evaluation Questions v1 test"),
        ("model_version intents v1", "alias champion"),
        ("model_version intents v1", f"batch {BatchJob.objects.get()}"),
        ("model_version intents v1", "export GGUF for llama.cpp"),
        ("model_version intents v1", "training run of child"),
        ("dataset_version Questions v1", "training run of child"),
        ("base_model MiniLM L6 v2", "training run of child"),
        ("training run of child", "model_version child v1"),
    }
    sides = {node.title: node.side for node in graph.nodes.values()}
    assert (sides["first.csv"], sides["intents v1"], sides["champion"]) == ("upstream", "focus", "downstream")


def test_a_dataset_version_knows_every_version_that_came_of_it(
    actor: Actor, data: DatasetVersion, used: ModelVersion
) -> None:
    graph = lineage_of_data(actor, data)

    titles = {node.title for node in graph.nodes.values()}
    assert {"first.csv", "run of intents", "intents v1", "child v1", "champion", "GGUF for llama.cpp"} <= titles
    assert "late.csv" not in titles
    assert ("dataset_version Questions v1", "evaluation intents v1") in ways(graph)


def test_a_child_leads_back_to_the_first_file(actor: Actor, used: ModelVersion) -> None:
    child = used.children.get()

    graph = lineage_of_model(actor, child)

    assert ("model_version intents v1", "training run of child") in ways(graph)
    assert ("import first.csv", "dataset_version Questions v1") in ways(graph)
    assert "champion" not in {node.title for node in graph.nodes.values()}


def test_every_line_leads_to_a_later_column_and_no_box_covers_another(actor: Actor, used: ModelVersion) -> None:
    graph = lineage_of_model(actor, used)

    at = {node.key: number for number, layer in enumerate(graph.layers()) for node in layer}
    assert all(at[one] < at[two] for one, two in graph.edges)
    drawing = drawn(graph)
    places = {(box.x, box.y) for box in drawing.boxes}
    assert len(places) == len(drawing.boxes) == len(graph.nodes)
    assert all(box.x + WIDTH <= drawing.width and box.y + HEIGHT <= drawing.height for box in drawing.boxes)
    rows = sorted((box.x, box.y) for box in drawing.boxes)
    assert all(one[0] != two[0] or two[1] - one[1] >= HEIGHT for one, two in pairwise(rows))


def test_what_is_left_out_is_counted(actor: Actor, used: ModelVersion, workspace: Any) -> None:
    for _time in range(SHOWN + 2):
        BatchJob.objects.create(job=job(workspace, "inference.batch"), workspace=workspace, model_version=used)

    graph = lineage_of_model(actor, used)

    assert sum(node.kind == "batch" for node in graph.nodes.values()) == SHOWN
    assert graph.left_out == {"batch": 3}


def test_long_names_are_cut_where_they_would_leave_the_box() -> None:
    assert fitting("short", 10) == "short"
    assert fitting("a long name", 6) == "a lon…"
    assert fitting("客户服务问题", 6) == "客户…"


def test_deleting_says_what_depends(actor: Actor, data: DatasetVersion, used: ModelVersion) -> None:
    with pytest.raises(Refused, match=r"used by alias champion, .*evaluation #\d+"):
        delete_model_version(actor=actor, version=used)
    with pytest.raises(
        Refused, match=r"used by model version intents v1, .*training job run of intents, .*must stay"
    ) as refused:
        delete_version(actor=actor, version=data)

    assert (refused.value.code, refused.value.status) == ("version_in_use", 409)


def address(name: str, pk: int, workspace: str = "harbour") -> str:
    return reverse(f"dashboard:{name}", kwargs={"workspace": workspace, "pk": pk})


def test_pages_and_api_show_the_same_graph(
    actor: Actor, data: DatasetVersion, used: ModelVersion, page: Any, api: Any, bob: Any, charlie: Any, stranger: Actor
) -> None:
    for name, pk, path in (
        ("lineage_model", used.pk, f"/api/v1/model-versions/{used.pk}/lineage"),
        ("lineage_data", data.pk, f"/api/v1/dataset-versions/{data.pk}/lineage"),
    ):
        shown = page(bob).get(address(name, pk))
        found = api(actor).get(path).json()

        text = shown.content.decode()
        assert shown.status_code == 200 and text.count("<rect") == len(found["nodes"])
        assert text.count("<path d=") >= len(found["edges"]) > 8
        assert all(node["title"][:20] in text for node in found["nodes"])
        assert found["used_by"] and "Cannot be deleted: used by" in text
        assert page(charlie).get(address(name, pk)).status_code == 404
        assert page(charlie).get(address(name, pk, "elsewhere")).status_code == 404
        assert api(stranger).get(path).status_code == 404


def test_who_may_not_see_models_sees_only_the_data(
    data: DatasetVersion, used: ModelVersion, page: Any, bob: Any
) -> None:
    Membership.objects.filter(user=bob).update(role="annotator")
    browser = page(bob)

    text = browser.get(address("lineage_data", data.pk)).content.decode()

    assert "first.csv" in text and "run of intents" not in text and ">champion<" not in text
    assert browser.get(address("lineage_model", used.pk)).status_code == 403

"""Exports as other kinds: offered by what a version holds, measured, kept with their parity, refused when it fails."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from apps.registry.models import ModelVersion, VersionExport
from apps.registry.selectors import export_kinds
from apps.registry.services import Making, register_version, start_export
from core.access import Actor
from core.errors import Refused
from core.storage import home
from engine import export_gguf
from workers.loop import run_next

Chat = Callable[..., ModelVersion]
Tiny = Callable[..., Path]


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real engine without a child process, which costs seconds."""
    from engine import tasks
    from engine.report import Silent

    def run(_run: Any, order: dict[str, Any], _folder: Path, **_options: Any) -> dict[str, Any]:
        return tasks.perform(order, None, Silent())

    monkeypatch.setattr("workers.registry.run_engine", run)


def exported(actor: Actor, version: ModelVersion, kind: str) -> VersionExport:
    made = start_export(actor=actor, version=version, kind=kind)
    assert run_next("infer") == made.job.pk
    return VersionExport.objects.select_related("job").get(pk=made.pk)


def names(export: VersionExport) -> set[str]:
    with zipfile.ZipFile(io.BytesIO((home() / export.path).read_bytes())) as archive:
        return set(archive.namelist())


def test_a_chat_version_leaves_as_gguf_through_a_child_of_its_own(actor: Actor, chat_version: Chat) -> None:
    export = exported(actor, chat_version(), "gguf")

    assert export.job.state == "succeeded", export.job.error_message
    assert names(export) == {"README.md", "model.gguf"}
    assert export.parity["passed"] is True
    assert export.parity["max_logit_difference"] <= export.parity["tolerance"]


@pytest.mark.usefixtures("in_process")
def test_a_classifier_leaves_as_a_plain_folder(actor: Actor, workspace: Any, alice: Any, tiny_classifier: Tiny) -> None:
    version = register_version(
        workspace=workspace, name="tiny", folder=tiny_classifier(), recipe="classify", task="classification", by=alice,
        labels=["refund", "card", "loan"],
    )  # fmt: skip

    export = exported(actor, version, "merged")

    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names(export)
    assert export.parity["by"] == "transformers" and export.parity["passed"] is True


@pytest.mark.usefixtures("in_process")
def test_taggers_and_readers_leave_as_plain_folders(
    actor: Actor, workspace: Any, alice: Any, tiny_tagger: Tiny, tiny_reader: Tiny
) -> None:
    given: dict[str, Any] = {"workspace": workspace, "by": alice}
    plain = tiny_tagger(("city", "name"), case_features=False)
    tagger = register_version(
        name="names", folder=plain, recipe="tag", task="tagging", labels=["city", "name"], **given
    )
    reader = register_version(name="reader", folder=tiny_reader(), recipe="extract", task="extraction", **given)

    for version in (tagger, reader):
        assert export_kinds(version) == ["archive", "merged", "onnx"]
        export = exported(actor, version, "merged")

        assert export.job.state == "succeeded", export.job.error_message
        assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names(export)
        assert export.parity["by"] == "transformers" and export.parity["passed"] is True


@pytest.mark.usefixtures("in_process")
def test_the_adapter_of_a_version_is_run_on_the_version_it_was_trained_on(
    actor: Actor, workspace: Any, alice: Any, reader_version: Callable[..., ModelVersion], tmp_path: Path
) -> None:
    from engine.base_models import own_description
    from engine.methods import attach
    from engine.reader_folder import open_reader, save_reader
    from engine.specs.methods import MethodOptions

    base = reader_version()
    reader = open_reader(base.path)
    attached = attach(reader.model.encoder, MethodOptions(method="lora"))
    for parameter in reader.model.encoder.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    said = {**own_description(str(base.path)), "base_model": f"version:{base.pk}"}
    save_reader(tmp_path / "model", reader.model, reader.tokenizer, said, attached=attached)
    start = {"base_model": {"kind": "version", "name": str(base.pk)}}
    given: dict[str, Any] = {"workspace": workspace, "by": alice, "parent": base, "making": Making(spec=start)}
    version = register_version(name="reader", folder=tmp_path / "model", recipe="extract", task="extraction", **given)

    export = exported(actor, version, "adapter")

    assert export.job.state == "succeeded", export.job.error_message
    assert export.parity["by"] == "peft" and export.parity["passed"] is True


def test_what_transformers_would_read_otherwise_is_refused_with_the_reason(
    actor: Actor, tagger_version: Callable[..., ModelVersion]
) -> None:
    with pytest.raises(Refused, match="also reads how each word is written") as refused:
        start_export(actor=actor, version=tagger_version(), kind="merged")

    assert refused.value.code == "export_not_offered" and "archive, onnx" in str(refused.value.hint)


@pytest.mark.usefixtures("in_process")
def test_a_conversion_that_makes_another_model_is_refused_and_its_figures_are_kept(
    actor: Actor, chat_version: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pain 12: elsewhere the merged or exported model is not the trained one, and nobody is told."""
    monkeypatch.setattr(export_gguf, "interleaved", lambda rows, _heads: rows)

    export = exported(actor, chat_version(), "gguf")

    assert (export.job.state, export.job.error_code) == ("failed", "parity_failed")
    assert export.path == "" and export.sha256 == ""
    assert export.parity["passed"] is False
    assert export.parity["max_logit_difference"] > export.parity["tolerance"]
    kept = home() / "files" / str(export.workspace_id) / "exports"
    assert not kept.exists() or not list(kept.iterdir())


def test_only_what_a_version_holds_is_offered(
    actor: Actor, workspace: Any, chat_version: Chat, tiny_chat: Tiny
) -> None:
    import shutil

    from apps.registry.selectors import export_kinds

    def adapted(method: str) -> ModelVersion:
        folder = tiny_chat("gpt2").parent / method
        shutil.copytree(tiny_chat("gpt2"), folder)
        (folder / "adapter").mkdir()
        (folder / "adapter" / "options.json").write_text(f'{{"method": "{method}"}}')
        return register_version(workspace=workspace, name="bot", folder=folder, recipe="chat", task="generation")

    plain = chat_version("gpt2")

    assert export_kinds(plain) == ["archive", "merged", "onnx", "gguf"]
    assert export_kinds(adapted("lora")) == ["archive", "adapter", "merged", "onnx", "gguf"]
    assert export_kinds(adapted("prefix")) == ["archive", "adapter"]
    with pytest.raises(Refused, match="cannot be exported as adapter"):
        start_export(actor=actor, version=plain, kind="adapter")


@pytest.mark.usefixtures("in_process")
def test_parity_is_shown_on_the_page_and_by_the_api(
    actor: Actor, chat_version: Chat, api: Any, stranger: Actor, page: Any, bob: Any, charlie: Any
) -> None:
    version = chat_version("llama")
    client = api(actor)
    started = client.post(f"/api/v1/model-versions/{version.pk}/export", {"kind": "gguf"}, format="json")
    assert started.status_code == 202 and run_next("infer") is not None

    [found] = client.get(f"/api/v1/model-versions/{version.pk}/exports").json()["results"]
    address = reverse("registry:detail", kwargs={"workspace": "harbour", "pk": version.pk})
    shown = page(bob).get(address).content.decode()

    assert (found["kind"], found["parity"]["passed"], found["job"]["state"]) == ("gguf", True, "succeeded")
    assert "Run by gguf on 8 fixed texts" in shown and "GGUF for llama.cpp" in shown
    wrong = client.post(f"/api/v1/model-versions/{version.pk}/export", {"kind": "adapter"}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "export_not_offered")
    assert api(stranger).get(f"/api/v1/model-versions/{version.pk}/exports").status_code == 404
    export = reverse("registry:export", kwargs={"workspace": "harbour", "pk": version.pk})
    assert page(charlie).post(export, {"kind": "gguf"}).status_code == 404
    file = client.get(f"/api/v1/model-exports/{found['id']}/file")
    assert f"v{version.number}-gguf.zip" in file["Content-Disposition"]

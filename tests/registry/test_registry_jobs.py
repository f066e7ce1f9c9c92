"""Jobs of the registry with the real engine: export, import and verify; what an import refuses."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.registry.archives import MOST_FILES
from apps.registry.models import ModelVersion, VersionExport
from apps.registry.services import edit_card, register_version, start_check, start_export, start_import
from core.access import Actor
from core.jobs.models import Job
from core.storage import home
from workers.loop import run_next

Tiny = Callable[..., Path]


def zipped(files: dict[str, bytes], folder: str = "model/", **options: Any) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return sink.getvalue()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def imported(actor: Actor, content: bytes) -> Job:
    """The ended job of importing `content`."""
    upload = SimpleUploadedFile("model.zip", content, content_type="application/zip")
    made = start_import(actor=actor, name="taken in", upload=upload)
    assert run_next("infer") == made.job.pk
    made.job.refresh_from_db()
    return made.job


def registered(actor: Actor, folder: Path) -> ModelVersion:
    return register_version(
        workspace=actor.workspace,
        name="tiny",
        folder=folder,
        recipe="classify",
        task="classification",
        labels=["refund", "card", "loan"],
        by=actor.user,
    )


def exported(actor: Actor, version: ModelVersion) -> bytes:
    export = start_export(actor=actor, version=version)
    assert run_next("io") == export.job.pk
    export = VersionExport.objects.select_related("job").get(pk=export.pk)
    assert export.job.state == "succeeded", export.job.error_message
    return (home() / export.path).read_bytes()


def test_an_export_is_the_same_bytes_each_time_and_can_be_imported(actor: Actor, tiny_classifier: Tiny) -> None:
    version = registered(actor, tiny_classifier())
    edit_card(actor=actor, version=version, limits="Invented texts only.")

    first, second = exported(actor, version), exported(actor, version)
    job = imported(actor, first)

    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert "Invented texts only." in archive.read("README.md").decode()
    assert job.state == "succeeded", job.error_message
    back = ModelVersion.objects.get(pk=job.result["model_version"])
    assert (back.labels, back.source, back.number) == (["refund", "card", "loan"], "import", 1)
    assert back.weights_hash == version.weights_hash
    assert back.parameter_count is not None and back.parameter_count > 1000


def test_verifying_finds_an_altered_file(actor: Actor, tiny_classifier: Tiny) -> None:
    version = registered(actor, tiny_classifier())
    target = version.path / "config.json"
    content = target.read_bytes()
    target.unlink()
    target.write_bytes(content + b" ")

    check = start_check(actor=actor, version=version)
    run_next("io")

    check.refresh_from_db()
    version.refresh_from_db()
    assert check.problems == [{"path": "config.json", "problem": "altered"}]
    assert version.state == "damaged"
    export = start_export(actor=actor, version=version)
    run_next("io")
    export.job.refresh_from_db()
    assert (export.job.state, export.job.error_code) == ("failed", "version_damaged")


def changed(files: dict[str, bytes], **columns: Any) -> dict[str, bytes]:
    config = json.loads(files["config.json"]) | columns
    return {**files, "config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda files: {**files, "pytorch_model.bin": b"\x80\x04"}, "unsafe_file"),
        (lambda files: {**files, "weights.pt": b"x"}, "unsafe_file"),
        (lambda files: {**files, "modeling_evil.py": b"import os"}, "unsafe_file"),
        (lambda files: changed(files, auto_map={"AutoModel": "evil.Model"}), "custom_code"),
        (lambda files: changed(files, architectures=["MambaForCausalLM"], model_type="mamba"), "unknown_architecture"),
        (lambda files: changed(files, architectures="BertForSequenceClassification"), "unknown_architecture"),
        (lambda files: changed(files, model_type=["bert"]), "unknown_architecture"),
        (lambda files: changed(files, id2label={"0": "a", "2": "b"}), "no_labels"),
        (lambda files: changed(files, id2label={"0": "a", "1": "a"}), "no_labels"),
        (lambda files: {**files, "../escape.json": b"{}"}, "unsafe_path"),
        (lambda files: {**files, "a\\b.json": b"{}"}, "unsafe_path"),
        (lambda files: {**files, "config.json": b"{"}, "json_unreadable"),
        (lambda files: {**files, "config.json": b"[]"}, "json_unreadable"),
        (lambda files: {**files, "config.json": b"[" * 100_000}, "json_unreadable"),
        (lambda files: {**files, "model.safetensors": b"short"}, "weights_unreadable"),
        (lambda files: {**files, "vocab.txt": b"0" * 40_000_000}, "zip_bomb"),
        (lambda files: {**files, "lingxi.json": b'{"format": 1, "labels": ["x"]}'}, "description_disagrees"),
        (lambda files: {name: content for name, content in files.items() if name != "tokenizer.json"}, "file_missing"),
        (lambda files: {name: content for name, content in files.items() if name != "config.json"}, "file_missing"),
        (lambda files: {**files, **{f"{at}.txt": b"" for at in range(MOST_FILES)}}, "too_many_files"),
    ],
)
def test_an_import_that_could_do_harm_is_refused_with_a_code(
    actor: Actor, tiny_classifier: Tiny, damage: Callable[[dict[str, bytes]], dict[str, bytes]], code: str
) -> None:
    job = imported(actor, zipped(damage(files_of(tiny_classifier()))))

    assert (job.state, job.error_code) == ("failed", code)
    assert not ModelVersion.objects.exists()


def test_a_link_and_a_truncated_zip_are_refused(actor: Actor, tiny_classifier: Tiny) -> None:
    files = files_of(tiny_classifier())
    sink = io.BytesIO(zipped(files))
    with zipfile.ZipFile(sink, "a") as archive:
        link = zipfile.ZipInfo("model/vocab.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")

    assert imported(actor, sink.getvalue()).error_code == "unsafe_path"
    assert imported(actor, zipped(files)[:-100]).error_code == "zip_broken"


def test_weights_that_do_not_fit_the_config_are_found_by_loading(actor: Actor, tiny_classifier: Tiny) -> None:
    job = imported(actor, zipped(changed(files_of(tiny_classifier()), hidden_size=32)))

    assert (job.state, job.error_code) == ("failed", "base_model_unusable")
    assert not ModelVersion.objects.exists()

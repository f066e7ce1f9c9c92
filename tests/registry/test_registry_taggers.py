"""Taggers in the registry: out and in with the same spans, others' taken in, and incomplete ones refused."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.registry.models import VersionExport
from apps.registry.selectors import export_kinds
from apps.registry.services import start_export, start_import
from core.storage import home
from engine.tagger_folder import open_tagger
from workers.loop import run_next

Tiny = Callable[..., Path]
TEXTS = ["My card, Lena in Oslo " * 3, "我在北京", "where is Lena"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def imported(actor: Any, files: dict[str, bytes]) -> Any:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    upload = SimpleUploadedFile("model.zip", sink.getvalue())
    made = start_import(actor=actor, name="taken in", upload=upload)
    assert run_next("infer") == made.job.pk
    made.refresh_from_db()
    return made


def test_an_own_tagger_goes_out_and_comes_back_with_the_same_spans(actor: Any, tagger_version: Any) -> None:
    version = tagger_version()
    start_export(actor=actor, version=version)
    run_next("io")
    export = VersionExport.objects.get(version=version)
    with zipfile.ZipFile(home() / export.path) as archive:
        files = {Path(name).name: archive.read(name) for name in archive.namelist()}

    made = imported(actor, files)

    assert made.version is not None, made.job.error_message
    assert (made.version.task, made.version.labels) == ("tagging", ["city", "name"])
    assert open_tagger(made.version.path).mark(TEXTS) == open_tagger(version.path).mark(TEXTS)


def test_a_tagger_that_reads_how_words_are_written_is_offered_as_a_graph_and_never_as_merged(
    actor: Any, tagger_version: Any
) -> None:
    assert export_kinds(tagger_version()) == ["archive", "onnx"]


def test_a_plain_token_classifier_is_taken_in(actor: Any, tiny_tagger: Tiny) -> None:
    files = files_of(tiny_tagger(case_features=False))
    del files["lingxi.json"]

    made = imported(actor, files)

    assert made.version is not None, made.job.error_message
    assert (made.version.task, made.version.labels) == ("tagging", ["city", "name"])


def without_description(files: dict[str, bytes]) -> None:
    del files["lingxi.json"]


def with_other_tags(files: dict[str, bytes]) -> None:
    config = json.loads(files["config.json"])
    config["id2label"]["2"] = "E-city"
    files["config.json"] = json.dumps(config).encode()


def with_other_labels(files: dict[str, bytes]) -> None:
    described = json.loads(files["lingxi.json"])
    described["labels"] = ["name", "city"]
    files["lingxi.json"] = json.dumps(described).encode()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without_description, "file_missing"),  # its case features would be lost
        (with_other_tags, "no_labels"),
        (with_other_labels, "description_disagrees"),
    ],
)
def test_a_tagger_that_is_not_whole_is_refused(
    actor: Any, tiny_tagger: Tiny, change: Callable[[dict[str, bytes]], None], code: str
) -> None:
    files = files_of(tiny_tagger())
    change(files)

    made = imported(actor, files)

    assert (made.version, made.job.error_code) == (None, code)

"""`import` and `export` on the command line start the same jobs as the pages."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.datasets.models import Dataset, Example
from core.jobs.models import Job
from workers.loop import run_next


@pytest.fixture(autouse=True)
def _at_work(monkeypatch: Any) -> None:
    """A worker is at hand: looking at the job lets it do the job."""
    monkeypatch.setattr("core.terminal.time.sleep", lambda _seconds: run_next("io"))


def command(*arguments: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_a_file_is_imported_and_exported_again(actor: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "mails.csv", tmp_path / "out.jsonl"
    source.write_text("body,topic\nhello,greet\n,empty\n", encoding="utf-8")
    where = ("--workspace", actor.workspace.slug, "--dataset", "Mails")

    done = command("import", str(source), *where, "--create", "classification", "--column", "text=body",
                   "--column", "label=topic", "--split", "test")  # fmt: skip
    out = command("export", *where, "--format", "jsonl", "--to", str(target))

    assert (done["state"], done["new"], done["bad"]) == ("succeeded", 1, 1)
    assert done["errors"] == ["row 2: “text” is empty. Fill it in or leave the row out."]
    assert (Example.objects.get().labels, Example.objects.get().split) == (["greet"], "test")
    assert json.loads(target.read_text("utf-8"))["text"] == "hello"
    assert out["rows"] == 1


def test_mistakes_are_said_in_a_sentence(actor: Any, tmp_path: Path) -> None:
    slug = actor.workspace.slug

    with pytest.raises(CommandError, match="no dataset 'Nowhere'"):
        command("export", "--workspace", slug, "--dataset", "Nowhere")
    with pytest.raises(CommandError, match="cannot be read"):
        command("import", str(tmp_path / "missing.csv"), "--workspace", slug, "--dataset", "New", "--create", "corpus")
    with pytest.raises(CommandError, match="no frozen version 3"):
        command("export", "--workspace", slug, "--dataset", "New", "--number", "3")
    assert Dataset.objects.get().name == "New"
    assert not Job.objects.exists()


def test_a_refused_job_is_told_as_json_and_in_sentences(actor: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.pdf"
    path.write_bytes(b"%PDF-1.7 not a data file")
    out = io.StringIO()

    with pytest.raises(CommandError, match="This is a PDF") as ended:
        call_command("import", str(path), "--dataset", "New", "--create", "corpus", "--json", stdout=out)

    error = json.loads(out.getvalue())["error"]
    assert error["code"] == "binary_file"
    assert [problem["field"] for problem in error["problems"]] == ["file"]
    assert str(ended.value).count("This is a PDF") == 1


def test_a_command_that_cannot_be_done_says_why_as_json(actor: Any, tmp_path: Path) -> None:
    out = io.StringIO()

    with pytest.raises(CommandError, match="no dataset"):
        call_command(
            "export", "--dataset", "Nowhere", "--format", "csv", "--to", str(tmp_path / "x"), "--json", stdout=out
        )

    error = json.loads(out.getvalue())["error"]
    assert error["code"] == "not_possible"
    assert "Nowhere" in error["message"]

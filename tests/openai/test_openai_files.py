"""/v1/files: what is kept, what is refused line by line, what goes and when."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import AuditEntry
from apps.datasets.models import ApiFile
from apps.datasets.services import files
from core.leftovers import sweep_all
from core.storage import home
from tests.openai.lines import chats, jsonl, preferences
from workers.loop import run_next
from workers.tasks import FILE_ROOMS, clean_up


def send(client: APIClient, content: bytes, purpose: str = "fine-tune", name: str = "a.jsonl", **more: Any) -> Any:
    fields = {"file": SimpleUploadedFile(name, content), "purpose": purpose, **more}
    return client.post("/v1/files", fields, format="multipart")


def kept_by(workspace: Any) -> int:
    """How many files lie on disk."""
    return len(list((home() / "files" / str(workspace.pk) / "api-files").glob("*")))


@pytest.mark.parametrize(("content", "kind"), [(chats(), "chat"), (preferences(), "preference")])
def test_a_file_to_learn_from_is_read_when_it_comes(v1: APIClient, workspace: Any, content: bytes, kind: str) -> None:
    workspace.file_retention_days = None
    workspace.save()

    shown = send(v1, content).json()

    row = ApiFile.objects.get()
    assert shown == {
        "id": f"file-{row.pk}", "object": "file", "bytes": len(content), "filename": "a.jsonl", "purpose": "fine-tune",
        "created_at": int(row.created_at.timestamp()), "expires_at": None, "status": "processed", "status_details": None,
    }  # fmt: skip
    assert (row.kind, row.row_count) == (kind, 12)
    assert v1.get(f"/v1/files/{shown['id']}").json() == shown


def test_a_file_comes_back_byte_by_byte(v1: APIClient) -> None:
    content = chats()
    file = send(v1, content).json()["id"]

    answer = v1.get(f"/v1/files/{file}/content", headers={"Accept": "application/binary"})

    assert answer.status_code == 200 and b"".join(answer.streaming_content) == content


USER, ANSWER = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"", "no lines"),
        (chats(2) + b"{\n", "Line 3 is not JSON"),
        (chats(1) + b"[]\n", "Line 2: An object"),
        (chats(1) + b"\n" + jsonl([{"messages": "no"}]), "Line 3: “messages” must be a list"),
        (jsonl([{"messages": []}]), "Line 1: “messages” holds no message"),
        (jsonl([{"messages": [USER]}]), "Line 1: No message is the assistant's"),
        (jsonl([{"messages": [{"role": "king", "content": "a"}, ANSWER]}]), "“king” is not a role"),
        (jsonl([{"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}]}]), "calls a tool"),
        (jsonl([{"messages": [USER, {**ANSWER, "weight": 0}]}]), "weight of 0"),
        (preferences(1) + chats(1), "Line 2: "),
        (jsonl([{"input": {"messages": [USER]}, "preferred_output": [ANSWER]}]), "Line 1: "),
        (chats(1) + b"\xff\xfe\n", "Line 2: "),
    ],
)
def test_wrong_lines_are_refused_by_number_and_nothing_is_kept(
    v1: APIClient, workspace: Any, lines: bytes, told: str
) -> None:
    answer = send(v1, lines)

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("invalid_file_format", "file")
    assert told in error["message"]
    assert not ApiFile.objects.exists() and kept_by(workspace) == 0


def test_of_many_wrong_lines_the_first_ones_are_told(v1: APIClient) -> None:
    told = send(v1, b"{\n" * 50).json()["error"]["message"]

    assert "Line 10 is" in told and "Line 11 is" not in told and told.endswith("Later lines were not looked at.")


@pytest.mark.parametrize("purpose", ["assistants", "vision", "user_data", "evals", "batch_output", "nonsense"])
def test_a_purpose_that_nothing_here_serves_is_refused(v1: APIClient, purpose: str) -> None:
    error = send(v1, chats(), purpose).json()["error"]

    assert (error["code"], error["param"]) == ("unsupported_purpose", "purpose")
    assert "fine-tune and batch" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}, "expires_after.seconds"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after.anchor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_fields_of_an_upload_are_named(v1: APIClient, fields: dict[str, str], param: str) -> None:
    assert send(v1, chats(), **fields).json()["error"]["param"] == param


def test_an_upload_without_a_file_is_a_400(v1: APIClient) -> None:
    by_json = v1.post("/v1/files", {"purpose": "batch"}, format="json")
    by_form = v1.post("/v1/files", {"purpose": "batch", "file": "text"}, format="multipart")

    assert by_json.status_code == by_form.status_code == 400
    assert by_form.json()["error"]["param"] == "file"


def test_a_name_cannot_lead_anywhere(v1: APIClient) -> None:
    assert send(v1, chats(), name="../../etc/passwd").json()["filename"] == "passwd"


def test_a_large_file_is_looked_into_by_a_worker(v1: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHECKED_AT_ONCE_BYTES", 100)
    good, bad = send(v1, chats()).json(), send(v1, chats() + b"{\n").json()
    assert good["status"] == bad["status"] == "uploaded"

    while run_next("io"):
        pass

    assert v1.get(f"/v1/files/{good['id']}").json()["status"] == "processed"
    told = v1.get(f"/v1/files/{bad['id']}").json()
    assert told["status"] == "error" and told["status_details"].startswith("Line 13 is not JSON")


def test_lists_can_be_of_one_purpose(v1: APIClient) -> None:
    tuning, batch = send(v1, chats()).json()["id"], send(v1, b"{}", "batch").json()["id"]

    found = {
        purpose: [row["id"] for row in v1.get(f"/v1/files?purpose={purpose}").json()["data"]]
        for purpose in ("fine-tune", "batch", "user_data")
    }

    assert found == {"fine-tune": [tuning], "batch": [batch], "user_data": []}


def test_a_deleted_file_is_gone_from_table_and_disk(v1: APIClient, django_capture_on_commit_callbacks: Any) -> None:
    file = send(v1, chats()).json()["id"]
    path = home() / ApiFile.objects.get().path

    with django_capture_on_commit_callbacks(execute=True):
        answer = v1.delete(f"/v1/files/{file}")

    assert answer.json() == {"id": file, "object": "file", "deleted": True}
    assert v1.get(f"/v1/files/{file}").status_code == 404 and not path.exists()
    assert list(AuditEntry.objects.filter(object_type="apifile").order_by("pk").values_list("action", flat=True)) == [
        "file.upload", "file.delete",
    ]  # fmt: skip


def test_files_expire(v1: APIClient, workspace: Any, django_capture_on_commit_callbacks: Any) -> None:
    kept = send(v1, chats()).json()
    hour = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    short, batch = send(v1, chats(13), **hour).json(), send(v1, b"{}", "batch").json()
    assert short["expires_at"] == pytest.approx(short["created_at"] + 3600, abs=1)
    assert batch["expires_at"] == pytest.approx(batch["created_at"] + 30 * 86_400, abs=1)
    ApiFile.objects.exclude(expires_at=None).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert v1.get(f"/v1/files/{short['id']}").status_code == 404

    with django_capture_on_commit_callbacks(execute=True):
        clean_up()

    assert [row["id"] for row in v1.get("/v1/files").json()["data"]] == [kept["id"]]
    assert kept_by(workspace) == 1


def test_the_workspaces_retention_of_uploads_holds_here_too(v1: APIClient, workspace: Any) -> None:
    shown = send(v1, chats()).json()
    assert shown["expires_at"] == pytest.approx(shown["created_at"] + 30 * 86_400, abs=1)
    ApiFile.objects.update(created_at=timezone.now() - timedelta(days=31))

    assert files.expire_api_files() == {"api_files": 1}


def test_the_sweep_of_leftovers_takes_only_what_no_row_names(v1: APIClient, settings: Any) -> None:
    send(v1, chats())
    named = home() / ApiFile.objects.get().path
    left = named.with_name("left-over")
    left.write_bytes(b"x")
    settings.LEFTOVER_HOURS = 0

    for _time in range(2):
        sweep_all([place for room in FILE_ROOMS for place in room()])

    assert named.is_file() and not left.exists()


def test_what_the_platform_makes_is_listed_like_an_upload(v1: APIClient, actor: Any) -> None:
    def write(path: Path) -> None:
        path.write_text(json.dumps({"a": 1}))

    made = files.make_file(
        workspace=actor.workspace, by=actor.user, purpose="batch_output", name="out.jsonl", write=write
    )

    shown = v1.get(f"/v1/files/file-{made.pk}").json()
    assert (shown["purpose"], shown["bytes"], shown["status"]) == ("batch_output", 8, "processed")


def test_files_of_another_workspace_are_not_there(v1: APIClient, api: Callable[..., APIClient], stranger: Any) -> None:
    file = send(v1, chats()).json()["id"]
    client = api(stranger)

    answers = [
        client.get(f"/v1/files/{file}"),
        client.get(f"/v1/files/{file}/content"),
        client.delete(f"/v1/files/{file}"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert client.get("/v1/files").json()["data"] == []

"""Commands for people and keys: text for people, JSON for programs, one sentence for mistakes."""

import io
import json
import sys
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.access import actor_of_key
from apps.accounts.models import Membership, User, Workspace

PASSWORD = "correct horse battery"


def run(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue().strip()


def test_apikey_prints_a_key_that_works(workspace: Workspace) -> None:
    secret = run("apikey", "--email", "ALICE@example.org", "--scopes", "datasets.read,jobs.read")

    actor = actor_of_key(secret, None)

    assert actor is not None and actor.permissions == {"datasets.read", "jobs.read"}
    assert actor.workspace == workspace


def test_apikey_speaks_json_and_takes_all_scopes_of_the_role(workspace: Workspace) -> None:
    data = json.loads(
        run(
            "apikey",
            "--email",
            "bob@example.org",
            "--scopes",
            "all",
            "--workspace",
            "harbour",
            "--expires-days",
            "3",
            "--json",
        )
    )

    actor = actor_of_key(data["secret"], None)

    assert actor is not None and data["expires_at"]
    assert "datasets.write" in data["scopes"] and "keys.manage" not in data["scopes"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--email", "nobody@example.org", "--scopes", "all"], "unknown_user"),
        (["--email", "bob@example.org", "--scopes", "keys.manage"], "scope_beyond_role"),
        (["--email", "bob@example.org", "--scopes", "flying"], "unknown_scope"),
        (["--email", "bob@example.org", "--scopes", "all", "--workspace", "elsewhere"], "not_a_member"),
        (["--email", "bob@example.org", "--scopes", "all", "--expires-days", "-1"], "expiry_in_the_past"),
    ],
)
def test_apikey_refuses_in_one_sentence(workspace: Any, charlie: User, arguments: list[str], code: str) -> None:
    out = io.StringIO()
    with pytest.raises(CommandError):
        call_command("apikey", *arguments, "--json", stdout=out)
    assert json.loads(out.getvalue())["error"]["code"] == code


def test_password_prints_a_random_one_and_ends_sessions(alice: User, page: Any) -> None:
    client = page(alice)

    password = run("password", "--email", alice.email)

    alice.refresh_from_db()
    assert alice.check_password(password)
    assert client.get("/profile").status_code == 302


def test_password_reads_standard_input_and_refuses_a_weak_one(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("quite another secret\n"))
    run("password", "--email", alice.email, "--stdin")
    alice.refresh_from_db()
    assert alice.check_password("quite another secret")

    monkeypatch.setattr(sys, "stdin", io.StringIO("123\n"))
    with pytest.raises(CommandError, match="short"):
        run("password", "--email", alice.email, "--stdin")


def test_createuser_and_createworkspace_make_an_owner_who_can_log_in(db: None, client: Any) -> None:
    made = json.loads(run("createuser", "--email", "Ana@example.org", "--name", "Ana", "--operator", "--json"))
    place = json.loads(run("createworkspace", "--name", "Help Desk", "--owner", "ana@example.org", "--json"))

    answer = client.post("/login", {"login": "ana@example.org", "password": made["password"]})

    assert answer.status_code == 302
    assert place["slug"] == "help-desk"
    assert User.objects.get(email="ana@example.org").is_operator
    assert Membership.objects.get(workspace_id=place["id"]).role == "owner"


def test_createuser_joins_a_workspace_or_makes_nobody(workspace: Workspace) -> None:
    run("createuser", "--email", "dan@example.org", "--workspace", "harbour", "--role", "viewer")
    assert Membership.objects.get(user__email="dan@example.org").role == "viewer"

    for arguments in (["--email", "eve@example.org", "--workspace", "nowhere"], ["--email", "not an address"]):
        with pytest.raises(CommandError):
            run("createuser", *arguments)
    with pytest.raises(CommandError, match="exists already"):
        run("createuser", "--email", "Dan@example.org")
    assert not User.objects.filter(email__in=["eve@example.org", "not an address"]).exists()


@pytest.mark.parametrize("name", ["apikey", "password", "createuser", "createworkspace"])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(name, "--help")
    assert ended.value.code == 0
    assert "--json" in capsys.readouterr().out

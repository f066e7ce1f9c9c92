"""Every command of ours explains itself and speaks JSON to programs."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class

ROOMS = ("config", "core", "apps.")
SERVES_ONLY = {"generation"}  # a role of the supervisor: it answers requests until it is stopped and prints nothing
DJANGOS = {"migrate"}  # does more than Django's own, and speaks as that does


def ours() -> list[tuple[str, str]]:
    found = {name: app for name, app in get_commands().items() if isinstance(app, str)}
    return sorted((app, name) for name, app in found.items() if app in ROOMS or app.startswith(ROOMS[2:]))


def test_all_rooms_with_commands_are_looked_at() -> None:
    assert {"up", "test", "import", "train", "predict", "export", "backup", "restore", "apikey", "password"} <= {
        name for _app, name in ours()
    }


@pytest.mark.parametrize(("app", "name"), ours())
def test_every_command_has_help_and_json(app: str, name: str) -> None:
    parser = load_command_class(app, name).create_parser("lingxi", name)

    assert parser.description
    assert "--json" in parser.format_help() or name in SERVES_ONLY | DJANGOS


@pytest.mark.django_db
def test_prepare_gives_the_first_account_to_programs(monkeypatch: Any) -> None:
    monkeypatch.setattr("config.management.commands.prepare.prepare", lambda _say: None)
    monkeypatch.setattr("config.management.commands.prepare.call_command", lambda *_words, **_options: None)
    out = StringIO()

    call_command("prepare", json=True, owner="li@example.org", stdout=out)

    assert json.loads(out.getvalue())["account"]["email"] == "li@example.org"

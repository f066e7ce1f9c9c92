"""The page frame: icons exist, the theme is rendered by the server, pages outside a workspace stand too."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.template import engines
from django.test import Client

from apps.accounts.models import User, Workspace
from core.navigation import ROOMS

ROOT = Path(__file__).resolve().parents[2]
ICONS = set((ROOT / "platform/core/frontend_icons.txt").read_text().split())
TEMPLATES = [*ROOT.glob("platform/**/*.html"), *ROOT.glob("apps/**/*.html")]


def test_every_icon_of_a_template_is_in_the_list_that_the_set_up_copies() -> None:
    named = {name for path in TEMPLATES for name in re.findall(r"{% icon [\"']([\w-]+)[\"']", path.read_text())}
    named |= {name for path in TEMPLATES for name in re.findall(r"with icon=[\"']([\w-]+)[\"']", path.read_text())}
    named |= {room.icon for _title, rooms in ROOMS for room in rooms}

    assert sorted(named - ICONS) == []


def test_sizes_of_files_are_written_by_one_rule() -> None:
    assert [path.name for path in TEMPLATES if "|filesizeformat" in path.read_text()] == []


def test_every_template_can_be_read() -> None:
    for path in TEMPLATES:
        engines["django"].from_string(path.read_text())


@pytest.mark.parametrize("choice", ["light", "dark"])
def test_a_chosen_theme_is_rendered_by_the_server(choice: str, page: Any, alice: User, workspace: Workspace) -> None:
    client = page(alice)
    client.cookies["lingxi_theme"] = choice

    assert f'data-bs-theme="{choice}"' in client.get("/w/harbour/").content.decode()


def test_the_automatic_theme_and_a_forged_one_leave_the_choice_to_the_system(
    page: Any, alice: User, workspace: Any
) -> None:
    client = page(alice)
    client.cookies["lingxi_theme"] = '"><script>'

    html = client.get("/w/harbour/").content.decode()

    assert 'data-theme-choice="auto"' in html and "data-bs-theme" not in html


def test_a_person_s_saved_theme_counts_on_a_new_browser(page: Any, alice: User, workspace: Workspace) -> None:
    User.objects.filter(pk=alice.pk).update(theme="dark")

    assert 'data-bs-theme="dark"' in page(alice).get("/w/harbour/").content.decode()


def test_the_language_can_be_switched_by_everybody(client: Client) -> None:
    client.post("/language", {"language": "zh-hans", "next": "/nowhere"})

    assert '<html lang="zh-hans"' in client.get("/nowhere").content.decode()


def test_an_unknown_address_is_a_page_in_and_outside_a_workspace(page: Any, alice: User, workspace: Workspace) -> None:
    outside = Client().get("/nowhere")
    inside = page(alice).get("/w/harbour/jobs/999999")

    assert outside.status_code == inside.status_code == 404
    assert "lx-plain" in outside.content.decode() and "lx-nav" in inside.content.decode()


def test_pages_send_a_strict_content_security_policy(page: Any, alice: User, workspace: Workspace) -> None:
    policy = page(alice).get("/w/harbour/")["Content-Security-Policy"]

    assert "script-src 'self';" in policy + ";" and "unsafe-eval" not in policy


def test_a_server_error_is_a_page_with_a_number_even_when_the_database_is_gone(
    page: Any, alice: User, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("gone")

    client = page(alice)
    client.raise_request_exception = False
    monkeypatch.setattr("apps.dashboard.views.selectors.jobs_of", broken)
    monkeypatch.setattr("config.health.render", broken)  # what uses context processors would ask the database

    failed = client.get("/w/harbour/jobs", headers={"X-Request-Id": "number-12345"})

    assert failed.status_code == 500
    assert "number-12345" in failed.content.decode()


def test_a_form_without_its_token_is_explained(alice: User, workspace: Workspace) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    refused = client.post("/w/harbour/jobs/1/cancel")

    assert refused.status_code == 403
    assert "open for too long" in refused.content.decode()


def test_a_static_file_that_was_changed_is_served_whole(client: Client, settings: Any, tmp_path: Path) -> None:
    settings.STATICFILES_DIRS = [tmp_path]
    served = []

    for text in ("a { color: red }", "a { color: red }\nb { color: blue }"):
        (tmp_path / "changing.css").write_text(text)
        answer = client.get("/static/changing.css")
        body = b"".join(answer.streaming_content).decode()
        served.append((body, int(answer["Content-Length"]), answer["ETag"]))

    assert [(body, length) for body, length, _ in served] == [(body, len(body)) for body, _, _ in served]
    assert served[1][0].endswith("blue }") and served[0][2] != served[1][2]

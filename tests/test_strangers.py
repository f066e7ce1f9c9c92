"""Every address x method as a stranger: nothing of another workspace is seen or changed, nothing is skipped."""

from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import User, Workspace
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key, erase_workspace
from tests.world import OURS, SECRET, address, build, names_a_row, routes

METHODS = ("get", "post", "put", "patch", "delete")
REFUSALS = {403, 404, 405}
PUBLIC = (
    "healthz", "readyz", "api/v1/schema", "api/docs", "login", "logout", "password/reset", "invitations/",
    "language", "theme", "signup", "sso/", "hooks/",  # signed: tests/sentiment/test_hooks.py
)  # fmt: skip
"""Addresses that people outside may open; everything else is tried below."""


@pytest.fixture
def world(db: None) -> Any:
    """Dora in her workspace, which holds a row of every table."""
    made = build()
    return actor_of_member(made[User], made[Workspace].slug)


def tried(route: str) -> bool:
    return not route.startswith(PUBLIC) and not route.startswith("static") and route != ""


def tells(answer: Any) -> bool:
    """A server error, or a body that holds words of dora."""
    body = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return answer.status_code >= 500 or SECRET in body.decode(errors="replace")


def test_a_stranger_sees_and_changes_nothing_by_page(world: Any, charlie: Any) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(charlie)
    wrong: list[str] = []
    for route, parameters in routes():
        if not tried(route) or "workspace" not in parameters:
            continue
        for slug, foreign in ((world.workspace.slug, True), ("elsewhere", "int" in parameters.values())):
            path = address(route, parameters, slug)
            answers = {method: getattr(client, method)(path) for method in METHODS}
            codes = {method: answer.status_code for method, answer in answers.items()}
            if foreign and not set(codes.values()) <= REFUSALS:
                wrong.append(f"{path} {codes}")
            if foreign and set(codes.values()) == {405}:
                wrong.append(f"{path} was never tried")
            for answer in answers.values():
                if tells(answer):
                    wrong.append(f"{path} {answer.status_code} tells")
    assert not wrong, "\n".join(wrong)


def test_a_stranger_sees_and_changes_nothing_by_api(world: Any, stranger: Any) -> None:
    _key, secret = create_api_key(actor=stranger, name="all", scopes=list(PERMISSIONS))
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    wrong: list[str] = []
    for route, parameters in routes():
        if not tried(route) or not route.startswith(("api/", "v1/")):
            continue
        path = address(route, parameters, "elsewhere")
        answers = {method: getattr(client, method)(path, data={}, format="json") for method in METHODS}
        codes = {method: answer.status_code for method, answer in answers.items()}
        if names_a_row(route, parameters) and not set(codes.values()) <= REFUSALS:
            wrong.append(f"{path} {codes}")
        if set(codes.values()) == {405}:
            wrong.append(f"{path} was never tried")
        for answer in answers.values():
            if tells(answer):
                wrong.append(f"{path} {answer.status_code} tells")
    assert not wrong, "\n".join(wrong)


def test_nobody_gets_in_without_logging_in(world: Any) -> None:
    client = Client(raise_request_exception=False)
    wrong: list[str] = []
    for route, parameters in routes():
        if not tried(route):
            continue
        path = address(route, parameters, world.workspace.slug)
        for method in METHODS:
            answer = getattr(client, method)(path)
            allowed = {401, 403, 404, 405} if path.startswith(("/api/", "/v1/")) else {302, 403, 404, 405}
            if answer.status_code not in allowed:
                wrong.append(f"{method} {path} {answer.status_code}")
            if answer.status_code == 302 and "/login" not in answer["Location"]:
                wrong.append(f"{method} {path} leads to {answer['Location']}")
    assert not wrong, "\n".join(wrong)


def owned(model: Any) -> models.QuerySet[Any]:
    """Rows of a workspace; what is built in belongs to none."""
    rows: models.QuerySet[Any] = model._default_manager.all()
    return rows.exclude(workspace=None) if "workspace" in {field.name for field in model._meta.fields} else rows


def test_a_deleted_workspace_leaves_no_row_in_any_table(world: Any) -> None:
    Workspace.objects.filter(pk=world.workspace.pk).update(deleting_at=timezone.now())

    erase_workspace(workspace=world.workspace)

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # a row that points to nothing would be an error here
    kept = {
        "accounts.User",
        "accounts.AuditEntry",
        "sentiment.Host",
    }  # hosts that no source names go with the next clean-up
    left = [
        model._meta.label
        for model in apps.get_models()
        if model._meta.app_label in OURS and model._meta.label not in kept and owned(model).exists()
    ]
    assert left == []

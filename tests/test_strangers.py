"""Every address x method as a stranger: nothing of another workspace is seen or changed, nothing is skipped."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, User, Workspace
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key, create_user, create_workspace, erase_workspace

SECRET = "doras-own-words"
FIRST_ID = 7_000_001
METHODS = ("get", "post", "put", "patch", "delete")
OURS = ("core", "accounts", "notifications", "datasets", "registry", "training", "inference", "evaluation", "dashboard")
FILLED = {"workspace", "user", "created_by", "requested_by"}
REFUSALS = {403, 404, 405}
PEOPLE = {User, Workspace}
PUBLIC = (
    "healthz", "readyz", "api/v1/schema", "api/docs", "login", "logout", "password/reset", "invitations/",
    "language", "theme", "signup", "sso/",
)  # fmt: skip
"""Addresses that people outside may open; everything else is tried below."""


def routes() -> list[tuple[str, dict[str, str]]]:
    """(route, {parameter: converter}) of every address of the installation."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for found in patterns:
            route = (prefix + str(found.pattern)).lstrip("^")
            if isinstance(found, URLResolver):
                yield from walk(found.url_patterns, route)
            elif isinstance(found, URLPattern):
                yield route

    # read from the text: Django shares the converters of equal patterns, and reversing an address fills them
    return [
        (route, {name: kind or "str" for kind, name in re.findall(r"<(?:(\w+):)?(\w+)>", route)})
        for route in walk(get_resolver().url_patterns, "")
    ]


def address(route: str, parameters: dict[str, str], slug: str) -> str:
    """A concrete address: every number names the row of dora that each table has."""
    words = {"int": str(FIRST_ID), "uuid": str(uuid.UUID(int=FIRST_ID)), "slug": "csv", "str": "csv"}
    path = "/" + route
    for name, kind in parameters.items():
        path = re.sub(rf"<(\w+:)?{name}>", slug if name == "workspace" else words[kind], path)
    assert "<" not in path, f"how is {path} filled in?"
    return path


@pytest.fixture
def world(db: None) -> Any:
    """One row of dora's in every table of ours, all with the same id and her words in every text."""
    for model in apps.get_models():
        if model._meta.app_label in OURS and isinstance(model._meta.pk, models.AutoField):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), %s, false)",
                    [model._meta.db_table, model._meta.pk.column, FIRST_ID],
                )
    dora = create_user(email="dora@example.org", password=SECRET, name=SECRET)
    workspace = create_workspace(name=SECRET, owner=dora, slug="dora")
    made: dict[type[models.Model], Any] = {
        User: dora,
        Workspace: workspace,
        Membership: Membership.objects.get(user=dora),
    }
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            make(model, made)
    assert (dora.pk, workspace.pk) == (FIRST_ID, FIRST_ID)
    return actor_of_member(dora, workspace.slug)


def make(model: Any, made: dict[Any, Any], *, another: bool = False) -> Any:
    """A row of `model` with every required column filled, and the rows it points to."""
    if model in made and not another:
        return made[model]
    values: dict[str, Any] = {}
    pointed: set[Any] = set()
    for field in model._meta.concrete_fields:
        if field.primary_key and not field.is_relation:
            continue
        if field.is_relation:
            target = field.related_model
            if target is model or (field.null and field.name not in FILLED):
                continue
            values[field.name] = make(target, made, another=target in pointed or (another and field.one_to_one))
            pointed.add(target if target not in PEOPLE else None)
        elif field.name == "workspace_id":
            values[field.name] = made[Workspace].pk
        else:
            filled = content(field, another=another)
            if filled is not None:
                values[field.name] = filled
    row = model._default_manager.create(**values)
    return row if another else made.setdefault(model, row)


def content(field: Any, *, another: bool) -> Any:
    """Something for a column that must be filled; None leaves it alone."""
    if field.choices:
        return field.default if field.has_default() else next(key for key, _name in field.choices if key)
    if isinstance(field, models.CharField | models.TextField) and field.get_default() in ("", None):
        words = f"another-{SECRET}" if another else SECRET
        return words[: field.max_length or 100]
    if field.has_default() or field.null or getattr(field, "blank", False):
        return None
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.IntegerField | models.FloatField):
        return 2 if another else 1
    if type(field).__name__ == "ArrayField":
        return []
    return {} if isinstance(field, models.JSONField) else False


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
        if "int" in parameters.values() and not set(codes.values()) <= REFUSALS:
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
    kept = {"accounts.User", "accounts.AuditEntry"}
    left = [
        model._meta.label
        for model in apps.get_models()
        if model._meta.app_label in OURS and model._meta.label not in kept and owned(model).exists()
    ]
    assert left == []

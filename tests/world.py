"""A world of rows: one, or many, in every table of ours, and every address of the installation."""

import re
import uuid
from collections.abc import Iterator
from itertools import count
from typing import Any

from django.apps import apps
from django.db import connection, models
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from apps.accounts.models import Membership, User, Workspace
from apps.accounts.services import create_user, create_workspace
from core.openai.ids import public_id

SECRET = "doras-own-words"
FIRST_ID = 7_000_001
OURS = (
    "core",
    "accounts",
    "notifications",
    "datasets",
    "registry",
    "training",
    "inference",
    "evaluation",
    "sentiment",
    "dashboard",
)
FILLED = {"workspace", "user", "created_by", "requested_by", "dataset_version", "generation", "dispatch"}
PEOPLE = {User, Workspace}
SEALED = {"frozen_at"}
OPENAI = {
    "file": public_id("file", FIRST_ID),
    "job": public_id("fine_tuning_job", FIRST_ID),
    "batch": public_id("batch", FIRST_ID),
    "model": str(FIRST_ID),
}
"""Parameters of addresses below /v1 -> the public id of dora's row."""
NUMBERS = count(1)


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


def names_a_row(route: str, parameters: dict[str, str]) -> bool:
    """Whether an address of the API leads to a row of somebody's."""
    return "int" in parameters.values() or (route.startswith("v1/") and not OPENAI.keys().isdisjoint(parameters))


def address(route: str, parameters: dict[str, str], slug: str) -> str:
    """A concrete address: every number names the row of dora that each table has."""
    words = {"int": str(FIRST_ID), "uuid": str(uuid.UUID(int=FIRST_ID)), "slug": "csv", "str": "csv"}
    path = "/" + route
    known = {"workspace": slug, **(OPENAI if route.startswith("v1/") else {})}
    for name, kind in parameters.items():
        path = re.sub(rf"<(\w+:)?{name}>", known[name] if name in known else words[kind], path)
    assert "<" not in path, f"how is {path} filled in?"
    return path


FIXED: dict[str, dict[str, Any]] = {
    "notifications.delivery": {"notice": None},  # it is of a notice or of a message
    "inference.generation": {"state": "done"},  # an answer that is still written streams until it ends
    "inference.feedback": {"online_request": None, "prediction": None},  # it is about one answer
}
"""What a row must be besides."""


def build() -> dict[Any, Any]:
    """One row of dora's in every table of ours, all with the same id and her words in every text.

    The sequences go back to where they were, because a transaction that is rolled back leaves them: a second world in
    the same process would otherwise give ids again that events in Redis still tell of.
    """
    numbered = [
        model._meta
        for model in apps.get_models()
        if model._meta.app_label in OURS and isinstance(model._meta.pk, models.AutoField)
    ]
    next_ids = {meta: _next_id(meta) for meta in numbered}
    _number_from(dict.fromkeys(numbered, FIRST_ID))
    dora = create_user(email="dora@example.org", password=SECRET, name=SECRET)
    workspace = create_workspace(name=SECRET, owner=dora, slug="dora")
    made: dict[Any, Any] = {
        User: dora,
        Workspace: workspace,
        Membership: Membership.objects.get(user=dora),
    }
    for model in apps.get_models():
        if model._meta.app_label in OURS:
            make(model, made)
    assert (dora.pk, workspace.pk) == (FIRST_ID, FIRST_ID)
    _number_from(next_ids)
    return made


def _next_id(meta: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, %s))", [meta.db_table, meta.pk.column])
        return int(cursor.fetchone()[0])


def _number_from(ids: dict[Any, int]) -> None:
    with connection.cursor() as cursor:
        for meta, number in ids.items():
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s), %s, false)", [meta.db_table, meta.pk.column, number]
            )


def make(model: Any, made: dict[Any, Any], *, copy: int = 0) -> Any:
    """A row of `model` with every required column filled, and the rows it points to.

    A `copy` (a number, each time another) is one more row beside the first: its words carry the number, and what
    the first may leave empty it points to as well, so that pages have something to look up.
    """
    if model in made and not copy:
        return made[model]
    values: dict[str, Any] = {}
    pointed: set[Any] = set()
    for field in model._meta.concrete_fields:
        if field.primary_key and not field.is_relation:
            continue
        if field.is_relation:
            target = field.related_model
            if target is model or (field.null and field.name not in FILLED and not copy):
                continue
            fresh = target in pointed or (copy and (field.one_to_one or field == only_difference(model)))
            values[field.name] = make(target, made, copy=next(NUMBERS) if fresh else 0)
            pointed.add(target if target not in PEOPLE else None)
        elif field.name == "workspace_id":
            values[field.name] = made[Workspace].pk
        else:
            filled = content(field, copy=copy)
            if filled is not None:
                values[field.name] = filled
    row = model._default_manager.create(**values | FIXED.get(model._meta.label_lower, {}))
    return row if copy else made.setdefault(model, row)


def only_difference(model: Any) -> Any:
    """The foreign key that alone can tell two rows apart under a unique constraint, if there is one."""
    for constraint in model._meta.constraints:
        if not isinstance(constraint, models.UniqueConstraint):
            continue
        fields = [model._meta.get_field(name) for name in constraint.fields]
        keys = [field for field in fields if field.is_relation and field.related_model is not Workspace]
        if keys and all(field.is_relation or field.choices or field.has_default() for field in fields):
            return keys[-1]
    return None


def content(field: Any, *, copy: int) -> Any:
    """Something for a column that must be filled; None leaves it alone."""
    if field.choices:
        return field.default if field.has_default() else next(key for key, _name in field.choices if key)
    if isinstance(field, models.CharField | models.TextField) and field.get_default() in ("", None):
        words = f"{copy}-{SECRET}" if copy else SECRET
        return words[: field.max_length or 100]
    if field.name in SEALED:
        return timezone.now()
    if field.has_default() or field.null or getattr(field, "blank", False):
        return None
    if isinstance(field, models.DateTimeField):
        return timezone.now()
    if isinstance(field, models.DateField):
        return timezone.now().date()
    if isinstance(field, models.IntegerField):
        return 1 + copy
    if isinstance(field, models.FloatField):
        return 1.0
    if type(field).__name__ == "ArrayField":
        return []
    if isinstance(field, models.BinaryField):
        return SECRET.encode()
    return {} if isinstance(field, models.JSONField) else False


def crowd(made: dict[Any, Any], times: int) -> None:
    """`times` more rows in every table of ours, all beside the first ones."""
    for model in apps.get_models():
        if model._meta.app_label in OURS and model not in PEOPLE:
            for _time in range(times):
                make(model, made, copy=next(NUMBERS))

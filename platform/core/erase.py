"""Delete rows and everything that hangs on them in SQL, without loading a row into memory."""

from typing import Any

from django.db import connection, models, transaction
from django.db.models.deletion import SET_DEFAULT, SET_NULL


def erase(rows: models.QuerySet[Any]) -> int:
    """Delete `rows` and all rows that point to them, deepest first; returns how many rows went.

    Django's own delete() loads what it cascades to; a workspace may hold millions of rows. PROTECT and
    RESTRICT count as cascades here: what protects a row belongs to the same tree and goes with it. What only
    mentions a deleted row (SET_NULL) is updated last, so that rows which go anyway are never touched.
    Constraints are checked at commit, so tables may point to each other.
    """
    mentions: set[Any] = set()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
            cursor.execute("SET LOCAL lingxi.retention = 'on'")  # append-only tables let go of a deleted tenant
        gone = _erase(rows, (), mentions)
        for field in mentions:
            _forget(field)
        return gone


def _erase(rows: models.QuerySet[Any], above: tuple[Any, ...], mentions: set[Any]) -> int:
    """`above` is the path of foreign keys that led here; a self-reference is followed once."""
    gone = 0
    for relation in rows.model._meta.get_fields(include_hidden=True):
        if not isinstance(relation, models.ManyToOneRel) or relation.field in above:
            continue
        field: Any = relation.field
        if relation.on_delete in {SET_NULL, SET_DEFAULT}:
            mentions.add(field)
            continue
        keys = rows.order_by().values(field.target_field.attname)
        below = field.model._base_manager.filter(**{f"{field.name}__in": keys})
        gone += _erase(below, (*above, field), mentions)
    return gone + int(rows.order_by()._raw_delete(rows.db))


def _forget(field: Any) -> None:
    """Set a foreign key to null where the row it names is gone."""
    there = field.related_model._base_manager.filter(**{field.target_field.attname: models.OuterRef(field.attname)})
    pointing = field.model._base_manager.exclude(**{field.name: None}).filter(~models.Exists(there))
    pointing.update(**{field.name: None})

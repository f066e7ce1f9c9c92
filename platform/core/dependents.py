"""What forbids deleting a row, in words: the rows that hold it by a protecting foreign key."""

from typing import Any

from django.db import models
from django.utils.translation import gettext as _

SHOWN = 3


def dependents(row: models.Model, *, besides: tuple[type[models.Model], ...] = ()) -> list[str]:
    """The first rows of each table that protects `row`, by name; rooms above are found without knowing theirs."""
    named: list[str] = []
    for relation in row._meta.related_objects:
        model: type[models.Model] = relation.related_model
        if model in besides or getattr(relation, "on_delete", None) not in {models.RESTRICT, models.PROTECT}:
            continue
        named_by = [field.name for field in model._meta.fields if field.many_to_one and not field.null]
        rows = model._base_manager.filter(**{relation.field.name: row}).select_related(*named_by)
        found: list[Any] = list(rows.order_by("pk")[: SHOWN + 1])
        named += [f"{model._meta.verbose_name} {one}" for one in found[:SHOWN]]
        if len(found) > SHOWN:
            named.append(_("and more"))
    return named

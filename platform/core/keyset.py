"""Keyset paging by a column that is not unique: every page costs the same, whatever the order."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404

from core.pages import KeysetPage


def keyset_by(
    query: Mapping[str, str], rows: QuerySet[Any], column: str, *, descending: bool = False, size: int = 50
) -> KeysetPage:
    """The page of `rows` by `column`, ties by id, that ?before=<value>:<id> (further on) or ?after= (back) names.

    `column` is numeric and never null; an index on (filter, column, id) makes every page cost the same.
    A cursor that cannot be read is a 404.
    """
    further, back = query.get("before", ""), query.get("after", "")
    up, down = ("lt", "gt") if descending else ("gt", "lt")
    order = [f"-{column}" if descending else column, "pk"]
    if back:
        reverse = [column if descending else f"-{column}", "-pk"]
        found = list(rows.filter(_beyond(column, down, "lt", back)).order_by(*reverse)[: size + 1])[::-1]
        more_before, more_after, found = len(found) > size, True, found[-size:]
    else:
        window = rows.filter(_beyond(column, up, "gt", further)) if further else rows
        found = list(window.order_by(*order)[: size + 1])
        more_before, more_after, found = bool(further), len(found) > size, found[:size]
    return KeysetPage(
        rows=found,
        next_cursor=f"before={_cursor(found[-1], column)}" if found and more_after else "",
        previous_cursor=f"after={_cursor(found[0], column)}" if found and more_before else "",
    )


def _beyond(column: str, lookup: str, tie: str, cursor: str) -> Q:
    """Rows beyond the cursor; the first condition is the one an index can use."""
    number, colon, pk = cursor.rpartition(":")
    try:
        value, row = float(number), int(pk)
    except ValueError as error:
        raise Http404 from error
    if not colon or value != value or not 0 <= row < 1 << 63:
        raise Http404
    strictly = Q(**{f"{column}__{lookup}": value})
    return Q(**{f"{column}__{lookup}e": value}) & (strictly | Q(**{f"pk__{tie}": row}))


def _cursor(row: Any, column: str) -> str:
    return f"{getattr(row, column)!r}:{row.pk}"

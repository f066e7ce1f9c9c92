"""Lists of /v1: `after` is the last id of the page before, `limit` its length, `order` asc or desc."""

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from core.errors import Refused
from core.openai.ids import row_number
from words import say

MOST = 100
USUAL = 20


def listed(
    request: Request,
    rows: QuerySet[Any],
    *,
    kind: str,
    show: Callable[[Any], dict[str, Any]],
    most: int = MOST,
    usual: int = USUAL,
) -> Response:
    """A page of `rows`, newest first unless ?order=asc; every page costs the same."""
    limit, after, ascending = limit_of(request, most=most, usual=usual), after_of(request, kind), _ascending(request)
    if after is not None:
        rows = rows.filter(pk__gt=after) if ascending else rows.filter(pk__lt=after)
    found = list(rows.order_by("pk" if ascending else "-pk")[: limit + 1])
    return page([show(row) for row in found[:limit]], has_more=len(found) > limit)


def page(shown: Sequence[dict[str, Any]], *, has_more: bool) -> Response:
    """The answer of a list; clients go on with the last item's id."""
    return Response(
        {
            "object": "list",
            "data": list(shown),
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": has_more,
        }
    )


def limit_of(request: Request, *, most: int = MOST, usual: int = USUAL) -> int:
    """?limit=, 1 to `most`."""
    text = request.query_params.get("limit", str(usual))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise Refused("bad_limit", say("limit must be a whole number from 1 to {most}.", most=most), field="limit")
    return int(text)


def after_of(request: Request, kind: str) -> int | None:
    """The row number of ?after=, None on the first page."""
    text = request.query_params.get("after", "")
    try:
        return row_number(kind, text) if text else None
    except Http404 as error:
        raise bad_cursor() from error


def bad_cursor() -> Refused:
    """The refusal of what is no id of this list."""
    return Refused("bad_cursor", say("after must be the id of an item of this list."), field="after")


def _ascending(request: Request) -> bool:
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise Refused("bad_order", say("order must be asc or desc."), field="order")
    return order == "asc"

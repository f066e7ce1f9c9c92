"""Keyset paging: page 1 and page 10,000 cost the same, and no count is taken."""

from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from core.errors import Refused
from words import say


class KeysetPagination(CursorPagination):
    """Newest first by id; `cursor` comes from `next`/`previous`, `limit` is 1..500."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


def page_size(request: Request) -> int:
    """?limit= of a listing that pages by itself: 1..500, 50 when it is not given."""
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= KeysetPagination.max_page_size):
        raise Refused("bad_limit", say("limit must be a whole number from 1 to 500."), field="limit")
    return int(text)

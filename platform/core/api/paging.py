"""Keyset paging: page 1 and page 10,000 cost the same, and no count is taken."""

from typing import Any

from rest_framework.exceptions import NotFound
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

    def get_page_size(self, request: Request) -> int:
        """?limit=, or a refusal that says what it may be."""
        return page_size(request)

    def decode_cursor(self, request: Request) -> Any:
        """?cursor=, or a refusal that says where one comes from."""
        try:
            return super().decode_cursor(request)
        except NotFound as error:
            raise Refused(
                "bad_cursor", say("This is no cursor. Take it from `next` or `previous` of a page."), field="cursor"
            ) from error


def page_size(request: Request) -> int:
    """?limit= of a listing that pages by itself: 1..500, 50 when it is not given."""
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= KeysetPagination.max_page_size):
        raise Refused("bad_limit", say("limit must be a whole number from 1 to 500."), field="limit")
    return int(text)

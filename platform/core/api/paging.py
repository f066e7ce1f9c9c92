"""Keyset paging: page 1 and page 10,000 cost the same, and no count is taken."""

from rest_framework.pagination import CursorPagination


class KeysetPagination(CursorPagination):
    """Newest first by id; `cursor` comes from `next`/`previous`, `limit` is 1..500."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500

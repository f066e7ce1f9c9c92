"""Keyset paging of pages: forwards, backwards, and cursors that are no numbers."""

from typing import Any

import pytest
from django.http import Http404
from django.test import RequestFactory

from core.jobs.models import Job
from core.jobs.services import create
from core.pages import keyset


def ask(query: str = "") -> Any:
    return RequestFactory().get(f"/jobs?{query}")


def test_pages_lead_forwards_and_back_without_gaps(workspace: Any) -> None:
    ids = [create(kind="t", workspace=workspace, queue="io", title=str(n)).pk for n in range(5)]
    rows = Job.objects.all()

    first = keyset(ask(), rows, size=2)
    second = keyset(ask(first.next_cursor), rows, size=2)
    third = keyset(ask(second.next_cursor), rows, size=2)
    back = keyset(ask(third.previous_cursor), rows, size=2)

    assert [[row.pk for row in page] for page in (first, second, third, back)] == [
        ids[4:2:-1],
        ids[2:0:-1],
        ids[:1],
        ids[2:0:-1],
    ]
    assert (first.previous_cursor, third.next_cursor) == ("", "")


@pytest.mark.parametrize("query", ["before=x", "after=1.5"])
def test_a_cursor_that_is_no_id_is_a_404(workspace: Any, query: str) -> None:
    with pytest.raises(Http404):
        keyset(ask(query), Job.objects.all())

"""Every page and every reading endpoint takes a bounded number of queries, and no more for many rows than for a few."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User, Workspace
from tests.world import address, build, crowd, routes

BOUND = 20
SHOWN = 75  # addresses that answer with something; the others take POST only, or lead to a file that is not there


def queries(client: Client, slug: str) -> dict[str, list[str]]:
    """Route -> what GET asks the database, of all that answer 200."""
    found = {}
    for route, parameters in routes():
        if "workspace" not in parameters and not route.startswith("api/v1/"):
            continue
        with CaptureQueriesContext(connection) as caught:
            answer = client.get(address(route, parameters, slug))
            if answer.streaming and not answer.is_async:
                b"".join(answer)
        assert answer.status_code < 500, route
        if answer.status_code == 200:
            found[route] = [query["sql"] for query in caught.captured_queries]
    return found


@pytest.mark.django_db
def test_no_page_asks_more_often_when_there_is_more_to_show() -> None:
    made = build()
    client = Client()
    client.force_login(made[User])
    crowd(made, 2)
    slug = made[Workspace].slug
    client.get(f"/w/{slug}/")  # what is looked up once for a session is known from here on
    few = queries(client, slug)
    crowd(made, 8)

    many = queries(client, slug)

    grown = {route: many[route] for route in few if len(many[route]) > len(few[route])}
    assert grown == {}
    assert {route: len(asked) for route, asked in many.items() if len(asked) > BOUND} == {}
    assert many.keys() == few.keys() and len(many) >= SHOWN

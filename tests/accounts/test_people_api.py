"""What belongs to persons in the API: own sessions, new workspaces, and people for operators."""

from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User, Workspace

PASSWORD = "correct horse battery"


@pytest.fixture
def logged_in(workspace: Workspace) -> Any:
    """An API client with the session of a person."""

    def client(user: User) -> APIClient:
        made = APIClient()
        made.force_login(user)
        return made

    return client


def by_form(user: User) -> Client:
    """A client that logged in on the page, as sessions are counted from there."""
    client = Client()
    client.post("/login", {"login": user.email, "password": PASSWORD})
    return client


@pytest.mark.usefixtures("workspace")
def test_sessions_are_listed_and_ended_by_their_owner_only(alice: User, bob: User) -> None:
    mine, other = by_form(alice), by_form(bob)
    row = UserSession.objects.get(user=alice)

    listed = mine.get("/api/v1/me/sessions")
    foreign = other.delete(f"/api/v1/me/sessions/{row.pk}")
    ended = mine.delete(f"/api/v1/me/sessions/{row.pk}")

    assert [(found["id"], found["is_current"]) for found in listed.json()] == [(row.pk, True)]
    assert (foreign.status_code, ended.status_code) == (404, 204)
    assert mine.get("/api/v1/me/sessions").status_code == 401
    assert other.get("/api/v1/me/sessions").status_code == 200


def test_operators_open_workspaces_and_others_may_not(logged_in: Any, alice: User, bob: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_operator=True)

    made = logged_in(User.objects.get(pk=alice.pk)).post("/api/v1/workspaces", {"name": "Claims"})
    refused = logged_in(bob).post("/api/v1/workspaces", {"name": "Mine"})

    assert made.status_code == 201
    assert Workspace.objects.get(slug=made.json()["slug"]).memberships.get().user == alice
    assert (refused.status_code, refused.json()["code"]) == (403, "not_operator")


def test_operators_lock_people_out_and_others_see_no_list(logged_in: Any, alice: User, bob: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_operator=True)
    client = logged_in(User.objects.get(pk=alice.pk))

    out = client.patch(f"/api/v1/people/{bob.pk}", {"is_active": False})
    listed = client.get("/api/v1/people").json()["results"]
    again = client.patch(f"/api/v1/people/{bob.pk}", {"is_active": True})

    assert (out.json()["is_active"], again.json()["is_active"]) == (False, True)
    assert {row["email"]: row["is_active"] for row in listed}["bob@example.org"] is False
    assert client.patch(f"/api/v1/people/{alice.pk}", {"is_active": False}).json()["code"] == "deactivate_self"
    assert logged_in(bob).get("/api/v1/people").status_code == 404
    assert logged_in(bob).patch(f"/api/v1/people/{alice.pk}", {"is_active": False}).status_code == 404


@pytest.mark.parametrize("path", ["me/sessions", "people"])
def test_a_key_is_no_person(path: str, api: Any, actor: Any) -> None:
    answer = api(actor).get(f"/api/v1/{path}")

    assert (answer.status_code, answer.json()["code"]) == (403, "session_needed")

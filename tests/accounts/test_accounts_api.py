"""The API of people, workspace, members, invitations, keys and the trail."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import ApiKey, AuditEntry, Membership, User
from apps.accounts.services import audit, create_workspace
from core.api.idempotency import IdempotencyKey


def test_me_says_who_calls_whatever_the_scopes(api: Any, actor: Any) -> None:
    answer = api(actor, ["datasets.read"]).get("/api/v1/me")

    assert answer.status_code == 200
    assert answer.data["email"] == "alice@example.org"
    assert answer.data["permissions"] == ["datasets.read"]
    assert answer.data["api_key"] == "test"
    assert [m["workspace"]["slug"] for m in answer.data["memberships"]] == ["harbour"]


def test_a_person_changes_their_profile_by_session_but_not_by_key(api: Any, actor: Any, alice: User) -> None:
    assert api(actor).patch("/api/v1/me", {"name": "X"}).status_code == 403
    browser = APIClient()
    browser.force_login(alice)

    good = browser.patch("/api/v1/me", {"language": "zh-hans", "time_zone": "Asia/Shanghai"})
    bad = browser.patch("/api/v1/me", {"time_zone": "Mars/Olympus", "language": "xx"})

    assert good.status_code == 200 and good.data["profile"]["language"] == "zh-hans"
    assert bad.status_code == 422 and {item["field"] for item in bad.data["errors"]} == {"time_zone", "language"}


def test_the_workspace_is_read_and_changed(api: Any, actor: Any) -> None:
    client = api(actor)

    before = client.get("/api/v1/workspace")
    after = client.patch("/api/v1/workspace", {"name": "Port", "audit_retention_days": 400, "slug": "no"})
    bad = client.patch("/api/v1/workspace", {"job_retention_days": 0})

    assert before.data["name"] == "Harbour" and before["ETag"]
    assert after.data["name"] == "Port" and after.data["slug"] == "harbour"
    assert bad.status_code == 422


def test_members_are_listed_changed_and_removed(api: Any, actor: Any, bob: User, workspace: Any) -> None:
    client = api(actor)
    listed = client.get("/api/v1/members").data["results"]
    bobs = next(row for row in listed if row["user"]["email"] == bob.email)

    shown = client.get(f"/api/v1/members/{bobs['id']}")
    stale = client.patch(f"/api/v1/members/{bobs['id']}", {"role": "viewer"}, headers={"If-Match": '"old"'})
    changed = client.patch(f"/api/v1/members/{bobs['id']}", {"role": "viewer"}, headers={"If-Match": shown["ETag"]})
    unknown = client.patch(f"/api/v1/members/{bobs['id']}", {"role": "emperor"})
    gone = client.delete(f"/api/v1/members/{bobs['id']}")

    assert (stale.status_code, changed.status_code, unknown.status_code, gone.status_code) == (412, 200, 422, 204)
    assert changed.data["role"] == "viewer"
    assert not Membership.objects.filter(workspace=workspace, user=bob).exists()


def test_the_last_owner_stays_by_api_too(api: Any, actor: Any, workspace: Any, alice: User) -> None:
    pk = Membership.objects.get(workspace=workspace, user=alice).pk

    answer = api(actor).delete(f"/api/v1/members/{pk}")

    assert answer.status_code == 409 and answer.data["code"] == "last_owner"


def test_invitations_are_made_listed_and_revoked(api: Any, actor: Any) -> None:
    client = api(actor)

    made = client.post("/api/v1/invitations", {"role": "viewer", "email": "dan@example.org"})
    listed = client.get("/api/v1/invitations").data["results"]
    gone = client.delete(f"/api/v1/invitations/{made.data['id']}")

    assert made.status_code == 201 and "/invitations/join_" in made.data["link"]
    assert "link" not in listed[0] and listed[0]["state"] == "open"
    assert gone.status_code == 204
    assert client.get("/api/v1/invitations").data["results"][0]["state"] == "revoked"
    assert Client().get(made.data["link"].removeprefix("http://testserver")).status_code == 410


def test_keys_are_made_once_per_idempotency_key_listed_and_revoked(api: Any, actor: Any) -> None:
    client = api(actor)
    body = {"name": "nightly", "scopes": ["datasets.read"]}

    made = client.post("/api/v1/api-keys", body)
    listed = client.get("/api/v1/api-keys").data["results"]
    gone = client.delete(f"/api/v1/api-keys/{made.data['id']}")
    shown = client.get(f"/api/v1/api-keys/{made.data['id']}")
    bad = client.post("/api/v1/api-keys", {"name": "x", "scopes": ["everything"]})

    assert made.status_code == 201 and made.data["secret"].startswith("lx_")
    assert all("secret" not in row for row in listed)
    assert gone.status_code == 204 and shown.data["state"] == "revoked"
    assert bad.status_code == 422
    used = APIClient()
    used.credentials(HTTP_AUTHORIZATION=f"Bearer {made.data['secret']}")
    assert used.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("api-keys", {"name": "nightly", "scopes": ["datasets.read"]}, "secret"),
        ("invitations", {"role": "viewer"}, "link"),
    ],
)
def test_a_secret_that_is_shown_once_is_not_kept_for_repeated_requests(
    path: str, body: dict[str, Any], field: str, api: Any, actor: Any
) -> None:
    client, key = api(actor), {"Idempotency-Key": "once"}

    first = client.post(f"/api/v1/{path}", body, headers=key)
    second = client.post(f"/api/v1/{path}", body, headers=key)

    kept = IdempotencyKey.objects.get(key="once")
    assert first.data[field].rsplit("/", 1)[-1] not in str(kept.body)
    assert (second.status_code, second.data["id"], second.data[field]) == (201, first.data["id"], None)


@pytest.mark.parametrize(("minutes", "code"), [(1, "idempotency_in_progress"), (6, "idempotency_outcome_unknown")])
def test_a_key_whose_first_request_never_answered_says_so(minutes: int, code: str, api: Any, actor: Any) -> None:
    client, key = api(actor), {"Idempotency-Key": "killed"}
    body = {"name": "Once", "kind": "classification"}
    client.post("/api/v1/datasets", body, headers=key)
    begun = timezone.now() - timedelta(minutes=minutes)
    IdempotencyKey.objects.filter(key="killed").update(status=None, body=None, created_at=begun)

    answer = client.post("/api/v1/datasets", body, headers=key)

    assert (answer.status_code, answer.data["code"]) == (409, code)


@pytest.mark.parametrize(
    ("query", "code"), [("cursor=zzz", "bad_cursor"), ("limit=abc", "bad_limit"), ("limit=0", "bad_limit")]
)
def test_a_page_that_cannot_be_is_refused_with_its_reason(query: str, code: str, api: Any, actor: Any) -> None:
    answer = api(actor).get(f"/api/v1/members?{query}")

    assert (answer.status_code, answer.data["code"]) == (422, code)


@pytest.mark.parametrize("depth", [200, 900, 100_000])
def test_a_body_nested_without_end_is_refused(depth: int, api: Any, actor: Any) -> None:
    body = '{"name": ' + "[" * depth + "]" * depth + "}"

    answer = api(actor).generic("POST", "/api/v1/datasets", body, content_type="application/json")

    assert (answer.status_code, answer.data["code"]) == (400, "parse_error")


def test_the_trail_is_filtered_and_exported(api: Any, actor: Any) -> None:
    audit(actor=actor, action="dataset.freeze", obj=actor.workspace)
    client = api(actor)

    found = client.get("/api/v1/audit", {"action": "dataset."}).data["results"]
    bad = client.get("/api/v1/audit", {"since": "yesterday"})
    lines = client.get("/api/v1/audit/export.jsonl", {"action": "dataset."}).getvalue().decode().splitlines()

    assert [row["action"] for row in found] == ["dataset.freeze"]
    assert bad.status_code == 422
    assert len(lines) == 1
    assert client.get("/api/v1/audit/export.exe").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("patch", "workspace"),
        ("get", "invitations"),
        ("post", "invitations"),
        ("get", "api-keys"),
        ("post", "api-keys"),
        ("get", "audit"),
        ("get", "audit/export.csv"),
    ],
)
def test_a_scope_that_is_missing_is_403(method: str, path: str, api: Any, actor: Any) -> None:
    client = api(actor, ["datasets.read", "members.read"])

    answer = getattr(client, method)(f"/api/v1/{path}", {})

    assert answer.status_code == 403 and answer.data["code"] == "not_allowed"


def test_an_analyst_may_list_members_but_change_none(api: Any, workspace: Any, bob: User, alice: User) -> None:
    client = api(actor_of_member(bob, workspace.slug))
    pk = Membership.objects.get(workspace=workspace, user=alice).pk

    assert client.get("/api/v1/members").status_code == 200
    assert client.patch(f"/api/v1/members/{pk}", {"role": "viewer"}).status_code == 403
    assert client.delete(f"/api/v1/members/{pk}").status_code == 403


def test_rows_of_another_workspace_are_404(api: Any, stranger: Any, actor: Any, workspace: Any) -> None:
    client, mine = api(stranger), api(actor)
    key = ApiKey.objects.get(workspace=workspace)
    made = mine.post("/api/v1/invitations", {"role": "viewer"}).data
    member = Membership.objects.filter(workspace=workspace).first()
    assert member is not None

    assert client.get(f"/api/v1/api-keys/{key.pk}").status_code == 404
    assert client.delete(f"/api/v1/api-keys/{key.pk}").status_code == 404
    assert client.delete(f"/api/v1/invitations/{made['id']}").status_code == 404
    assert client.patch(f"/api/v1/members/{member.pk}", {"role": "viewer"}).status_code == 404
    assert client.get("/api/v1/audit", {"object": "harbour"}).data["results"] == []


def test_a_session_needs_a_csrf_token_to_change_anything_and_a_key_does_not(
    alice: User, workspace: Any, api: Any, actor: Any
) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)

    refused = browser.patch("/api/v1/workspace", {"name": "Hijacked"})
    browser.get("/profile")
    token = browser.cookies["csrftoken"].value
    allowed = browser.patch("/api/v1/workspace", {"name": "Port"}, headers={"X-CSRFToken": token})

    assert refused.status_code == 403
    assert allowed.status_code == 200
    assert api(actor).patch("/api/v1/workspace", {"name": "By key"}).status_code == 200


def test_pages_refuse_posts_without_csrf_token(alice: User, workspace: Any) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)

    for path in (
        f"/w/{workspace.slug}/settings/",
        "/profile",
        "/logout",
        "/language",
        f"/w/{workspace.slug}/settings/delete",
    ):
        assert browser.post(path, {"name": "Hijacked"}).status_code == 403, path
    assert Client(enforce_csrf_checks=True).post("/login", {"login": alice.email, "password": "x"}).status_code == 403


def test_a_session_of_several_workspaces_names_one_by_header(alice: User, workspace: Any) -> None:
    create_workspace(name="Second", owner=alice)
    browser = APIClient()
    browser.force_login(alice)

    assert browser.get("/api/v1/me").data["workspace"]["slug"] == "harbour"
    assert browser.get("/api/v1/me", headers={"X-Workspace": "second"}).data["workspace"]["slug"] == "second"
    assert browser.get("/api/v1/me", headers={"X-Workspace": "elsewhere"}).status_code == 401


def test_every_change_leaves_an_entry_that_names_the_key(api: Any, actor: Any) -> None:
    client = api(actor)
    key = ApiKey.objects.get(name="test")
    client.patch("/api/v1/workspace", {"four_eyes": True})
    client.post("/api/v1/invitations", {"role": "viewer"})

    entries = AuditEntry.objects.filter(key_id=key.pk).order_by("id")

    assert [(entry.action, entry.actor) for entry in entries] == [
        ("workspace.update", "key test"),
        ("invitation.create", "key test"),
    ]

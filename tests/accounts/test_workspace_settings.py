"""Settings of a workspace: members, invitations, keys and deletion, for alice, bob, a viewer and charlie."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import actor_of_key, actor_of_member
from apps.accounts.models import ApiKey, AuditEntry, Invitation, Membership, User, hash_token
from apps.accounts.services import change_role, create_api_key, create_user, invite, remove_member
from core.errors import Refused

PASSWORD = "correct horse battery"
PAGES = ("", "roles", "delete", "members", "keys", "audit", "audit/export.csv", "audit/export.jsonl")
CHANGES = ("", "delete", "invitations", "keys/create", "members/{m}/role", "members/{m}/remove", "keys/{k}/revoke")


@pytest.fixture
def viewer(workspace: Any) -> User:
    user = create_user(email="vera@example.org", password=PASSWORD, name="Vera")
    Membership.objects.create(workspace=workspace, user=user, role="viewer")
    return user


def as_user(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def member_of(workspace: Any, user: User) -> Membership:
    return Membership.objects.get(workspace=workspace, user=user)


@pytest.mark.parametrize("path", PAGES)
def test_alice_sees_every_page_and_charlie_none(path: str, workspace: Any, alice: User, charlie: User) -> None:
    address = f"/w/{workspace.slug}/settings/{path}"

    assert as_user(alice).get(address).status_code == 200
    assert as_user(charlie).get(address).status_code == 404
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize("path", CHANGES)
def test_a_viewer_changes_nothing(path: str, workspace: Any, actor: Any, viewer: User) -> None:
    key, _secret = create_api_key(actor=actor, name="k", scopes=["datasets.read"])
    address = f"/w/{workspace.slug}/settings/" + path.format(m=member_of(workspace, viewer).pk, k=key.pk)

    answer = as_user(viewer).post(address, {"name": "Mine", "role": "owner"})

    assert answer.status_code == 403
    workspace.refresh_from_db()
    assert workspace.name == "Harbour" and member_of(workspace, viewer).role == "viewer"


def test_a_viewer_reads_settings_members_and_roles_but_no_keys_or_trail(workspace: Any, viewer: User) -> None:
    client = as_user(viewer)
    codes = {path: client.get(f"/w/{workspace.slug}/settings/{path}").status_code for path in PAGES}

    assert [path for path, code in codes.items() if code == 200] == ["", "roles", "members"]


def test_settings_change_and_the_trail_keeps_what_was(workspace: Any, alice: User) -> None:
    answer = as_user(alice).post(
        f"/w/{workspace.slug}/settings/",
        {"name": "Port", "four_eyes": "on", "audit_retention_days": "", "job_retention_days": "10"},
    )

    workspace.refresh_from_db()
    entry = AuditEntry.objects.get(action="workspace.update")
    assert answer.status_code == 302
    assert (workspace.name, workspace.four_eyes, workspace.job_retention_days) == ("Port", True, 10)
    assert entry.detail["before"]["name"] == "Harbour" and entry.detail["after"]["name"] == "Port"
    bad = as_user(alice).post(f"/w/{workspace.slug}/settings/", {"name": "Port", "job_retention_days": "0"})
    assert bad.status_code == 200 and b"36500" in bad.content


def test_the_last_owner_cannot_leave_be_removed_or_demoted(workspace: Any, alice: User) -> None:
    client, me = as_user(alice), member_of(workspace, alice).pk

    answers = [
        client.post(f"/w/{workspace.slug}/settings/leave"),
        client.post(f"/w/{workspace.slug}/settings/members/{me}/remove"),
        client.post(f"/w/{workspace.slug}/settings/members/{me}/role", {"role": "viewer"}),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert all(b"needs an owner" in answer.content for answer in answers)
    assert member_of(workspace, alice).role == "owner"


def test_an_owner_leaves_once_there_is_another(workspace: Any, alice: User, bob: User) -> None:
    client = as_user(alice)
    bobs = member_of(workspace, bob).pk
    client.post(f"/w/{workspace.slug}/settings/members/{bobs}/role", {"role": "owner"})

    answer = client.post(f"/w/{workspace.slug}/settings/leave")

    assert answer.status_code == 302
    assert not Membership.objects.filter(workspace=workspace, user=alice).exists()


def test_an_admin_neither_makes_nor_changes_owners(workspace: Any, alice: User, bob: User) -> None:
    Membership.objects.filter(user=bob).update(role="admin")
    client = as_user(bob)
    base = f"/w/{workspace.slug}/settings/"

    assert client.post(f"{base}members/{member_of(workspace, bob).pk}/role", {"role": "owner"}).status_code == 403
    assert client.post(f"{base}members/{member_of(workspace, alice).pk}/remove").status_code == 403
    assert client.post(f"{base}invitations", {"role": "owner", "days": "7"}).status_code == 422
    assert member_of(workspace, bob).role == "admin"


def test_an_unknown_role_is_refused(workspace: Any, actor: Any, bob: User) -> None:
    with pytest.raises(Refused) as refused:
        change_role(actor=actor, member=member_of(workspace, bob), role="emperor")
    assert refused.value.code == "unknown_role"


def test_a_person_without_account_joins_by_link_once(workspace: Any, alice: User) -> None:
    made = as_user(alice).post(f"/w/{workspace.slug}/settings/invitations", {"role": "annotator", "days": "7"})
    link = re.search(r"http://testserver(/invitations/[^\"]+)", made.content.decode())
    assert link is not None and made["Cache-Control"] == "no-store"
    newcomer = Client()
    assert b"Harbour" in newcomer.get(link[1]).content

    weak = newcomer.post(link[1], {"email": "dan@example.org", "name": "Dan", "password": "short"})
    joined = newcomer.post(link[1], {"email": "Dan@example.org", "name": "Dan", "password": PASSWORD})

    assert weak.status_code == 200 and b"lx-field-error" in weak.content
    assert joined["Location"] == f"/w/{workspace.slug}/"
    assert newcomer.get(f"/w/{workspace.slug}/settings/members").status_code == 200
    assert member_of(workspace, User.objects.get(email="dan@example.org")).role == "annotator"
    again = Client().post(link[1], {"email": "eve@example.org", "name": "Eve", "password": PASSWORD})
    assert again.status_code == 410 and not User.objects.filter(email="eve@example.org").exists()


def test_a_link_for_an_address_is_for_that_person_only(actor: Any, charlie: User) -> None:
    _invitation, token = invite(actor=actor, role="viewer", email="dan@example.org")
    path = f"/invitations/{token}"

    assert as_user(charlie).post(path).status_code == 403
    Client().post(path, {"email": "eve@example.org", "name": "Eve", "password": PASSWORD})

    assert not User.objects.filter(email="eve@example.org").exists()  # the field is fixed: dan joined instead
    assert User.objects.filter(email="dan@example.org").exists()


def test_someone_with_an_account_joins_while_logged_in_and_is_not_overwritten_otherwise(
    actor: Any, charlie: User, workspace: Any
) -> None:
    _invitation, token = invite(actor=actor, role="viewer")
    path = f"/invitations/{token}"

    taken = Client().post(path, {"email": charlie.email, "name": "Impostor", "password": "another secret 99"})
    assert taken.status_code == 200 and b"exists already" in taken.content
    joined = as_user(charlie).post(path)

    charlie.refresh_from_db()
    assert joined.status_code == 302
    assert charlie.name == "Charlie" and charlie.check_password(PASSWORD)
    assert member_of(workspace, charlie).role == "viewer"


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_an_ended_link_admits_nobody(how: str, actor: Any, alice: User, workspace: Any) -> None:
    invitation, token = invite(actor=actor, role="viewer")
    if how == "expired":
        Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    else:
        as_user(alice).post(f"/w/{workspace.slug}/settings/invitations/{invitation.pk}/revoke")

    answer = Client().post(f"/invitations/{token}", {"email": "dan@example.org", "name": "D", "password": PASSWORD})

    assert answer.status_code == 410
    assert not User.objects.filter(email="dan@example.org").exists()
    assert Client().get("/invitations/join_unknown").status_code == 404


def test_a_member_who_uses_a_link_does_not_waste_it(actor: Any, bob: User) -> None:
    invitation, token = invite(actor=actor, role="viewer")

    assert as_user(bob).post(f"/invitations/{token}").status_code == 409

    invitation.refresh_from_db()
    assert invitation.open


def test_links_end_with_the_right_to_make_them(actor: Any, workspace: Any, bob: User) -> None:
    Membership.objects.filter(user=bob).update(role="admin")
    bobs = actor_of_member(bob, workspace.slug)
    first, _token = invite(actor=bobs, role="admin")
    change_role(actor=actor, member=member_of(workspace, bob), role="analyst")
    first.refresh_from_db()
    assert not first.open

    Membership.objects.filter(user=bob).update(role="admin")
    second, _token = invite(actor=bobs, role="admin")
    remove_member(actor=actor, member=member_of(workspace, bob))
    second.refresh_from_db()
    assert not second.open


def test_a_key_is_shown_once_and_kept_as_a_hash(workspace: Any, alice: User) -> None:
    client = as_user(alice)
    form = {"name": "nightly", "scopes": ["datasets.read", "datasets.write"], "expires_in": "30"}

    made = client.post(f"/w/{workspace.slug}/settings/keys/create", form)

    secret = re.search(r'value="(lx_[^"]+)"', made.content.decode())
    key = ApiKey.objects.get(name="nightly")
    assert secret is not None and made.status_code == 201 and made["Cache-Control"] == "no-store"
    assert key.key_hash == hash_token(secret[1]) and key.expires_at is not None
    listed = client.get(f"/w/{workspace.slug}/settings/keys").content.decode()
    assert "nightly" in listed and secret[1] not in listed and secret[1] not in str(AuditEntry.objects.values())


def test_a_key_form_without_scope_says_so(workspace: Any, alice: User) -> None:
    answer = as_user(alice).post(f"/w/{workspace.slug}/settings/keys/create", {"name": "x", "expires_in": "30"})

    assert answer.status_code == 422 and b"lx-field-error" in answer.content


def test_revoked_expired_and_unknown_keys_are_nobody(actor: Any, alice: User, workspace: Any) -> None:
    revoked, first = create_api_key(actor=actor, name="a", scopes=["datasets.read"])
    expired, second = create_api_key(actor=actor, name="b", scopes=["datasets.read"])
    assert actor_of_key(first, None) and actor_of_key(second, None)

    as_user(alice).post(f"/w/{workspace.slug}/settings/keys/{revoked.pk}/revoke")
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())

    assert actor_of_key(first, None) is actor_of_key(second, None) is actor_of_key("lx_unknown", None) is None


def test_a_key_loses_power_when_its_maker_is_demoted_removed_or_deactivated(
    actor: Any, workspace: Any, bob: User
) -> None:
    _key, secret = create_api_key(
        actor=actor_of_member(bob, workspace.slug), name="b", scopes=["datasets.read", "datasets.write"]
    )
    change_role(actor=actor, member=member_of(workspace, bob), role="viewer")
    weaker = actor_of_key(secret, None)
    assert weaker is not None and weaker.permissions == {"datasets.read"}

    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert actor_of_key(secret, None) is None
    User.objects.filter(pk=bob.pk).update(is_active=True)
    remove_member(actor=actor, member=member_of(workspace, bob))
    assert actor_of_key(secret, None) is None


def test_neither_a_role_nor_a_key_makes_a_stronger_key(actor: Any, workspace: Any, bob: User) -> None:
    with pytest.raises(Refused) as beyond_role:
        create_api_key(actor=actor_of_member(bob, workspace.slug), name="x", scopes=["keys.manage"])
    _key, secret = create_api_key(actor=actor, name="maker", scopes=["keys.manage"])
    narrow = actor_of_key(secret, None)
    assert narrow is not None
    with pytest.raises(Refused) as beyond_key:
        create_api_key(actor=narrow, name="x", scopes=["workspace.delete"])

    assert beyond_role.value.code == beyond_key.value.code == "scope_beyond_role"


def test_a_key_that_would_be_expired_already_is_refused(actor: Any) -> None:
    with pytest.raises(Refused) as refused:
        create_api_key(actor=actor, name="x", scopes=["datasets.read"], expires_at=timezone.now())
    assert refused.value.code == "expiry_in_the_past"


def test_ids_of_another_workspace_do_not_exist_here(workspace: Any, actor: Any, stranger: Any, charlie: User) -> None:
    key, _secret = create_api_key(actor=actor, name="k", scopes=["datasets.read"])
    invitation, _token = invite(actor=actor, role="viewer")
    member = Membership.objects.filter(workspace=workspace).first()
    assert member is not None
    client = as_user(charlie)

    for path in (
        f"keys/{key.pk}/revoke",
        f"invitations/{invitation.pk}/revoke",
        f"members/{member.pk}/remove",
        f"members/{member.pk}/role",
    ):
        assert client.post(f"/w/elsewhere/settings/{path}", {"role": "viewer"}).status_code == 404, path


def test_pages_cost_a_bounded_number_of_queries(
    workspace: Any, alice: User, actor: Any, django_assert_max_num_queries: Any
) -> None:
    client = as_user(alice)
    for number in range(30):
        create_api_key(actor=actor, name=f"k{number}", scopes=["datasets.read"])
        invite(actor=actor, role="viewer")
    client.get(f"/w/{workspace.slug}/settings/")

    for path in ("", "members", "keys", "audit", "roles"):
        with django_assert_max_num_queries(10):
            client.get(f"/w/{workspace.slug}/settings/{path}")

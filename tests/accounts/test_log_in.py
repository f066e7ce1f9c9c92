"""The way in: log-in, throttle, sessions, password reset, language, and where "/" leads."""

import re
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings as django_settings
from django.core import mail
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import Membership, User
from apps.accounts.services import create_user, create_workspace
from config.settings import base

PASSWORD = "correct horse battery"


def log_in(client: Client, email: str, password: str = PASSWORD, **extra: str) -> Any:
    return client.post("/login", {"login": email, "password": password, **extra})


@pytest.fixture
def limits(settings: Any) -> Any:
    """The throttle of a real installation."""
    settings.ACCOUNT_RATE_LIMITS = base.ACCOUNT_RATE_LIMITS
    cache.clear()
    yield
    cache.clear()


def test_people_log_in_by_address_whatever_its_case_and_land_in_their_workspace(workspace: Any) -> None:
    client = Client()

    answer = log_in(client, "Alice@Example.org")

    assert answer.status_code == 302 and answer["Location"] == "/"
    assert client.get("/")["Location"] == f"/w/{workspace.slug}/"


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(alice: User) -> None:
    wrong = log_in(Client(), alice.email, "not the password")
    unknown = log_in(Client(), "nobody@example.org", "not the password")

    sentences = [re.findall(r'role="alert".*?</div>', page.content.decode(), re.S) for page in (wrong, unknown)]
    assert wrong.status_code == unknown.status_code == 200
    assert sentences[0] == sentences[1] != []


def test_guessing_one_account_is_stopped_after_five_tries_even_from_other_addresses(alice: User, limits: Any) -> None:
    for number in range(5):
        log_in(Client(REMOTE_ADDR=f"10.0.0.{number}"), alice.email, "guess")

    answer = log_in(Client(REMOTE_ADDR="10.0.1.1"), alice.email)

    assert answer.status_code != 302
    assert not UserSession.objects.filter(user=alice).exists()


def test_one_address_gets_thirty_tries_a_minute_then_429(db: None, limits: Any) -> None:
    codes = [log_in(Client(), f"user{number}@example.org", "guess").status_code for number in range(31)]

    assert codes[-1] == 429


def test_a_deactivated_person_cannot_log_in(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    client = Client()

    log_in(client, alice.email)

    assert "_auth_user_id" not in client.session


def test_nobody_signs_up_uninvited(db: None) -> None:
    answer = Client().post("/signup", {"email": "eve@example.org", "password1": PASSWORD, "password2": PASSWORD})

    assert b"invitation" in answer.content
    assert not User.objects.exists()


def test_log_in_never_leads_to_another_site(alice: User) -> None:
    answer = log_in(Client(), alice.email, next="https://evil.example/steal")

    assert answer["Location"] == "/"


def test_the_session_changes_its_key_at_log_in(alice: User) -> None:
    client = Client()
    client.get("/login")
    client.session["probe"] = 1
    before = client.session.session_key

    log_in(client, alice.email)

    assert client.session.session_key != before


def test_log_out_needs_a_post(page: Any, alice: User) -> None:
    client = page(alice)

    assert client.get("/logout").status_code == 200
    assert "_auth_user_id" in client.session
    client.post("/logout")
    assert "_auth_user_id" not in client.session


def test_a_mailed_link_sets_a_new_password_once(alice: User) -> None:
    client = Client()
    client.post("/password/reset", {"email": alice.email})
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)
    assert link is not None

    form = client.get(link[1], follow=True)
    path = form.redirect_chain[-1][0]
    done = client.post(path, {"password1": "quite another secret", "password2": "quite another secret"})

    assert done.status_code == 302
    assert log_in(Client(), alice.email, "quite another secret").status_code == 302
    assert b"no longer works" in Client().get(link[1], follow=True).content


def test_a_reset_for_an_unknown_address_looks_the_same_and_sends_nothing(alice: User) -> None:
    known = Client().post("/password/reset", {"email": alice.email})
    unknown = Client().post("/password/reset", {"email": "nobody@example.org"})

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert [message.to for message in mail.outbox] == [[alice.email]]


def test_a_reset_refuses_a_weak_password(alice: User) -> None:
    client = Client()
    client.post("/password/reset", {"email": alice.email})
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)
    assert link is not None
    path = client.get(link[1], follow=True).redirect_chain[-1][0]

    for weak in ("short", "password123", "1234567890123", "alice@example"):
        assert client.post(path, {"password1": weak, "password2": weak}).status_code == 200, weak
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_a_dead_mail_server_is_a_sentence_not_an_error(alice: User, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", 1, 1

    answer = Client().post("/password/reset", {"email": alice.email})

    assert answer.status_code == 503
    assert b"could not be sent" in answer.content


def test_root_remembers_the_workspace_of_this_browser_and_else_the_last_one(alice: User, workspace: Any) -> None:
    second = create_workspace(name="Second", owner=alice)
    here, there = Client(), Client()
    here.force_login(alice)
    there.force_login(alice)

    here.get(f"/w/{workspace.slug}/settings/")
    there.get(f"/w/{second.slug}/settings/")

    assert here.get("/")["Location"] == f"/w/{workspace.slug}/"
    assert there.get("/")["Location"] == f"/w/{second.slug}/"
    fresh = Client()
    fresh.force_login(alice)
    assert fresh.get("/")["Location"] == f"/w/{second.slug}/"


def test_root_without_log_in_leads_to_it_and_without_workspace_says_what_to_do(db: None) -> None:
    assert Client().get("/")["Location"].startswith("/login")
    lonely = create_user(email="lonely@example.org", password=PASSWORD)
    client = Client()
    client.force_login(lonely)

    answer = client.get("/", follow=True)

    assert b"invitation link" in answer.content


def test_the_frame_lists_workspaces_to_switch_to_but_not_those_being_deleted(
    alice: User, workspace: Any, page: Any
) -> None:
    create_workspace(name="Second", owner=alice)
    gone = create_workspace(name="Sinking", owner=alice)
    type(gone).objects.filter(pk=gone.pk).update(deleting_at=gone.created_at)

    html = page(alice).get(f"/w/{workspace.slug}/settings/").content.decode()

    assert "/w/second/" in html and "/w/sinking/" not in html


def test_the_stored_language_wins_over_the_browser(alice: User, page: Any) -> None:
    client = page(alice)
    client.post("/language", {"language": "zh-hans", "next": "/profile"})

    html = client.get("/profile", HTTP_ACCEPT_LANGUAGE="en").content.decode()

    alice.refresh_from_db()
    assert alice.language == "zh-hans"
    assert 'lang="zh-hans"' in html
    other = Client()
    other.force_login(alice)
    assert other.get("/profile", HTTP_ACCEPT_LANGUAGE="en")["Content-Language"] == "zh-hans"


def test_a_visitor_changes_the_language_of_the_log_in_page(db: None) -> None:
    client = Client()

    answer = client.post("/language", {"language": "zh-hans", "next": "/login"})

    assert answer["Location"] == "/login"
    assert 'lang="zh-hans"' in client.get("/login").content.decode()
    assert client.post("/language", {"language": "xx"}).status_code == 404
    assert client.post("/language", {"language": "en", "next": "https://evil.example"})["Location"] == "/"


def test_the_profile_keeps_name_zone_theme_and_mail_wish(alice: User, page: Any) -> None:
    client = page(alice)

    answer = client.post(
        "/profile", {"name": "A. Liddell", "language": "", "time_zone": "Asia/Shanghai", "theme": "dark"}
    )

    alice.refresh_from_db()
    assert answer.status_code == 302
    assert (alice.name, alice.time_zone, alice.theme, alice.mail_notices) == (
        "A. Liddell",
        "Asia/Shanghai",
        "dark",
        False,
    )
    assert client.cookies["lingxi_theme"].value == "dark"
    assert client.post("/profile", {"name": "x", "time_zone": "Mars/Olympus"}).status_code == 200
    assert client.post("/profile/theme", {"theme": "light"}).status_code == 204
    assert client.post("/profile/theme", {"theme": "neon"}).status_code == 404


def test_changing_the_password_ends_other_sessions_and_keeps_this_one(alice: User) -> None:
    here, there = Client(), Client()
    log_in(here, alice.email)
    log_in(there, alice.email)

    answer = here.post(
        "/profile/password",
        {"oldpassword": PASSWORD, "password1": "quite another secret", "password2": "quite another secret"},
    )

    assert answer.status_code == 302
    assert here.get("/profile").status_code == 200
    assert there.get("/profile").status_code == 302


def test_a_person_ends_own_sessions_and_nobody_elses(alice: User, bob: User) -> None:
    here, there, bobs = Client(HTTP_USER_AGENT="Here"), Client(HTTP_USER_AGENT="There"), Client()
    log_in(here, alice.email)
    log_in(there, alice.email)
    log_in(bobs, bob.email)
    html = here.get("/profile/sessions").content.decode()
    assert "Here" in html and "There" in html

    foreign = UserSession.objects.get(user=bob)
    assert here.post(f"/profile/sessions/{foreign.pk}/end").status_code == 404
    target = UserSession.objects.get(user=alice, user_agent="There")
    here.post(f"/profile/sessions/{target.pk}/end")

    assert there.get("/profile").status_code == 302
    assert here.get("/profile").status_code == 200
    assert bobs.get("/profile").status_code == 200


def test_all_other_sessions_end_at_once(alice: User) -> None:
    clients = [Client() for _each in range(3)]
    for client in clients:
        log_in(client, alice.email)

    clients[0].post("/profile/sessions/end")

    assert [client.get("/profile").status_code for client in clients] == [200, 302, 302]


def test_operators_deactivate_people_and_others_do_not_even_see_the_page(
    alice: User, bob: User, workspace: Any
) -> None:
    operator = create_user(email="op@example.org", password=PASSWORD, is_operator=True)
    client, bobs = Client(), Client()
    client.force_login(operator)
    bobs.force_login(bob)

    assert bobs.get("/people").status_code == 404
    assert bobs.post(f"/people/{alice.pk}/active", {"active": "0"}).status_code == 404
    refused = client.post(f"/people/{alice.pk}/active", {"active": "0"})
    assert refused.status_code == 409 and b"only owner" in refused.content
    client.post(f"/people/{bob.pk}/active", {"active": "0"})

    assert bobs.get("/profile").status_code == 302
    assert b"Deactivated" in client.get("/people").content
    client.post(f"/people/{bob.pk}/active", {"active": "1"})
    assert User.objects.get(pk=bob.pk).is_active
    assert client.post(f"/people/{operator.pk}/active", {"active": "0"}).status_code == 409


def test_only_operators_open_workspaces(alice: User, page: Any) -> None:
    client = page(alice)
    assert client.post("/workspaces", {"name": "Mine"}).status_code == 403
    User.objects.filter(pk=alice.pk).update(is_operator=True)

    answer = client.post("/workspaces", {"name": "Mine"})

    assert answer["Location"] == "/w/mine/"
    assert Membership.objects.get(workspace__slug="mine").role == "owner"


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(alice: User) -> None:
    client = Client()
    log_in(client, alice.email)

    session = client.cookies[django_settings.SESSION_COOKIE_NAME]

    assert session["httponly"] and session["samesite"] == "Lax"

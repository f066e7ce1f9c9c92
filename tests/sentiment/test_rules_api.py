"""Rules, silences, alerts and replays by the API and by pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.notifications.services import create_receiver
from apps.sentiment.models import Alert, Monitor, Replay, Rule, Silence
from core.access import Actor
from workers.loop import run_next
from workers.watching import watch_rule

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Counted = Callable[..., None]
Ruled = Callable[..., Rule]


@pytest.fixture
def caller(api: Callable[..., APIClient], actor: Actor) -> APIClient:
    """Alice by the API."""
    return api(actor)


@pytest.fixture
def raised_alert(counted: Counted, ruled: Ruled) -> Alert:
    """An alert that fires."""
    counted([30], NOON)
    rule = ruled("static", since=NOON - HOUR, options={"threshold": 20, "least_count": 0})
    watch_rule(rule.pk, NOON + timedelta(seconds=15))
    return Alert.objects.get()


def test_a_rule_is_made_changed_and_deleted(caller: APIClient, brand_monitor: Monitor, actor: Actor) -> None:
    receiver, _secret = create_receiver(actor=actor, name="Desk", kind="people", language="en", people=[actor.user])
    body = {
        "name": "Surge",
        "kind": "surge",
        "dimension": "entity",
        "options": {"alpha": 0.001, "least_count": 5},
        "receivers": [receiver.pk],
        "mute_times": [{"days": [5, 6], "begin": "00:00", "end": "23:59"}],
    }

    made = caller.post(f"/api/v1/monitors/{brand_monitor.pk}/rules", body, format="json")

    assert made.status_code == 201, made.content
    assert made.json()["options"] == {"alpha": 0.001}  # what is the default is not kept
    assert made.json()["receivers"] == [receiver.pk]
    url = f"/api/v1/rules/{made.json()['id']}"
    assert caller.patch(url, {"severity": "critical"}, format="json").json()["severity"] == "critical"
    assert caller.patch(url, {"options": {"alpha": 7}}, format="json").status_code == 422
    assert caller.delete(url).status_code == 204
    assert caller.get(f"/api/v1/monitors/{brand_monitor.pk}/rules").json()["results"] == []


def test_receivers_and_rules_of_others_cannot_be_named(
    caller: APIClient, brand_monitor: Monitor, stranger: Actor
) -> None:
    theirs, _secret = create_receiver(
        actor=stranger, name="Theirs", kind="people", language="en", people=[stranger.user]
    )
    body = {"name": "Surge", "kind": "surge", "receivers": [theirs.pk]}

    answer = caller.post(f"/api/v1/monitors/{brand_monitor.pk}/rules", body, format="json")

    assert answer.status_code in (400, 422)
    assert not Rule.objects.exists()


def test_an_alert_is_read_acknowledged_assigned_judged_and_closed(
    caller: APIClient, raised_alert: Alert, alice: User
) -> None:
    url = f"/api/v1/alerts/{raised_alert.pk}"

    assert caller.get("/api/v1/alerts?state=open").json()["results"][0]["id"] == raised_alert.pk
    assert caller.get("/api/v1/alerts?state=resolved").json()["results"] == []
    assert caller.get(url).json()["explanation"]["verdict"]["observed"] == 30
    assert caller.post(f"{url}/acknowledge").json()["acknowledged_by"]
    assert caller.post(f"{url}/assign", {"user": alice.email}, format="json").status_code == 200
    assert caller.post(f"{url}/assign", {"user": "nobody@example.org"}, format="json").status_code == 422
    assert caller.post(f"{url}/notes", {"text": "Seen by the desk"}, format="json").status_code == 200
    assert caller.post(f"{url}/usefulness", {"usefulness": "useful"}, format="json").json()["usefulness"] == "useful"
    closed = caller.post(f"{url}/close").json()
    assert closed["state"] == "resolved"
    assert [each["kind"] for each in closed["events"]] == [
        "started", "fired", "acknowledged", "assigned", "noted", "judged", "resolved",
    ]  # fmt: skip
    assert caller.post(f"{url}/close").status_code == 409


def test_the_overview_names_the_alerts_that_fire_the_gravest_first(
    client: Client, alice: User, raised_alert: Alert, brand_monitor: Monitor
) -> None:
    client.force_login(alice)
    part = f"/w/harbour/monitors/{brand_monitor.pk}/arrivals"
    again = {
        "monitor": brand_monitor,
        "kind": "static",
        "state": "firing",
        "started_at": NOON,
        "fired_at": NOON,
        "last_true_at": NOON,
    }
    for number, severity in enumerate(("critical", "info")):
        Alert.objects.create(**again, key=str(number), rule_name=f"It is {severity}", severity=severity)

    page = client.get(part).content.decode()

    places = [page.index(name) for name in ("It is critical", str(raised_alert), "It is info")]
    assert places == sorted(places)
    Alert.objects.update(state="resolved")
    assert "Alerts that fire" not in client.get(part).content.decode()


def test_assigning_what_is_assigned_so_leaves_no_step(caller: APIClient, raised_alert: Alert, alice: User) -> None:
    url = f"/api/v1/alerts/{raised_alert.pk}"

    for user in (None, alice.email, alice.email, None):
        assert caller.post(f"{url}/assign", {"user": user}, format="json").status_code == 200

    steps = [(each["kind"], each["detail"]) for each in caller.get(url).json()["events"]]
    assert steps[2:] == [("assigned", alice.email), ("assigned", "")]


def test_acknowledging_twice_changes_nothing(caller: APIClient, raised_alert: Alert) -> None:
    first = caller.post(f"/api/v1/alerts/{raised_alert.pk}/acknowledge").json()

    second = caller.post(f"/api/v1/alerts/{raised_alert.pk}/acknowledge").json()

    assert first == second


def test_a_back_test_is_asked_for_and_read(caller: APIClient, brand_monitor: Monitor, counted: Counted) -> None:
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    counted([5, 30, 5, 40], end)
    body = {
        "kind": "static",
        "measure": "article_count",
        "options": {"threshold": 20, "least_count": 0},
        "begin_at": (end - timedelta(days=7)).isoformat(),
        "end_at": end.isoformat(),
    }

    made = caller.post(f"/api/v1/monitors/{brand_monitor.pk}/rules/back-test", body, format="json")
    run_next("io")

    assert made.status_code == 202, made.content
    found = caller.get(f"/api/v1/replays/{made.json()['id']}").json()
    assert (found["state"], found["result"]["alert_count"]) == ("succeeded", 2)


def test_a_silence_is_made_and_ended(caller: APIClient, brand_monitor: Monitor) -> None:
    now = timezone.now()
    body = {"begin_at": now.isoformat(), "end_at": (now + HOUR).isoformat(), "reason": "Maintenance"}

    made = caller.post(f"/api/v1/monitors/{brand_monitor.pk}/silences", body, format="json")

    assert made.status_code == 201, made.content
    assert caller.delete(f"/api/v1/silences/{made.json()['id']}").status_code == 204
    assert Silence.objects.get().end_at <= timezone.now()


@pytest.mark.parametrize(
    "kind", ["static", "ratio", "surge", "score", "rise", "share", "keyword", "new_story", "no_data"]
)
def test_every_kind_has_a_form_that_saves_its_defaults(
    client: Client, alice: User, brand_monitor: Monitor, kind: str
) -> None:
    client.force_login(alice)
    url = f"/w/harbour/monitors/{brand_monitor.pk}/rules/new/{kind}"
    page = client.get(url)
    assert page.status_code == 200
    form = page.context["form"]
    values = {
        name: field.initial
        for name, field in form.fields.items()
        if field.initial not in (None, "") and field.initial is not False
    }
    values |= {"name": f"Rule {kind}", "series": "total:", "words": "breach", "least_weight": 1}

    answer = client.post(url, {name: value for name, value in values.items() if name in form.fields})

    assert answer.status_code == 302, answer.context["form"].errors
    rule = Rule.objects.get()
    assert rule.kind == kind
    assert client.get(f"/w/harbour/monitors/rules/{rule.pk}").status_code == 200


def test_the_form_tries_a_rule_on_the_days_before(
    client: Client, alice: User, brand_monitor: Monitor, counted: Counted
) -> None:
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    counted([5, 30, 5, 40], end)
    client.force_login(alice)
    url = f"/w/harbour/monitors/{brand_monitor.pk}/rules/back-test/static"
    form = {
        "severity": "warning", "measure": "article_count", "series": "total:", "seconds": 3600, "hold_minutes": 0, "keep_minutes": 0,
        "grouping": "rule", "wait_seconds": 0, "repeat_minutes": 0, "escalate_minutes": 0, "option_threshold": 20,
        "option_direction": "above", "option_least_count": 0, "option_least_buckets": 4, "days": "7",
    }  # fmt: skip

    asked = client.post(url, form)
    run_next("io")
    found = client.get(f"/w/harbour/monitors/replays/{Replay.objects.get().pk}", headers={"HX-Request": "true"})

    assert b"hx-get" in asked.content
    assert b"2 times in 7 days" in found.content
    assert not Rule.objects.exists()


def test_pages_of_alerts_are_shown_and_answered(client: Client, alice: User, raised_alert: Alert) -> None:
    client.force_login(alice)
    base = f"/w/harbour/monitors/alerts/{raised_alert.pk}"

    assert b"Counted: 30" in client.get(base).content
    assert client.get("/w/harbour/monitors/alerts?state=open").status_code == 200
    for what, body in (
        ("acknowledge", {}), ("assign", {"user": alice.pk}), ("note", {"text": "Seen"}), ("judge", {"usefulness": "noise"}),
        ("close", {}), ("close", {}),
    ):  # fmt: skip
        assert client.post(f"{base}/{what}", body).status_code == 302
    page = client.get(base).content.decode()
    assert "Seen" in page
    assert "Noise" in page
    rules = client.get(f"/w/harbour/monitors/{raised_alert.monitor_id}/rules").content.decode()
    assert "0.0 %" in rules


def test_what_looks_like_a_number_and_is_none_names_nobody(client: Client, alice: User, raised_alert: Alert) -> None:
    client.force_login(alice)
    base = "/w/harbour/monitors"

    assigned = client.post(f"{base}/alerts/{raised_alert.pk}/assign", {"user": "²"})
    tried = client.post(f"{base}/{raised_alert.monitor_id}/rules/back-test/static", {"rule": "²"})

    assert assigned.status_code == 302
    assert tried.status_code in (200, 422)
    raised_alert.refresh_from_db()
    assert raised_alert.assigned_to is None

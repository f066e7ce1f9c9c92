"""Alerts as files: those that the filters of the inbox show, with who answered and what was seen."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.sentiment import alert_files, services
from apps.sentiment.models import Alert, Monitor
from core.access import Actor

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)  # in Shanghai
VERDICT = {"observed": 9.0, "expected": 2.5, "low": 0.0, "high": 6.0, "p_value": 0.0001, "method": "negative_binomial"}


@pytest.fixture
def raised(brand_monitor: Monitor) -> Callable[..., Alert]:
    """An alert of the monitor."""

    def made(name: str = "Many", **columns: Any) -> Alert:
        given = {
            "monitor": brand_monitor, "rule_name": name, "kind": "surge", "severity": "warning", "dimension": "total",
            "state": "firing", "started_at": NOON, "last_true_at": NOON, "fired_at": NOON + timedelta(minutes=5),
            "explanation": {"verdict": VERDICT, "samples": [{"text": "long " * 100}]}, **columns,
        }  # fmt: skip
        return Alert.objects.create(**given)

    return made


def records(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


def test_a_row_says_where_an_alert_stands_who_answered_and_what_was_seen(
    raised: Callable[..., Alert], page: Any, alice: User, bob: User, actor: Actor
) -> None:
    alert = raised("=Many", series="港口", usefulness="useful", strength=1.5)
    services.acknowledge(actor=actor, alert=alert)
    services.assign(actor=actor, alert=alert, user=bob)
    pending = raised(state="pending", fired_at=None, explanation=None)

    first, second = records(page(alice).get(f"/w/{actor.workspace.slug}/monitors/alerts/export.spreadsheet"))

    assert first == {
        **dict.fromkeys(alert_files.COLUMNS, ""), "id": str(alert.pk), "monitor": str(alert.monitor_id),
        "monitor_name": "Brand", "rule_name": "'=Many", "kind": "surge", "severity": "warning", "dimension": "total",
        "series": "港口", "state": "firing", "started_at": "2026-03-04T12:00:00+08:00",
        "fired_at": "2026-03-04T12:05:00+08:00", "acknowledged_at": first["acknowledged_at"],
        "acknowledged_by": "alice@example.org", "assigned_to": "bob@example.org", "usefulness": "useful",
        "observed": "9.0", "expected": "2.5", "low": "0.0", "high": "6.0", "p_value": "0.0001",
        "method": "negative_binomial", "strength": "1.5", "is_late": "false",
    }  # fmt: skip
    assert first["acknowledged_at"].endswith("+08:00")
    assert (second["id"], second["fired_at"], second["observed"]) == (str(pending.pk), "", "")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a", "b", "c"]),
        ("state=open", ["a", "c"]),
        ("severity=critical", ["b"]),
        ("kind=keyword", ["c"]),
        ("mine=me", ["a"]),
        ("mine=nobody&usefulness=", ["a", "c"]),
        ("usefulness=noise", ["c"]),
    ],
)
def test_page_and_api_take_the_filters_of_the_inbox(
    raised: Callable[..., Alert], page: Any, api: Any, alice: User, actor: Actor, query: str, names: list[str]
) -> None:
    monitor = raised("a", assigned_to=alice).monitor_id
    raised("b", severity="critical", state="resolved")
    raised("c", kind="keyword", usefulness="noise")
    room = f"/w/{actor.workspace.slug}/monitors"

    shown = page(alice).get(f"{room}/{monitor}/alerts?{query}").context["page"]
    files = [page(alice).get(f"{room}/{place}/export.csv?{query}") for place in ("alerts", f"{monitor}/alerts")]
    called = api(actor).get(f"/api/v1/alerts/export.jsonl?{query}&monitor={monitor}")

    assert [row.rule_name for row in shown][::-1] == names
    assert [[row["rule_name"] for row in records(file)] for file in files] == [names, names]
    assert [json.loads(line)["rule_name"] for line in called.getvalue().splitlines()] == names


def test_what_is_not_there_is_refused_or_missing(
    raised: Callable[..., Alert], api: Any, page: Any, bob: User, actor: Actor
) -> None:
    monitor = raised().monitor
    client = api(actor)

    assert client.get("/api/v1/alerts/export.parquet").status_code == 404
    assert client.get("/api/v1/alerts/export.csv?state=odd").json()["errors"][0]["field"] == "state"
    assert records(client.get("/api/v1/alerts/export.csv?monitor=x")) == []
    services.change_monitor(actor=actor, monitor=monitor, is_restricted=True)
    room = f"/w/{actor.workspace.slug}/monitors"
    assert records(page(bob).get(f"{room}/alerts/export.csv")) == []
    assert page(bob).get(f"{room}/{monitor.pk}/alerts/export.csv").status_code == 404


def test_many_alerts_take_no_more_queries_than_few(raised: Callable[..., Alert], alice: User) -> None:
    asked = []
    for count in (2, 20):
        for _each in range(count):
            raised(acknowledged_by=alice, assigned_to=alice)
        with CaptureQueriesContext(connection) as caught:
            list(alert_files.written(Alert.objects.all(), "csv"))
        asked.append(len(caught))
        assert '"sentiment_alert"."explanation",' not in caught.captured_queries[0]["sql"]  # which is long

    assert asked == [1, 1]

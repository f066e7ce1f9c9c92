"""Rules over a past span: what a back-test says is what a live rule would have said, and it is always the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.forms_rules import SpanForm
from apps.sentiment.models import Alert, Monitor, Replay, Rule, Source
from apps.sentiment.services.replays import back_test, replay
from core.access import Actor
from core.errors import Refused
from workers.loop import run_next
from workers.replaying import replayed
from workers.watching import watch_rule

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
COUNTS = [5, 6, 4, 5, 6, 5, 4, 6, 5, 30, 40, 5, 6, 4, 5, 60, 5, 4, 6, 5, 70, 4, 5, 6]
Counted = Callable[..., None]
Ruled = Callable[..., Rule]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("static", {"options": {"threshold": 35, "least_count": 0}, "hold_minutes": 0}),
        ("static", {"options": {"threshold": 25, "least_count": 0}, "hold_minutes": 60}),
        ("ratio", {"options": {"ratio": 3, "mean_hours": 6}}),
        ("surge", {"options": {"alpha": 0.001}, "keep_minutes": 120}),
        ("rise", {"options": {"run_length": 50}}),
    ],
)
def test_a_replay_raises_what_was_raised_live(
    counted: Counted, ruled: Ruled, kind: str, columns: dict[str, object]
) -> None:
    begin = NOON - 24 * HOUR
    counted(COUNTS, NOON)
    rule = ruled(kind, since=begin, **columns)

    found = replayed(rule, begin, NOON)
    watch_rule(rule.pk, NOON + timedelta(seconds=15))

    live = Alert.objects.exclude(fired_at=None).order_by("id")
    assert found
    assert [(each.started_at, each.fired_at, each.ended_at) for each in found] == [
        (each.started_at, each.fired_at, each.resolved_at) for each in live
    ]
    assert [each.verdict for each in found] == [each.explanation["verdict"] for each in live]


def test_words_and_silence_are_replayed_from_articles(
    ruled: Ruled, pushed_source: Source, written: Callable[..., Item]
) -> None:
    words = ruled("keyword", since=NOON, options={"words": ["breach"]})
    silence = ruled("no_data", since=NOON, options={"minutes": 90})
    for number, minutes in enumerate((1, 20, 200)):
        services.ingest(
            pushed_source,
            [written(number, f"A breach at bank {number} of town")],
            now=NOON + timedelta(minutes=minutes),
        )

    found = replayed(words, NOON, NOON + 5 * HOUR)
    quiet = replayed(silence, NOON, NOON + 5 * HOUR)

    assert [(each.fired_at, len(each.articles)) for each in found] == [
        (NOON + timedelta(minutes=1), 2),
        (NOON + timedelta(minutes=200), 1),
    ]
    assert found[0].ended_at == NOON + timedelta(minutes=80)
    assert [(each.fired_at, each.ended_at) for each in quiet] == [
        (NOON + timedelta(minutes=110), NOON + timedelta(minutes=200)),
        (NOON + timedelta(minutes=290), None),
    ]


def test_the_same_rules_over_the_same_counts_give_the_same_digest(
    counted: Counted, ruled: Ruled, brand_monitor: Monitor, actor: Actor
) -> None:
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    counted(COUNTS, end)
    ruled("static", since=end, options={"threshold": 35, "least_count": 0})
    ruled("surge", since=end, options={"alpha": 0.001})
    span = {"begin_at": end - timedelta(days=7), "end_at": end}

    for _time in range(2):
        replay(actor=actor, monitor=brand_monitor, **span)
        run_next("io")

    one, two = Replay.objects.order_by("id")
    assert one.digest == two.digest != ""
    assert one.result["alert_count"] == len(one.result["alerts"]) > 2
    assert not Alert.objects.exists()


def test_a_back_test_saves_no_rule_and_says_how_often_it_would_have_fired(
    counted: Counted, brand_monitor: Monitor, actor: Actor
) -> None:
    end = timezone.now().replace(minute=0, second=0, microsecond=0)
    counted(COUNTS, end)

    made = back_test(
        actor=actor, monitor=brand_monitor, begin_at=end - timedelta(days=30), end_at=end, kind="static",
        measure="article_count", options={"threshold": 35, "least_count": 0},
    )  # fmt: skip
    run_next("io")

    made.refresh_from_db()
    assert made.result["alert_count"] == 3
    assert made.days == 30
    assert not Rule.objects.exists()


@pytest.mark.parametrize(
    ("kind", "columns", "fired_at"),
    [
        ("static", {"options": {"threshold": 8, "least_count": 0}}, [timedelta(hours=-71)]),
        ("surge", {"options": {"alpha": 1e-6}}, [timedelta(hours=-71)]),
        ("keyword", {"options": {"words": ["breach"]}}, [timedelta(hours=-72)]),
        ("new_story", {"options": {"words": ["breach"], "least_weight": 1}}, [timedelta(hours=-72)]),
        ("no_data", {"options": {"minutes": 90}}, [timedelta(minutes=30)]),
    ],
)
def test_by_the_time_of_publication_history_is_judged_as_if_it_had_arrived_then(
    pushed_source: Source,
    brand_monitor: Monitor,
    written: Callable[..., Item],
    kind: str,
    columns: dict[str, Any],
    fired_at: list[timedelta],
) -> None:
    ordinary = [written(hour, published_at=NOON - (hour + 1) * HOUR) for hour in range(24 * 21)]
    surge = [
        written(1_000 + number, f"A breach at bank {number} of town {number * 7}", published_at=NOON - 72 * HOUR)
        for number in range(20)
    ]
    services.ingest(pushed_source, [*ordinary, *surge[:1]], now=NOON, is_history=True)
    services.ingest(pushed_source, surge[1:] if kind in ("static", "surge") else [], now=NOON, is_history=True)
    rule = Rule(monitor=brand_monitor, name="Draft", kind=kind, measure="article_count", **columns)
    span = (NOON - timedelta(days=7), NOON + HOUR)

    found = replayed(rule, *span, clock="published")

    assert [each.fired_at - NOON for each in found] == fired_at
    assert replayed(rule, *span) == []
    if kind == "new_story":
        assert found[0].series == surge[0].title


def test_a_back_test_by_the_time_of_publication_is_asked_by_page_and_program(
    client: Client, alice: User, pushed_source: Source, written: Callable[..., Item]
) -> None:
    client.force_login(alice)
    room, monitor = "/w/harbour/monitors/", pushed_source.monitor_id
    now = timezone.now()
    old = [
        written(number, f"Breach {number} in town {number * 3}", published_at=now - 50 * HOUR * number)
        for number in (1, 2, 3)
    ]
    services.ingest(pushed_source, old, is_history=True)
    form = {"words": "breach", "severity": "warning", "least_weight": "1", "keep_minutes": "0", "grouping": "rule",
            "wait_seconds": "10", "repeat_minutes": "0", "escalate_minutes": "0", "days": "30"}  # fmt: skip

    page = client.get(f"{room}{monitor}/rules/new/keyword").content.decode()
    for asked in ({}, {"clock": "published"}):
        assert client.post(f"{room}{monitor}/rules/back-test/keyword", {**form, **asked}).status_code == 200
        run_next("io")
    made = client.post(
        f"/api/v1/monitors/{monitor}/rules/back-test",
        {"kind": "keyword", "options": {"words": ["breach"]}, "clock": "published",
         "begin_at": (now - timedelta(days=30)).isoformat(), "end_at": now.isoformat()},
        content_type="application/json",
    )  # fmt: skip
    run_next("io")

    assert 'id="back-test-clock"' in page
    by_arrival, by_publication, by_program = Replay.objects.order_by("id")
    assert (by_arrival.clock, by_arrival.result["alert_count"]) == ("received", 0)
    assert (by_publication.clock, by_publication.result["alert_count"]) == ("published", 3)
    assert (made.json()["clock"], by_program.digest) == ("published", by_publication.digest)
    told = client.get(f"{room}replays/{by_publication.pk}/play").content.decode()
    assert "Breach 1 in town 3" in told
    assert client.get(f"{room}{monitor}/replays").content.decode().count("by time of publication") == 2
    wrong = {"begin_at": now - timedelta(days=3), "end_at": now, "clock": "x"}
    assert client.post(f"/api/v1/monitors/{monitor}/replays", wrong, content_type="application/json").status_code == 422


def test_the_days_of_a_replay_are_those_of_the_monitor(brand_monitor: Monitor) -> None:
    brand_monitor.time_zone = "Pacific/Kiritimati"  # 26 hours ahead of the reader

    with timezone.override(ZoneInfo("Etc/GMT+12")):
        form = SpanForm(monitor=brand_monitor)

        assert form.initial["end"] > timezone.localdate()


def test_a_webhook_tells_of_every_hour_as_a_push_does(
    brand_monitor: Monitor, actor: Actor, written: Callable[..., Item], ruled: Ruled
) -> None:
    source = services.add_source(actor=actor, monitor=brand_monitor, kind="webhook", name="Partner")
    services.ingest(source, [written(1)], now=NOON - 5 * HOUR)
    rule = ruled("static", since=NOON - 4 * HOUR, options={"threshold": 0, "direction": "below", "least_count": 0})

    watch_rule(rule.pk, NOON + timedelta(seconds=15))

    assert Alert.objects.get().state == "firing"


def test_a_span_must_lie_in_the_past_and_hold_rules(brand_monitor: Monitor, actor: Actor, ruled: Ruled) -> None:
    now = timezone.now()

    with pytest.raises(Refused, match="no rule"):
        replay(actor=actor, monitor=brand_monitor, begin_at=now - HOUR, end_at=now)
    ruled("static", since=now)
    for begin, end in ((now, now - HOUR), (now, now + HOUR), (now - timedelta(days=400), now)):
        with pytest.raises(Refused, match="span"):
            replay(actor=actor, monitor=brand_monitor, begin_at=begin, end_at=end)


@pytest.fixture
def brought_in(pushed_source: Source, written: Callable[..., Item]) -> Source:
    """A month of history, brought in at noon: one report every second hour, and ten within one of them, three days ago."""
    moments = [NOON - at * 2 * HOUR for at in range(1, 360)]
    moments += [NOON - 72 * HOUR + timedelta(minutes=at) for at in range(10)]
    items = [
        written(number, f"A breach at bank {number} of town {number}", published_at=at)
        for number, at in enumerate(moments)
    ]
    services.ingest(pushed_source, items, now=NOON, is_history=True)
    return pushed_source


def test_words_stories_and_silence_are_replayed_by_the_time_of_publication(
    brought_in: Source, ruled: Ruled, written: Callable[..., Item]
) -> None:
    Source.objects.update(weight=3)
    words = ruled("keyword", since=NOON, options={"words": ["breach"]})
    story = ruled("new_story", since=NOON, options={"least_weight": 3})
    silence = ruled("no_data", since=NOON, options={"minutes": 119})
    at = NOON - 50 * HOUR + timedelta(minutes=7)
    later = [written(1_000, "The port of Ostia is closed", published_at=at + HOUR)]
    later += [written(1_001, "The port of Ostia is closed", published_at=at)]
    services.ingest(brought_in, later, now=NOON, is_history=True)

    span = (NOON - 75 * HOUR, NOON - 69 * HOUR)
    assert [len(each.articles) for each in replayed(words, *span, clock="published")] == [1, 11, 1]
    hour = (NOON - 50 * HOUR, NOON - 48 * HOUR)
    first = [each for each in replayed(story, *hour, clock="published") if each.fired_at == at]
    assert len(first) == 1  # as it was told first, not as it came in
    assert all(each.fired_at != at + HOUR for each in replayed(story, *hour, clock="published"))
    assert len(replayed(silence, *span, clock="published")) == 2  # after noon the next report comes sooner
    for rule in (words, story, silence):
        assert all(not each.articles for each in replayed(rule, *span))

"""Rules over a past span: what a back-test says is what a live rule would have said, and it is always the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.sentiment import services
from apps.sentiment.collecting.items import Item
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


@pytest.mark.parametrize(
    ("kind", "columns", "fired"),
    [
        ("static", {"options": {"threshold": 8, "least_count": 0}}, [NOON - 71 * HOUR]),
        ("surge", {"options": {"alpha": 0.001}}, [NOON - 71 * HOUR]),
        ("score", {}, [NOON - 71 * HOUR]),
    ],
)
def test_history_that_was_brought_in_is_replayed_by_its_time_of_publication(
    brought_in: Source, ruled: Ruled, kind: str, columns: dict[str, object], fired: list[datetime]
) -> None:
    rule = ruled(kind, since=NOON, **columns)

    assert replayed(rule, NOON - 168 * HOUR, NOON) == []
    found = replayed(rule, NOON - 168 * HOUR, NOON, clock="published")

    assert [each.fired_at for each in found] == fired
    assert found[0].verdict["observed"] == 11


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


def test_a_replay_keeps_its_clock_on_pages_and_in_the_api(
    brought_in: Source, ruled: Ruled, actor: Actor, client: Client, api: Callable[..., APIClient]
) -> None:
    monitor = brought_in.monitor
    now = timezone.now()
    services.ingest(  # two days ago, in the page's own time
        brought_in,
        [
            Item(f"b-{at}", "", f"A breach at shop {at} of town {at}", "", published_at=now - timedelta(days=2))
            for at in range(9)
        ],
        is_history=True,
    )
    ruled("static", since=NOON, options={"threshold": 8, "least_count": 0})
    caller, span = api(actor), {"begin_at": now - timedelta(days=5), "end_at": now}

    assert (
        caller.post(f"/api/v1/monitors/{monitor.pk}/replays", {**span, "clock": "x"}, format="json").status_code == 422
    )
    made = caller.post(f"/api/v1/monitors/{monitor.pk}/replays", {**span, "clock": "published"}, format="json")
    assert (made.status_code, made.json()["clock"]) == (202, "published")
    rule = {"kind": "static", "measure": "article_count", "options": {"threshold": 8, "least_count": 0}, **span}
    for clock in ("published", "received"):
        body = {**rule, "clock": clock}
        assert caller.post(f"/api/v1/monitors/{monitor.pk}/rules/back-test", body, format="json").status_code == 202
    while run_next("io"):
        pass
    found = {(each.is_draft, each.clock): each.result["alert_count"] for each in Replay.objects.all()}
    assert found == {(False, "published"): 1, (True, "published"): 1, (True, "received"): 0}

    client.force_login(actor.user)
    place = f"/w/{actor.workspace.slug}/monitors"
    assert "back-test-clock" in client.get(f"{place}/{monitor.pk}/rules/new/static").content.decode()
    shown = client.get(f"{place}/{monitor.pk}/replays").content.decode()
    assert shown.count("by time of publication") == 2
    played = client.get(f"{place}/replays/{made.json()['id']}/play")
    assert len(played.context["articles"]) == 3
    assert len(played.context["alerts"]) == 1

"""Rules over a past span: what a back-test says is what a live rule would have said, and it is always the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

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

"""Rules that look at each article, and rules that watch for silence."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Alert, Article, Monitor, Rule, RuleHit, Source
from apps.sentiment.services.scoring import Said
from core.access import Actor
from core.errors import Refused
from workers.watching import watch_arrivals, watch_rule

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
Ruled = Callable[..., Rule]
Written = Callable[..., Item]


def push(source: Source, item: Item, at: datetime, *, is_history: bool = False) -> Article:
    """The article of an item that arrives at a moment."""
    (taken,) = services.ingest(source, [item], now=at, is_history=is_history)
    assert taken.article is not None
    return taken.article


def test_a_word_raises_an_alert_that_later_articles_join(ruled: Ruled, pushed_source: Source, written: Written) -> None:
    rule = ruled("keyword", since=NOON, options={"words": ["立案调查", "data breach"]})
    push(pushed_source, written(1, "A quiet day in town"), NOON + MINUTE)
    first = push(pushed_source, written(2, "Data breach at the harbour bank"), NOON + MINUTE)
    watch_rule(rule.pk, NOON + 2 * MINUTE)
    second = push(pushed_source, written(3, "港口公司被立案调查"), NOON + 3 * MINUTE)
    watch_rule(rule.pk, NOON + 4 * MINUTE)
    watch_rule(rule.pk, NOON + 5 * MINUTE)

    alert = Alert.objects.get()

    assert alert.state == "firing"
    assert set(alert.hits.values_list("article", flat=True)) == {first.pk, second.pk}
    assert [each["id"] for each in alert.explanation["samples"]] == [first.pk]


def test_what_arrives_wakes_the_rules_of_its_monitor_that_look_at_it_and_no_others(
    ruled: Ruled, pushed_source: Source, written: Written, actor: Actor
) -> None:
    words = ruled("keyword", since=NOON, options={"words": ["breach"]})
    surge = ruled("surge", since=NOON, measure="article_count")
    elsewhere = services.create_monitor(actor=actor, name="Elsewhere", time_zone="UTC")
    push(pushed_source, written(1, "A breach"), NOON + MINUTE)

    watch_arrivals(elsewhere.pk, NOON + 2 * MINUTE)
    assert not Alert.objects.exists()
    watch_arrivals(pushed_source.monitor_id, NOON + 2 * MINUTE)

    assert Alert.objects.get().rule == words
    before = surge.evaluated_at
    surge.refresh_from_db()
    assert surge.evaluated_at == before


def test_an_alert_of_words_is_over_an_hour_after_the_last(
    ruled: Ruled, pushed_source: Source, written: Written
) -> None:
    rule = ruled("keyword", since=NOON, options={"words": ["breach"]})
    push(pushed_source, written(1, "A breach"), NOON + MINUTE)

    seen = []
    for minutes in (2, 61, 63):
        watch_rule(rule.pk, NOON + minutes * MINUTE)
        seen.append(Alert.objects.get().state)

    assert seen == ["firing", "firing", "resolved"]


def test_words_may_forbid_and_sources_may_be_too_light(
    ruled: Ruled, pushed_source: Source, brand_monitor: Monitor, actor: Actor, written: Written
) -> None:
    heavy = services.add_source(actor=actor, monitor=brand_monitor, kind="push", name="Agency", weight=3)
    rule = ruled("keyword", since=NOON, options={"words": ["breach"], "without": ["exercise"], "least_weight": 3})
    push(pushed_source, written(1, "Breach one at the bank"), NOON + MINUTE)
    push(heavy, written(2, "Breach two was an exercise"), NOON + MINUTE)
    wanted = push(heavy, written(3, "Breach three at the harbour"), NOON + MINUTE)

    watch_rule(rule.pk, NOON + 2 * MINUTE)

    assert RuleHit.objects.get().article_id == wanted.pk


def test_what_was_brought_in_later_pages_nobody(ruled: Ruled, pushed_source: Source, written: Written) -> None:
    rule = ruled("keyword", since=NOON, options={"words": ["breach"]})
    push(pushed_source, written(1, "A breach of long ago"), NOON + MINUTE, is_history=True)

    watch_rule(rule.pk, NOON + 2 * MINUTE)

    assert not Alert.objects.exists()


def test_a_meaning_is_waited_for_and_scoring_again_pages_nobody(
    ruled: Ruled, pushed_source: Source, written: Written, named_version: Callable[..., ModelVersion]
) -> None:
    labels = {"task": "classification", "recipe": "classify", "labels": ["negative", "neutral", "positive"]}
    version, later = (named_version(name="tone", **labels) for _ in range(2))
    rule = ruled("keyword", since=NOON, options={"words": ["bank"], "sentiment": "negative"})
    article = push(pushed_source, written(1, "The bank is in trouble"), NOON + MINUTE)
    watch_rule(rule.pk, NOON + 2 * MINUTE)
    assert not Alert.objects.exists()

    services.record_scores(version, [Said(article, {"negative": 0.9, "neutral": 0.1, "positive": 0.0})])
    watch_rule(rule.pk, NOON + 3 * MINUTE)
    assert Alert.objects.get().state == "firing"

    services.record_scores(later, [Said(article, {"negative": 0.8, "neutral": 0.2, "positive": 0.0})])
    watch_rule(rule.pk, NOON + timedelta(hours=30))
    assert Alert.objects.get().hits.count() == 1


def test_words_are_explained_by_all_articles_that_hold_them_however_they_are_meant(
    ruled: Ruled, pushed_source: Source, written: Written, named_version: Callable[..., ModelVersion]
) -> None:
    labels = {"task": "classification", "recipe": "classify", "labels": ["negative", "neutral", "positive"]}
    version = named_version(name="tone", **labels)
    rule = ruled("keyword", since=NOON, measure="negative_count", options={"words": ["breach"]})
    good, bad = (push(pushed_source, written(at, f"A breach at bank {at}"), NOON + MINUTE) for at in (1, 2))
    services.record_scores(
        version,
        [
            Said(good, {"negative": 0.0, "neutral": 0.0, "positive": 1.0}),
            Said(bad, {"negative": 1.0, "neutral": 0.0, "positive": 0.0}),
        ],
    )

    watch_rule(rule.pk, NOON + 2 * MINUTE)

    found = Alert.objects.get().explanation
    assert {each["id"] for each in found["samples"]} == {good.pk, bad.pk}
    assert sum(each["count"] for each in found["sources"]) == found["article_count"] == 2


def test_a_first_rate_source_tells_a_story_for_the_first_time_once(
    ruled: Ruled, pushed_source: Source, brand_monitor: Monitor, actor: Actor, written: Written
) -> None:
    agency, paper = (
        services.add_source(actor=actor, monitor=brand_monitor, kind="push", name=name, weight=3)
        for name in ("Agency", "Paper")
    )
    rule = ruled("new_story", since=NOON)
    body = "The harbour company has stopped all cranes after an accident in which two workers were hurt, it said on Friday."
    push(pushed_source, written(1, "Cranes stop", body=body), NOON + MINUTE)
    watch_rule(rule.pk, NOON + 2 * MINUTE)
    assert not Alert.objects.exists()

    push(agency, written(2, "Cranes stop", body=body), NOON + 3 * MINUTE)
    push(paper, written(3, "Cranes stop", body=body), NOON + 4 * MINUTE)
    watch_rule(rule.pk, NOON + 5 * MINUTE)
    watch_rule(rule.pk, NOON + 6 * MINUTE)

    assert Alert.objects.count() == 1
    alert = Alert.objects.get()
    assert [each["source"] for each in alert.explanation["samples"]] == ["Agency"]
    assert (alert.series, str(alert)) == ("Cranes stop", f"{rule.name}: Cranes stop")


def test_silence_of_a_source_is_told_and_ends_with_its_next_article(
    ruled: Ruled, pushed_source: Source, written: Written
) -> None:
    push(pushed_source, written(1), NOON)
    rule = ruled("no_data", since=NOON, dimension="source", options={"minutes": 60})

    watch_rule(rule.pk, NOON + 59 * MINUTE)
    assert not Alert.objects.exists()
    watch_rule(rule.pk, NOON + 61 * MINUTE)
    assert (Alert.objects.get().state, Alert.objects.get().series) == ("firing", "Crawler")
    push(pushed_source, written(2), NOON + 70 * MINUTE)
    watch_rule(rule.pk, NOON + 71 * MINUTE)

    assert Alert.objects.get().state == "resolved"


@pytest.mark.parametrize(
    ("kind", "columns", "field"),
    [
        ("keyword", {"options": {"words": []}}, "options.words"),
        ("keyword", {"options": {"words": ["x"], "least_weight": 4}}, "options.least_weight"),
        ("keyword", {"options": {"words": "x"}}, "options.words"),
        ("no_data", {"options": {"minutes": 0}}, "options.minutes"),
        ("no_data", {"dimension": "topic"}, "dimension"),
        ("surge", {"options": {"alpha": 2}}, "options.alpha"),
        ("surge", {"options": {"alhpa": 0.1}}, "options.alhpa"),
        ("surge", {"key": "7", "dimension": "source"}, "key"),
        ("surge", {"seconds": 7}, "seconds"),
        ("surge", {"measure": "clicks"}, "measure"),
        ("surge", {"mute_times": [{"days": [9], "begin": "08:00", "end": "09:00"}]}, "mute_times"),
        ("surge", {"hold_minutes": -1}, "hold_minutes"),
        ("weather", {}, "kind"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_field(
    brand_monitor: Monitor, actor: Actor, kind: str, columns: dict[str, object], field: str
) -> None:
    with pytest.raises(Refused) as caught:
        services.create_rule(actor=actor, monitor=brand_monitor, kind=kind, name="Wrong", **columns)

    assert field in {each.field for each in caught.value.problems}

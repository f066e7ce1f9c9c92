"""Articles that come in: each once, in its story, and counted in all its places."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections

from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, Bucket, Monitor, Source, Story
from apps.sentiment.selectors import series_of
from core.access import Actor
from core.search import found_by

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
SAME = "A fire destroyed the old warehouse at the harbour on Monday night, and nobody was hurt, the police said."
Written = Callable[..., Item]


def counts(monitor: Monitor, **where: Any) -> dict[tuple[str, int, str, str], int]:
    rows = Bucket.objects.filter(monitor=monitor, **where)
    return {(row.clock, row.seconds, row.dimension, row.key): row.article_count for row in rows}


def test_an_item_is_taken_once_however_often_it_is_sent(pushed_source: Source, written: Written) -> None:
    first = services.ingest(pushed_source, [written(1), written(1), written(2)], now=AT)
    again = services.ingest(pushed_source, [written(2), written(3)], now=AT)

    assert [each.state for each in first] == ["created", "seen", "created"]
    assert [each.state for each in again] == ["seen", "created"]
    assert Article.objects.count() == 3
    total = Bucket.objects.get(clock="published", seconds=300, dimension="total", model_version=None)
    assert (total.article_count, total.start_at) == (3, datetime(2026, 3, 2, 8, 0, tzinfo=UTC))


def test_articles_are_counted_by_both_clocks_in_all_sizes_and_dimensions(
    pushed_source: Source, written: Written
) -> None:
    services.ingest(pushed_source, [written(1)], now=AT + timedelta(hours=5))

    found = counts(pushed_source.monitor)
    source, language = ("source", str(pushed_source.pk)), ("language", Article.objects.get().language)
    assert found == {
        (clock, seconds, *place): 1
        for clock in ("published", "received")
        for seconds in (300, 3_600, 86_400)
        for place in (("total", ""), source, language)
    }
    starts = {row.clock: row.start_at for row in Bucket.objects.filter(seconds=3_600, dimension="total")}
    assert starts["received"] - starts["published"] == timedelta(hours=5)


def test_history_is_shown_but_alarms_nobody(pushed_source: Source, written: Written) -> None:
    services.ingest(pushed_source, [written(1)], now=AT, is_history=True)

    assert {clock for clock, *_rest in counts(pushed_source.monitor)} == {"published"}


def test_who_tells_the_same_is_another_mention_of_one_story(pushed_source: Source, written: Written) -> None:
    one, two = written(1, "Fire at the harbour", body=SAME), written(2, "Fire at the harbour", body=SAME)
    other = written(3, "Rates stay where they are", body="The central bank left its rate unchanged for a third time.")
    services.ingest(pushed_source, [one, other], now=AT)
    services.ingest(pushed_source, [two], now=AT)

    stories = {story.title: story.article_count for story in Story.objects.all()}
    assert stories == {"Fire at the harbour": 2, "Rates stay where they are": 1}
    total = Bucket.objects.get(clock="published", seconds=3_600, dimension="total")
    assert (total.article_count, total.story_count) == (3, 2)


def test_a_time_that_is_unknown_is_that_of_arrival_and_says_so(pushed_source: Source, written: Written) -> None:
    services.ingest(pushed_source, [written(1, published_at=None, confidence="none")], now=AT)

    article = Article.objects.get()
    assert (article.published_at, article.confidence) == (AT, "none")


@pytest.mark.parametrize(("query", "is_found"), [("茅台", True), ("股价", True), ("五粮液", False), ("jump", True)])
def test_articles_are_found_by_words_in_chinese_too(
    pushed_source: Source, written: Written, query: str, is_found: bool
) -> None:
    services.ingest(pushed_source, [written(1, "贵州茅台股价大涨 shares jump")], now=AT)

    assert found_by(Article.objects.all(), query, "search").exists() == is_found


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_items_store_each_once(actor: Actor, written: Written) -> None:
    monitor = services.create_monitor(actor=actor, name="Twice")
    source = services.add_source(actor=actor, monitor=monitor, kind="push", name="Crawler")
    items = [written(number) for number in range(30)]

    def work(_at: int) -> int:
        try:
            return sum(each.state == "created" for each in services.ingest(source, items, now=AT))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as workers:
        made = list(workers.map(work, range(4)))

    assert sum(made) == Article.objects.count() == 30
    assert Bucket.objects.get(clock="received", seconds=86_400, dimension="total").article_count == 30


def test_a_bucket_that_is_missing_is_not_zero(pushed_source: Source, written: Written) -> None:
    items = [written(1), written(2, published_at=AT + timedelta(hours=3))]
    services.ingest(pushed_source, items, now=AT)

    found = series_of(
        pushed_source.monitor, start_at=AT - timedelta(days=1), end_at=AT + timedelta(days=1), seconds=3_600
    )

    assert [point["start_at"].hour for point in found.points] == [8, 11]
    assert found.totals["article_count"] == 2


def test_texts_are_let_go_after_the_days_a_monitor_keeps_them(pushed_source: Source, written: Written) -> None:
    items = [written(1, "Fire at the harbour", body=SAME), written(2, "Rates stay", body="Nothing changed.")]
    services.ingest(pushed_source, items[:1], now=AT)
    services.ingest(pushed_source, items[1:], now=AT + timedelta(days=20))
    Monitor.objects.update(body_days=30)

    assert services.forget_bodies(now=AT + timedelta(days=31)) == 1
    assert services.forget_bodies(now=AT + timedelta(days=31)) == 0

    assert list(Article.objects.order_by("id").values_list("body", flat=True)) == ["", "Nothing changed."]
    assert not found_by(Article.objects.all(), "warehouse", "search").exists()
    assert found_by(Article.objects.all(), "harbour", "search").count() == 1


def test_bands_go_when_their_story_is_told(pushed_source: Source, written: Written) -> None:
    services.ingest(pushed_source, [written(1, "Fire at the harbour", body=SAME)], now=AT)

    assert services.forget_bands(now=AT + timedelta(days=13)) == 0
    assert services.forget_bands(now=AT + timedelta(days=15)) > 0
    assert services.forget_bands(now=AT + timedelta(days=15)) == 0

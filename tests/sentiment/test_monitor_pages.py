"""Pages and API of monitors: what is made, shown, pushed and refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import AuditEntry
from apps.registry.models import ModelVersion
from apps.sentiment import selectors, services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, Fetch, Host, Monitor, Score, Source
from apps.sentiment.selectors import healths_of, sources_of
from core.access import Actor

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
Written = Callable[..., Item]


@pytest.fixture
def place(client: Client, actor: Actor) -> str:
    """Alice is logged in; the address of her monitors."""
    client.force_login(actor.user)
    return f"/w/{actor.workspace.slug}/monitors/"


def test_a_monitor_is_made_and_its_first_source_comes_next(client: Client, place: str) -> None:
    assert "No monitor yet" in client.get(place).content.decode()
    columns = {"name": "Brand", "time_zone": "Asia/Shanghai", "negative_label": "negative", "abstain_below": "0.5"}
    columns |= {"topic_threshold": "0.5", "link_threshold": "0.5"}

    made = client.post(f"{place}new", {**columns, "positive_label": "positive", "body_days": "30"})

    monitor = Monitor.objects.get()
    assert made.headers["Location"] == f"{place}{monitor.pk}/sources/new"
    assert (monitor.time_zone, monitor.body_days) == ("Asia/Shanghai", 30)
    assert AuditEntry.objects.filter(action="monitor.create").exists()
    again = client.post(f"{place}new", {**columns, "name": "brand", "positive_label": "positive", "body_days": "30"})
    assert again.status_code == 422
    assert "There is a monitor of this name already." in again.content.decode()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"kind": "feed", "url": "ftp://news.example.com/rss"}, "http:// or https://"),
        ({"kind": "push", "url": "https://news.example.com/rss"}, "it has no address"),
        ({"kind": "feed", "url": "https://news.example.com/rss", "weight": "9"}, "3"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused_with_a_sentence(
    client: Client, place: str, brand_monitor: Monitor, columns: dict[str, str], said: str
) -> None:
    given = {"name": "Daily", "weight": "1", "interval_minutes": "10", "is_enabled": "on", **columns}

    answer = client.post(f"{place}{brand_monitor.pk}/sources/new", given)

    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not Source.objects.exists()


def test_the_overview_shows_articles_stories_meanings_and_sources(
    client: Client, place: str, pushed_source: Source, written: Written, named_version: Callable[..., ModelVersion]
) -> None:
    now = timezone.now()
    version = named_version(name="tone", task="classification", recipe="classify", labels=["negative", "positive"])
    services.ingest(pushed_source, [written(1, "Shares fall", published_at=now)], now=now)
    article = Article.objects.get()
    services.record_scores(version, [services_said(article, {"negative": 0.9, "positive": 0.1})])

    page = client.get(f"{place}{pushed_source.monitor_id}").content.decode()

    for words in ("Shares fall", "Negative", "Crawler", "of 1 that were scored"):
        assert words in page
    page = client.get(f"{place}articles/{article.pk}").content.decode()
    assert "90.0" in page
    assert "tone" in page


def services_said(article: Article, probabilities: dict[str, float]) -> Any:
    from apps.sentiment.services.scoring import Said

    return Said(article, probabilities)


def test_articles_are_filtered_by_words_meaning_and_day(
    client: Client, place: str, pushed_source: Source, written: Written
) -> None:
    items = [written(1, "贵州茅台股价下跌"), written(2, "Harbour opens", published_at=AT + timedelta(days=3))]
    services.ingest(pushed_source, items, now=AT)
    url = f"{place}{pushed_source.monitor_id}/articles"

    def titles(query: str) -> list[bool]:
        page = client.get(f"{url}?{query}").content.decode()
        return ["茅台股价" in page, "Harbour opens" in page]

    assert titles("") == [True, True]
    assert titles("q=茅台") == [True, False]
    assert titles("since=2026-03-04") == [False, True]
    assert titles("sentiment=unread") == [True, True]
    assert titles("sentiment=negative") == [False, False]


def test_another_version_is_told_to_read_what_comes_from_now_on(
    client: Client, place: str, brand_monitor: Monitor, named_version: Callable[..., ModelVersion]
) -> None:
    named_version(name="tone", task="classification", recipe="classify", labels=["negative", "positive"])
    address = f"{place}{brand_monitor.pk}/edit"
    given = {
        "name": "Brand", "time_zone": "UTC", "sentiment_model": "tone:1", "negative_label": "negative", "positive_label": "positive",
        "abstain_below": "0.5", "topic_threshold": "0.5", "link_threshold": "0.5", "body_days": "365",
    }  # fmt: skip

    first = client.post(address, given, follow=True).content.decode()
    second = client.post(address, {**given, "description": "Ours"}, follow=True).content.decode()

    assert "let all be scored again" in first
    assert "let all be scored again" not in second
    assert "Let all articles of this monitor be read again?" in client.get(address).content.decode()


def test_another_version_that_has_read_little_hides_nothing_of_what_was_read_before(
    pushed_source: Source, written: Written, named_version: Callable[..., ModelVersion]
) -> None:
    labelled = {"name": "tone", "task": "classification", "recipe": "classify", "labels": ["negative", "positive"]}
    first, second = named_version(**labelled), named_version(**labelled)
    items = [written(number, published_at=AT - timedelta(hours=number // 2)) for number in range(4)]
    services.ingest(pushed_source, items, now=AT)
    articles = list(Article.objects.order_by("-published_at", "id"))
    bad, good = {"negative": 0.9, "positive": 0.1}, {"negative": 0.1, "positive": 0.9}
    services.record_scores(first, [services_said(each, bad) for each in articles])

    def counted() -> list[int]:
        span = {"start_at": AT - timedelta(days=1), "end_at": AT + timedelta(hours=1)}
        totals = selectors.series_of(pushed_source.monitor, seconds=3_600, **span).totals
        return [totals[name] for name in ("scored_count", "negative_count", "positive_count")]

    assert counted() == [4, 4, 0]
    services.record_scores(second, [services_said(articles[0], good)])
    assert counted() == [4, 4, 0]  # of its hour the first has read more
    services.record_scores(second, [services_said(articles[1], good)])
    assert counted() == [4, 2, 2]


def test_a_story_leads_to_its_articles_and_a_language_finds_all_its_scripts(
    client: Client, place: str, pushed_source: Source, written: Written
) -> None:
    items = [
        written(1, "北门银行发布公告称业绩下滑"),
        written(2, "北門銀行發佈公告稱業績下滑，體現經濟壓力"),
        written(3, "Harbour opens"),
    ]
    services.ingest(pushed_source, items, now=AT)
    monitor = f"{place}{pushed_source.monitor_id}"
    story = Article.objects.get(title="Harbour opens").story_id

    def shown(query: str) -> list[bool]:
        page = client.get(f"{monitor}/articles?{query}").content.decode()
        return [words in page for words in ("北门银行", "北門銀行", "Harbour opens")]

    assert f"/articles?story={story}" in client.get(monitor).content.decode()
    assert shown(f"story={story}") == [False, False, True]
    assert shown("story=²") == shown("story=99999999999999999999") == [False, False, False]
    assert shown("language=zh") == shown("language=ZH") == [True, True, False]
    assert shown("language=zh-hant") == [False, True, False]
    assert shown("language=e") == [False, False, False]


def test_a_source_page_tells_what_came_lately_and_that_it_waits_for_its_host(
    client: Client, place: str, pushed_source: Source, brand_monitor: Monitor, written: Written
) -> None:
    now = timezone.now()
    recent = [written(number, published_at=now - timedelta(minutes=number)) for number in (1, 2)]
    services.ingest(pushed_source, [*recent, written(3)], now=now)
    feed = Source.objects.create(
        monitor=brand_monitor, kind="feed", name="Daily", url="https://x.example.com/a", next_fetch_at=now
    )
    asked = client.get(f"{place}sources/{feed.pk}").content.decode()
    Host.objects.create(name="x.example.com:443", next_at=now + timedelta(hours=1))

    page = client.get(f"{place}sources/{pushed_source.pk}").content.decode()
    waiting = client.get(f"{place}sources/{feed.pk}").content.decode()

    assert "published in 7 days" in page and '<div class="lx-stat-value">2</div>' in page
    assert "must not be asked before" not in page
    assert "begins within seconds" in asked
    assert "begins within seconds" not in waiting and "must not be asked before" in waiting
    Source.objects.update(next_fetch_at=now + timedelta(hours=2))
    assert "must not be asked before" not in client.get(f"{place}sources/{feed.pk}").content.decode()


def test_what_a_feed_leaves_out_at_every_reading_is_told_and_counted_once(
    client: Client, place: str, brand_monitor: Monitor
) -> None:
    source = Source.objects.create(monitor=brand_monitor, kind="feed", name="Daily", url="https://x.example.com")
    problems = [{"code": "empty_item", "message": "Nothing in it.", "item": "a"}]
    for _reading in range(3):
        Fetch.objects.create(source=source, status=200, dropped_count=1, problems=problems)
    Fetch.objects.create(source=source, status=304)

    page = client.get(f"{place}sources/{source.pk}").content.decode()

    assert page.count("Nothing in it.") == 1
    assert page.count("Left out as at the reading before.") == 2
    assert selectors.figures_of(source).dropped_count == 1


def test_what_a_push_left_out_stands_on_the_page_of_its_source(
    client: Client, place: str, api: Callable[..., APIClient], actor: Actor, pushed_source: Source
) -> None:
    address = f"/api/v1/sources/{pushed_source.pk}/articles"
    good = {"external_id": "a", "title": "Shares fall"}

    whole = api(actor).post(address, {"items": [good]}, format="json")
    mixed = api(actor).post(address, {"items": [good, "words", ["list"], None, {"external_id": "b"}]}, format="json")

    assert (whole.status_code, mixed.status_code) == (207, 207)
    assert [row["state"] for row in mixed.json()["results"]] == ["seen", *["refused"] * 4]
    reading = Fetch.objects.get()
    assert (reading.item_count, reading.seen_count, reading.dropped_count) == (5, 1, 4)
    page = client.get(f"{place}sources/{pushed_source.pk}").content.decode()
    assert "Pushes of which something was left out" in page and "Send a title, a body or both." in page


def test_a_pushed_time_without_a_zone_is_one_of_the_source(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source
) -> None:
    items = [
        {"external_id": "a", "title": "Here", "published_at": "2026-03-02T08:00:00"},
        {"external_id": "b", "title": "There", "published_at": "2026-03-02T08:00:00Z"},
    ]

    api(actor).post(f"/api/v1/sources/{pushed_source.pk}/articles", {"items": items}, format="json")

    told = Article.objects.order_by("id").values_list("published_at", "confidence")
    assert list(told) == [
        (datetime(2026, 3, 2, 0, 0, tzinfo=UTC), "zone_assumed"),  # Shanghai, as the monitor
        (datetime(2026, 3, 2, 8, 0, tzinfo=UTC), "stated"),
    ]


def test_a_source_page_shows_its_readings_with_what_was_dropped_and_why(
    client: Client, place: str, brand_monitor: Monitor
) -> None:
    source = Source.objects.create(
        monitor=brand_monitor,
        kind="feed",
        name="Daily",
        url="https://x.example.com",
        failure_count=2,
        last_error="It is down.",
    )
    Fetch.objects.create(
        source=source,
        status=200,
        new_count=3,
        dropped_count=1,
        problems=[{"code": "x", "message": "No date.", "item": "a"}],
    )

    page = client.get(f"{place}sources/{source.pk}").content.decode()

    for words in ("It is down.", "Fails", "No date."):
        assert words in page


def test_programs_push_articles_and_each_has_its_own_result(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source
) -> None:
    good = {"external_id": "a", "title": "Shares fall", "published_at": "2026-03-02T08:00:00+08:00"}
    ahead = {"external_id": "d", "title": "x", "published_at": (timezone.now() + timedelta(days=1)).isoformat()}
    items = [good, {"external_id": "b"}, {"title": "no id"}, good, ahead]

    answer = api(actor).post(f"/api/v1/sources/{pushed_source.pk}/articles", {"items": items}, format="json")

    assert answer.status_code == 207
    found = answer.json()
    assert [row["state"] for row in found["results"]] == ["created", "refused", "refused", "seen", "refused"]
    assert (found["created_count"], found["seen_count"], found["refused_count"]) == (1, 1, 3)
    assert found["results"][4]["problems"][0]["code"] == "in_the_future"
    article = Article.objects.get()
    assert found["results"][0]["article"] == article.pk
    assert article.published_at == datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


def test_more_than_a_thousand_articles_are_refused_whole(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source
) -> None:
    items = [{"external_id": str(at), "title": "x"} for at in range(1_001)]

    answer = api(actor).post(f"/api/v1/sources/{pushed_source.pk}/articles", {"items": items}, format="json")

    assert answer.status_code == 422
    assert not Article.objects.exists()


def test_series_and_articles_come_by_the_api(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source, written: Written
) -> None:
    services.ingest(pushed_source, [written(1), written(2, "下跌")], now=AT)
    caller, path = api(actor), f"/api/v1/monitors/{pushed_source.monitor_id}"

    series = caller.get(f"{path}/series?start_at=2026-03-01T00:00:00Z&end_at=2026-03-03T00:00:00Z&seconds=3600").json()
    articles = caller.get(f"{path}/articles?q=下跌").json()

    assert series["totals"]["article_count"] == 2
    assert [point["start_at"] for point in series["points"]] == ["2026-03-02T08:00:00Z"]
    assert [row["title"] for row in articles["results"]] == ["下跌"]
    assert "body" not in articles["results"][0]
    refused = caller.get(f"{path}/series?start_at=2020-01-01T00:00:00Z&seconds=300")
    assert refused.json()["code"] == "too_many_buckets"


def test_a_deleted_source_takes_its_articles_and_scores(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source, written: Written
) -> None:
    services.ingest(pushed_source, [written(1)], now=AT)

    assert api(actor).delete(f"/api/v1/sources/{pushed_source.pk}").status_code == 204
    assert not Article.objects.exists()
    assert not Score.objects.exists()


def test_a_source_that_is_switched_off_takes_nothing(
    api: Callable[..., APIClient], actor: Actor, pushed_source: Source
) -> None:
    Source.objects.update(is_enabled=False)

    items = [{"external_id": "a", "title": "x"}]
    answer = api(actor).post(f"/api/v1/sources/{pushed_source.pk}/articles", {"items": items}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "not_read")


def test_how_many_sources_are_is_one_query_with_the_lag_of_each(
    brand_monitor: Monitor, actor: Actor, written: Written, django_assert_num_queries: Any
) -> None:
    sources = [services.add_source(actor=actor, monitor=brand_monitor, kind="push", name=f"S{at}") for at in range(3)]
    for at, source in enumerate(sources[:2]):
        services.ingest(source, [written(1, published_at=AT)], now=AT + timedelta(minutes=at + 1))
    rows = list(sources_of(brand_monitor))

    with django_assert_num_queries(1):
        found = healths_of(rows)

    said = [(found[source.pk].state, found[source.pk].lag_seconds) for source in sources]
    assert said == [("well", 60.0), ("well", 120.0), ("new", None)]

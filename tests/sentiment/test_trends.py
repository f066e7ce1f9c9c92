"""Trends: series beside one another, gaps, versions, the period before, days of a zone and of a market, and their points' articles."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.markets import trading
from apps.sentiment.models import Bucket, Clock, Dimension, Expectation, Monitor, Source, Topic
from apps.sentiment.selectors_trends import releases, trend_of
from apps.sentiment.trends import Asked
from core.access import Actor
from core.errors import Refused
from workers.expecting import expect

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bucket(monitor: Monitor, at: datetime, *, version: ModelVersion | None = None, **columns: Any) -> Bucket:
    given = {"clock": Clock.PUBLISHED, "seconds": 3600, "dimension": Dimension.TOTAL, "key": "", **columns}
    return Bucket.objects.create(monitor=monitor, start_at=at, model_version=version, **given)


def asked(hours: int = 6, **columns: Any) -> Asked:
    return Asked(NOON - hours * HOUR, NOON, **columns)


def test_a_bucket_in_which_nobody_looked_is_a_gap_and_one_without_articles_zero(brand_monitor: Monitor) -> None:
    bucket(brand_monitor, NOON - 6 * HOUR, article_count=3)
    bucket(brand_monitor, NOON - 4 * HOUR, clock=Clock.RECEIVED)

    (line,) = trend_of(brand_monitor, asked()).series

    assert trend_of(brand_monitor, asked()).values(line) == [3, None, 0, None, None, None]
    assert line.totals.article_count == 3


def test_where_there_were_articles_another_topic_has_none_and_another_source_may_not_have_been_read(
    brand_monitor: Monitor, actor: Actor, recall_topic: Topic
) -> None:
    source = services.add_source(actor=actor, monitor=brand_monitor, kind="push", name="A")
    for at in (1, 2):
        bucket(brand_monitor, NOON - at * HOUR, article_count=3)
    for dimension, pk in ((Dimension.TOPIC, recall_topic.pk), (Dimension.SOURCE, source.pk)):
        bucket(brand_monitor, NOON - HOUR, dimension=dimension, key=str(pk), article_count=2)

    def values(dimension: str) -> list[float | None]:
        found = trend_of(brand_monitor, asked(3, dimension=dimension))
        return found.values(found.series[0])

    assert values(Dimension.TOPIC) == [None, 0, 2]
    assert values(Dimension.SOURCE) == [None, None, 2]


def test_of_several_versions_the_one_that_read_most_of_a_bucket_counts(
    brand_monitor: Monitor, named_version: Callable[..., ModelVersion]
) -> None:
    old, new = (named_version(name=name, task="classification") for name in ("old", "new"))
    bucket(brand_monitor, NOON - HOUR, article_count=9)
    bucket(brand_monitor, NOON - HOUR, version=old, article_count=8, negative_count=4, positive_count=2)
    bucket(brand_monitor, NOON - HOUR, version=new, article_count=1, negative_count=1)
    bucket(brand_monitor, NOON - 2 * HOUR, article_count=5)

    def values(measure: str) -> list[float | None]:
        found = trend_of(brand_monitor, asked(2, measure=measure))
        return found.values(found.series[0])

    assert values("negative_count") == [None, 4]  # nobody has read the first
    assert values("negative_share") == [None, 0.5]
    assert values("net_sentiment") == [None, -0.25]


def test_the_largest_series_come_first_with_their_shares_and_the_period_before(
    brand_monitor: Monitor, actor: Actor
) -> None:
    sources = [services.add_source(actor=actor, monitor=brand_monitor, kind="push", name=name) for name in "AB"]
    for source, now, before in zip(sources, (1, 3), (0, 2), strict=True):
        where = {"dimension": Dimension.SOURCE, "key": str(source.pk)}
        bucket(brand_monitor, NOON - HOUR, article_count=now, **where)
        bucket(brand_monitor, NOON - 7 * HOUR, article_count=before, **where)
        bucket(brand_monitor, NOON - 13 * HOUR, article_count=50, **where)

    found = trend_of(brand_monitor, asked(dimension=Dimension.SOURCE, compares=True, is_voice=True))

    assert [each.name for each in found.series] == ["B", "A"]
    assert [each.voice for each in found.series] == [0.75, 0.25]
    assert [each.before and each.before.article_count for each in found.series] == [2, 0]
    assert [each.change("article_count") for each in found.series] == [0.5, None]
    assert [found.values(each)[-1] for each in found.series] == [0.75, 0.25]
    with pytest.raises(Refused):
        trend_of(brand_monitor, asked(dimension=Dimension.SOURCE, keys=("999",)))


def test_a_day_is_one_of_the_time_zone_and_may_have_23_hours(brand_monitor: Monitor) -> None:
    zone = ZoneInfo("Europe/Berlin")
    spring = datetime(2026, 3, 29, tzinfo=zone)
    bucket(brand_monitor, spring.astimezone(UTC), article_count=1)
    bucket(brand_monitor, spring.astimezone(UTC) + 22 * HOUR, article_count=2)
    bucket(brand_monitor, spring.astimezone(UTC) + 23 * HOUR, article_count=4)

    days = Asked(spring, spring + timedelta(days=1, hours=5), seconds=86400, zone=zone)
    found = trend_of(brand_monitor, days)

    assert found.values(found.series[0]) == [3, 4]


@pytest.mark.parametrize(
    ("market", "closed"),
    [("XSHG", [17, 18, 21, 22]), ("XHKG", [17, 18, 21, 22]), ("XNYS", [16, 21, 22])],
)
def test_weekends_and_holidays_of_a_market_are_no_trading_days(market: str, closed: list[int]) -> None:
    days = [datetime(2026, 2, day, 12, tzinfo=ZoneInfo("Asia/Shanghai")) for day in range(16, 28)]
    days = [day + timedelta(hours=3) for day in days]  # 15:00 in China is 02:00 in New York

    kept = {day.day for day in trading(market, days)}

    assert not kept & set(closed)
    assert {25, 26, 27} <= kept


@pytest.fixture
def trend_room(client: Client, actor: Actor) -> str:
    client.force_login(actor.user)
    return f"/w/{actor.workspace.slug}/monitors/"


def test_the_page_draws_the_series_and_its_points_lead_to_their_articles(
    client: Client, trend_room: str, pushed_source: Source, written: Callable[..., Item]
) -> None:
    services.ingest(
        pushed_source, [written(1, published_at=NOON), written(2, published_at=NOON + HOUR)], now=NOON + HOUR
    )
    here = f"{trend_room}{pushed_source.monitor_id}/trends"

    page = client.get(here, {"dimension": "source", "since": "2026-03-04", "until": "2026-03-04", "compare": "on"})

    assert page.status_code == 200
    chart = page.context["chart"]
    (line,) = chart["series"]  # of the day before nothing was counted
    assert chart["counts"] and sum(value for _x, value in line["points"] if value) == 2
    noon = next(x for x, value in line["points"] if value)
    articles = client.get(line["url"].replace("{place}", chart["places"][noon]))
    assert [row.title for row in articles.context["page"].rows] == ["Report 1 about the harbour of town 1"]
    assert page.context["rows"][0]["highest_url"] in page.content.decode().replace("&amp;", "&")
    assert client.get(here, {"seconds": "300", "span": "year"}).status_code == 422
    assert client.get(here, {"dimension": "source", "key": "9999"}).status_code == 422


def test_terms_of_a_span_stand_out_against_the_one_before_each_story_once(
    client: Client, trend_room: str, pushed_source: Source, written: Callable[..., Item]
) -> None:
    ports = ["harbour", "orchard", "quarry", "bakery", "library", "foundry", "museum", "station", "theatre", "brewery"]
    old = [written(at, f"Opening of the {port}", published_at=NOON - 24 * HOUR) for at, port in enumerate(ports)]
    new = [written(10 + at, f"Recall at the {port}", published_at=NOON) for at, port in enumerate(ports)]
    again = [written(20 + at, "Recall at the harbour", published_at=NOON) for at in range(5)]
    services.ingest(pushed_source, [*old, *new, *again], now=NOON)
    here = f"{trend_room}{pushed_source.monitor_id}/trends/terms"

    found = client.get(here, {"since": "2026-03-04", "until": "2026-03-04"}).context["terms"]

    assert found.terms[0].text == "recall"
    assert (found.terms[0].count, found.text_count, found.before_count) == (10, 10, 10)
    assert client.get(here, {"dimension": "language", "key": "xx", "since": "2026-03-04"}).context["terms"].terms == []


def test_the_first_score_of_a_version_in_a_monitor_is_its_release(
    heard_source: Source, written: Callable[..., Item]
) -> None:
    version = int(heard_source.monitor.sentiment_model)
    (article,) = (
        services.ingest(heard_source, [written(1, published_at=NOON)], now=NOON) and heard_source.articles.all()
    )
    bucket(heard_source.monitor, NOON, seconds=86400, version=ModelVersion.objects.get(pk=version))
    article.scores.create(model_version_id=version, sentiment="negative", probability=1, created_at=NOON - HOUR)

    assert [release.version.pk for release in releases(heard_source.monitor, asked())] == [version]
    assert releases(heard_source.monitor, Asked(NOON, NOON + HOUR)) == []


def test_the_api_gives_counts_and_totals(api: Callable[..., APIClient], actor: Actor, brand_monitor: Monitor) -> None:
    bucket(brand_monitor, datetime(2026, 3, 4, 3, tzinfo=UTC), article_count=3, story_count=2)
    client = api(actor, ["sentiment.read"])

    answer = client.get(f"/api/v1/monitors/{brand_monitor.pk}/trend", {"since": "2026-03-04", "until": "2026-03-04"})

    assert answer.status_code == 200, answer.json()
    assert answer.json()["totals"]["article_count"] == 3
    assert answer.json()["series"][0]["points"] == [{"start_at": "2026-03-04T03:00:00Z", "value": 3.0}]
    assert client.get(f"/api/v1/monitors/{brand_monitor.pk}/trend", {"measure": "joy"}).status_code == 422


def test_what_is_expected_of_an_hour_is_written_once_when_it_closes_and_caught_up(
    brand_monitor: Monitor, counted: Callable[..., None]
) -> None:
    steady = [4, 6] * 12 * 30
    counted(steady, NOON)
    expect(NOON + timedelta(minutes=2))
    (first,) = Expectation.objects.filter(seconds=3600, measure="article_count")
    assert first.start_at == NOON - HOUR
    assert first.low is not None and first.expected is not None and first.high is not None
    assert first.low <= 5 <= first.high and 3 < first.expected < 7

    counted([40, 5, 5], NOON + 3 * HOUR)
    expect(NOON + 3 * HOUR + timedelta(minutes=2))
    expect(NOON + 3 * HOUR + timedelta(minutes=2))

    hours = Expectation.objects.filter(seconds=3600, measure="article_count").order_by("start_at")
    assert [row.start_at for row in hours] == [NOON + at * HOUR for at in (-1, 0, 1, 2)]
    surge = hours[1]
    assert surge.high is not None and surge.high < 40


def test_the_band_stands_on_the_page_by_the_time_of_arrival_only(
    client: Client, trend_room: str, brand_monitor: Monitor, counted: Callable[..., None]
) -> None:
    counted([5, 5, 5], NOON)
    Expectation.objects.create(
        monitor=brand_monitor, dimension="total", seconds=3600, measure="article_count", start_at=NOON - HOUR,
        expected=4.5, low=1, high=9,
    )  # fmt: skip
    days = {"since": "2026-03-04", "until": "2026-03-04"}

    def drawn(**more: str) -> list[Any]:
        chart = client.get(f"{trend_room}{brand_monitor.pk}/trends", {**days, **more}).context["chart"]
        return [pair for each in chart["series"] for pair in each.get("band", []) if pair]

    assert drawn(clock="received") == [[1.0, 9.0]]
    assert drawn() == []
    assert drawn(clock="received", measure="story_count") == []


def test_the_period_before_is_drawn_bucket_by_bucket_for_few_series(
    client: Client, trend_room: str, brand_monitor: Monitor, api: Callable[..., APIClient], actor: Actor
) -> None:
    for hours, count in ((3, 4), (27, 6), (51, 50)):
        bucket(brand_monitor, NOON - hours * HOUR, article_count=count)
    for at in range(3):
        bucket(brand_monitor, NOON - 27 * HOUR, dimension=Dimension.LANGUAGE, key=f"l{at}", article_count=1)
        bucket(brand_monitor, NOON - 3 * HOUR, dimension=Dimension.LANGUAGE, key=f"l{at}", article_count=1)
    day = {"since": "2026-03-04", "until": "2026-03-04", "compare": "on"}
    here = f"{trend_room}{brand_monitor.pk}/trends"

    now, before = client.get(here, day).context["chart"]["series"]

    at = next(x for x, value in now["points"] if value)
    assert (now["points"][at][1], before["points"][at][1], before["of"]) == (4, 6, 0)
    assert "url" not in before
    assert len(client.get(here, {**day, "dimension": "language"}).context["chart"]["series"]) == 3
    told = api(actor).get(f"/api/v1/monitors/{brand_monitor.pk}/trend", day).json()["series"][0]
    assert [point["value"] for point in told["points_before"] if point["value"]] == [6.0]


def test_the_overview_draws_arrivals_with_what_was_expected(
    client: Client, trend_room: str, brand_monitor: Monitor, actor: Actor, counted: Callable[..., None]
) -> None:
    services.add_source(actor=actor, monitor=brand_monitor, kind="push", name="A")
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    counted([5, 5, 5], hour)
    here = f"{trend_room}{brand_monitor.pk}/arrivals"
    assert client.get(here).context["chart"] == {}  # nothing was expected yet
    assert f'hx-get="{here}?span=week"' in client.get(here.removesuffix("/arrivals")).content.decode()
    for hours in (1, 2, 3):
        Expectation.objects.create(
            monitor=brand_monitor, dimension="total", seconds=3600, measure="article_count", start_at=hour - hours * HOUR,
            expected=4.5, low=1, high=9,
        )  # fmt: skip

    page = client.get(here, {"span": "day"})

    counts, expected = page.context["chart"]["series"]
    assert sum(value for _x, value in counts["points"] if value) == 15
    assert [pair for pair in expected["band"] if pair] == [[1.0, 9.0]] * 3
    assert client.get(here).context["chart"] == {}  # of a week hardly anything was expected


def test_fine_counts_go_after_a_hundred_days_and_coarser_ones_stay(brand_monitor: Monitor) -> None:
    for days in (99, 101):
        for seconds in (300, 3600, 86400):
            bucket(brand_monitor, NOON - timedelta(days=days), seconds=seconds)
            Expectation.objects.create(
                monitor=brand_monitor, dimension="total", seconds=seconds, measure="article_count",
                start_at=NOON - timedelta(days=days),
            )  # fmt: skip

    assert services.forget_buckets(now=NOON) == 2

    left = Bucket.objects.filter(start_at=NOON - timedelta(days=101)).order_by("seconds")
    assert list(left.values_list("seconds", flat=True)) == [3600, 86400]
    assert Bucket.objects.count() == 5 and not Expectation.objects.filter(
        seconds=3600, start_at__lt=NOON - timedelta(days=100)
    )

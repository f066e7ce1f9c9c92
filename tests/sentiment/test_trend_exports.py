"""Trends as files: a row for each bucket and series, in the monitor's zone, and nothing that is not known as zero."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.models import Bucket, Clock, Dimension, Expectation, Monitor
from core.access import Actor

NOON = datetime(2026, 3, 4, 4, tzinfo=UTC)  # in Shanghai
HOUR = timedelta(hours=1)
DAY = "since=2026-03-04&until=2026-03-04&seconds=3600"


def bucket(monitor: Monitor, at: datetime, *, version: ModelVersion | None = None, **columns: Any) -> Bucket:
    given = {"clock": Clock.PUBLISHED, "seconds": 3600, "dimension": Dimension.TOTAL, "key": "", **columns}
    return Bucket.objects.create(monitor=monitor, start_at=at, model_version=version, **given)


@pytest.fixture
def take(client: Client, actor: Actor, brand_monitor: Monitor) -> Callable[..., list[dict[str, str]]]:
    """The rows that alice downloads."""
    client.force_login(actor.user)

    def download(query: str = DAY, kind: str = "csv") -> list[dict[str, str]]:
        answer = client.get(f"/w/{actor.workspace.slug}/monitors/{brand_monitor.pk}/trends/export.{kind}?{query}")
        assert answer.status_code == 200, answer.content
        return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))

    return download


def test_a_row_has_all_figures_of_its_bucket_and_what_is_not_known_is_empty(
    take: Any, brand_monitor: Monitor, named_version: Callable[..., ModelVersion]
) -> None:
    version = named_version(name="reader", task="classification")
    bucket(brand_monitor, NOON, article_count=4, story_count=2)
    bucket(brand_monitor, NOON, version=version, article_count=4, negative_count=1, positive_count=2)
    bucket(brand_monitor, NOON + HOUR, article_count=3)

    rows = {row["start_at"]: row for row in take()}

    assert len(rows) == 24
    assert rows["2026-03-04T12:00:00+08:00"] == {
        "start_at": "2026-03-04T12:00:00+08:00", "end_at": "2026-03-04T13:00:00+08:00", "period": "now",
        "dimension": "total", "key": "", "name": "All", "article_count": "4", "story_count": "2", "scored_count": "4",
        "negative_count": "1", "positive_count": "2", "negative_share": "0.25", "net_sentiment": "0.25",
        "measure": "article_count", "voice": "", "expected": "", "low": "", "high": "",
    }  # fmt: skip
    unread, unseen = rows["2026-03-04T13:00:00+08:00"], rows["2026-03-04T14:00:00+08:00"]
    assert (unread["article_count"], unread["scored_count"], unread["negative_count"]) == ("3", "0", "")
    assert (unseen["article_count"], unseen["negative_count"], unseen["negative_share"]) == ("", "", "")


def test_series_stand_one_after_the_other_with_their_voice_and_the_period_before(
    take: Any, brand_monitor: Monitor, actor: Actor
) -> None:
    sources = [services.add_source(actor=actor, monitor=brand_monitor, kind="push", name=name) for name in ("A", "=B")]
    for source, count in zip(sources, (1, 3), strict=True):
        where = {"dimension": Dimension.SOURCE, "key": str(source.pk)}
        bucket(brand_monitor, NOON, article_count=count, **where)
        bucket(brand_monitor, NOON - 24 * HOUR, article_count=7, **where)

    rows = take(f"{DAY}&dimension=source&voice=on&compare=on", kind="spreadsheet")

    counted = [row for row in rows if row["article_count"]]
    assert len(rows) == 2 * 24 * 2
    assert [(row["period"], row["name"], row["article_count"], row["voice"]) for row in counted] == [
        ("now", "'=B", "3", "0.75"), ("now", "A", "1", "0.25"), ("before", "'=B", "7", ""), ("before", "A", "7", ""),
    ]  # fmt: skip
    assert counted[2]["start_at"] == "2026-03-03T12:00:00+08:00"


def test_what_was_expected_stands_beside_what_arrived(take: Any, brand_monitor: Monitor) -> None:
    bucket(brand_monitor, NOON, clock=Clock.RECEIVED, article_count=4)
    Expectation.objects.create(
        monitor=brand_monitor, dimension="total", seconds=3600, measure="article_count", start_at=NOON, expected=2.5,
        low=1, high=5,
    )  # fmt: skip

    (row,) = [each for each in take(f"{DAY}&clock=received") if each["article_count"]]

    assert (row["expected"], row["low"], row["high"]) == ("2.5", "1.0", "5.0")


def test_the_api_answers_the_same_question_and_refuses_what_the_page_would_not_take(
    take: Any, api: Any, actor: Actor, brand_monitor: Monitor
) -> None:
    bucket(brand_monitor, NOON, article_count=4)
    view = services.save_view(
        actor=actor, monitor=brand_monitor, kind="trends", name="One day", names={},
        filters={"span": "dates", "since": "2026-03-04", "until": "2026-03-04", "seconds": "3600"},
    )  # fmt: skip
    client, here = api(actor), f"/api/v1/monitors/{brand_monitor.pk}/trend/export"

    lines = [json.loads(line) for line in client.get(f"{here}.jsonl?view={view.pk}").getvalue().splitlines()]

    assert [line["article_count"] for line in lines if line["article_count"]] == [4]
    assert lines[0].keys() == take()[0].keys()
    assert client.get(f"{here}.parquet").status_code == 404
    assert client.get(f"{here}.csv?measure=happiness").json()["errors"][0]["field"] == "measure"
    assert client.get(f"{here}.csv?dimension=topic&key=99").json()["code"] == "no_such_series"


def test_the_page_offers_what_it_draws(client: Client, actor: Actor, brand_monitor: Monitor) -> None:
    client.force_login(actor.user)
    here = f"/w/{actor.workspace.slug}/monitors/{brand_monitor.pk}/trends"
    empty = client.get(f"{here}?{DAY}")
    bucket(brand_monitor, NOON, article_count=4)

    page = client.get(f"{here}?{DAY}").content.decode()

    assert "trends/export" not in empty.content.decode()
    assert f"{here}/export.csv" in page and '<input type="hidden" name="since" value="2026-03-04">' in page

"""Articles as files: exactly those that filters show, in bounded memory and queries, and written down in the trail."""

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import AuditEntry, User
from apps.registry.models import ModelVersion
from apps.sentiment import article_files, services
from apps.sentiment.models import (
    Article,
    ArticleEntity,
    ArticleTopic,
    Entity,
    Monitor,
    Score,
    Source,
    TargetScore,
    Topic,
)
from apps.sentiment.services import exports
from core.access import Actor
from core.errors import Refused
from tests.fixtures.monitors import NEWS_AT

TITLES = ("港口发生泄漏", "Harbour opens", "=HYPERLINK(1)")


@pytest.fixture
def told(
    pushed_source: Source,
    written: Callable[..., Any],
    moutai: Entity,
    recall_topic: Topic,
    hearing_version: Callable[..., ModelVersion],
) -> list[Article]:
    """Three articles; the first is scored twice, speaks of a company and is about a topic."""
    items = [written(at, title, body=f"正文 {at}", language="zh") for at, title in enumerate(TITLES)]
    found = [each.article for each in services.ingest(pushed_source, items, now=NEWS_AT + timedelta(hours=1))]
    first, old, new = found[0], hearing_version("old"), hearing_version("new")
    assert first is not None
    for version, sentiment in ((old, "positive"), (new, "negative")):
        Score.objects.create(article=first, model_version=version, sentiment=sentiment, probability=0.75)
        TargetScore.objects.create(
            article=first, entity=moutai, model_version=version, sentiment=sentiment, probability=0.5,
            is_dedicated=version == old,
        )  # fmt: skip
        ArticleTopic.objects.create(article=first, topic=recall_topic, model_version=version)
    ArticleEntity.objects.create(article=first, entity=moutai, spans=[[0, 1]])
    return [each for each in found if each is not None]


@pytest.fixture
def take(client: Client, alice: User, actor: Actor, brand_monitor: Monitor) -> Callable[..., bytes]:
    """What alice downloads."""
    client.force_login(alice)

    def download(kind: str, query: str = "") -> bytes:
        answer = client.get(f"/w/{actor.workspace.slug}/monitors/{brand_monitor.pk}/articles/export.{kind}?{query}")
        assert answer.status_code == 200, answer.content
        return answer.getvalue()

    return download


def records(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_every_form_tells_the_same(take: Any, told: list[Article], recall_topic: Topic, moutai: Entity) -> None:
    lines = [json.loads(line) for line in take("jsonl", "texts=1").splitlines()]
    table = pq.read_table(io.BytesIO(take("parquet", "texts=1"))).to_pylist()
    cells = records(take("csv", "texts=1"))

    entity = {"name": moutai.name, "tickers": ["600519"], "sentiment": "positive", "probability": 0.5}
    assert lines[0] == {
        "id": told[0].pk, "source": told[0].source_id, "source_name": "Crawler", "story": told[0].story_id,
        "url": "https://news.example.com/0", "title": TITLES[0], "author": "", "language": "zh-Hans",
        "published_at": "2026-03-02T16:01:00+08:00", "confidence": "stated",
        "received_at": "2026-03-02T17:01:00+08:00", "is_history": False, "model_version": "new v1",
        "sentiment": "negative", "probability": 0.75, "topics": [recall_topic.name], "entities": [entity], "body": "正文 0",
    }  # fmt: skip
    assert [each["title"] for each in lines] == list(TITLES)
    for line, row, cell in zip(lines, table, cells, strict=True):
        assert {**row, **{name: row[name].isoformat() for name in article_files.TIMES}} == line
        assert cell["title"] == line["title"] and cell["is_history"] == "false"
        assert json.loads(cell["entities"] or "[]") == line["entities"]
        assert cell["topics"] == "|".join(line["topics"])
    assert (lines[1]["sentiment"], lines[1]["entities"], cells[1]["sentiment"]) == (None, [], "")


def test_in_a_spreadsheet_nothing_is_calculated_and_entities_are_words(
    take: Any, told: list[Article], moutai: Entity
) -> None:
    data = take("spreadsheet")

    rows = records(data)
    assert data.startswith("\ufeff".encode())
    assert rows[2]["title"] == "'=HYPERLINK(1)" and records(take("csv"))[2]["title"] == "=HYPERLINK(1)"
    assert rows[0]["entities"] == f"{moutai.name} (600519): positive"
    assert "body" not in rows[0]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("q=泄漏", 1),
        ("q=漏", 1),
        ("sentiment=negative", 1),
        ("sentiment=positive", 0),
        ("sentiment=unread", 2),
        ("entity=茅台", 0),
        ("entity=贵州茅台", 1),
        ("since=2026-03-03", 0),
        ("published=2026-03-02T08:00:00Z/2026-03-02T09:00:00Z&q=harbour", 1),
    ],
)
def test_a_file_holds_exactly_what_the_page_shows(
    take: Any, told: list[Article], client: Client, actor: Actor, query: str, count: int
) -> None:
    shown = client.get(f"/w/{actor.workspace.slug}/monitors/{told[0].monitor_id}/articles?{query}").context["page"]

    rows = records(take("csv", query))

    assert {int(row["id"]) for row in rows} == {row.pk for row in shown.rows}
    assert len(rows) == count


def test_a_saved_view_is_taken_along_by_page_and_api(
    take: Any, told: list[Article], client: Client, api: Any, actor: Actor, brand_monitor: Monitor
) -> None:
    view = services.save_view(
        actor=actor, monitor=brand_monitor, kind="articles", name="Leaks", filters={"q": "泄漏"}, names={}
    )
    here = f"/w/{actor.workspace.slug}/monitors/{brand_monitor.pk}/articles"
    services.open_with(actor=actor, view=view, is_wanted=True)

    page = client.get(here)
    called = api(actor).get(f"/api/v1/monitors/{brand_monitor.pk}/articles/export.jsonl?view={view.pk}")

    assert page.context["bar"].pairs == [("q", "泄漏")]
    assert f"{here}/export.parquet" in page.content.decode()
    assert [json.loads(line)["id"] for line in called.getvalue().splitlines()] == [told[0].pk]
    assert len(records(take("csv", f"view={view.pk}"))) == 1
    refused = api(actor).get(f"/api/v1/monitors/{brand_monitor.pk}/articles/export.csv?view={view.pk}&q=x")
    assert refused.status_code == 422


def test_texts_that_were_let_go_are_empty_and_the_rest_stays(take: Any, told: list[Article]) -> None:
    services.forget_bodies(now=NEWS_AT + timedelta(days=400))

    row = records(take("csv", "texts=on"))[0]

    assert (row["title"], row["body"]) == (TITLES[0], "")


def test_the_trail_says_who_took_which_articles_along(take: Any, told: list[Article]) -> None:
    take("csv", "q=泄漏&texts=1&language=")

    entry = AuditEntry.objects.get(action="monitor.export")
    assert (entry.actor, entry.object_id) == ("alice@example.org", str(told[0].monitor_id))
    assert entry.detail == {"format": "csv", "count": 1, "with_texts": True, "filters": {"q": "泄漏"}}


def test_wrong_filters_forms_and_too_many_articles_are_refused_before_anything_leaves(
    told: list[Article], api: Any, actor: Actor, brand_monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: APIClient = api(actor)
    here = f"/api/v1/monitors/{brand_monitor.pk}/articles/export"

    wrong = client.get(f"{here}.csv?sentiment=furious&source=99")
    odd = client.get(f"{here}.exe")
    monkeypatch.setattr(exports, "MOST_ARTICLES", 2)
    many = client.get(f"{here}.csv")
    fewer = client.get(f"{here}.csv?q=harbour")

    assert wrong.status_code == 422
    assert {each["field"] for each in wrong.json()["errors"]} == {"sentiment", "source"}
    assert (odd.status_code, fewer.status_code) == (404, 200)
    assert (many.status_code, many.json()["code"]) == (422, "too_many_articles")
    assert AuditEntry.objects.filter(action="monitor.export").count() == 1


def test_a_restricted_monitor_is_exported_by_its_members_alone(
    told: list[Article], page: Any, bob: User, actor: Actor, brand_monitor: Monitor
) -> None:
    here = f"/w/{actor.workspace.slug}/monitors/{brand_monitor.pk}/articles/export.csv"
    before = page(bob).get(here).status_code
    services.change_monitor(actor=actor, monitor=brand_monitor, is_restricted=True)

    assert (before, page(bob).get(here).status_code) == (200, 404)
    services.change_monitor(actor=actor, monitor=brand_monitor, members=[bob])
    assert page(bob).get(here).status_code == 200


def test_a_monitor_that_is_deleted_meanwhile_ends_the_file_by_an_error(
    brand_monitor: Monitor, told: list[Article], actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(article_files, "ROWS_AT_ONCE", 2)
    files = {
        form: iter(article_files.written(brand_monitor, Article.objects.filter(monitor=brand_monitor), form))
        for form in ("csv", "jsonl")
    }
    begun = {form: [next(pieces) for _each in range(2 if form == "csv" else 1)] for form, pieces in files.items()}
    services.delete_monitor(actor=actor, monitor=brand_monitor)

    for form, pieces in files.items():
        with pytest.raises(Refused) as refused:
            begun[form].extend(pieces)
        assert refused.value.code == "monitor_gone"
    assert [len(found) for found in begun.values()] == [2, 1]


MANY = """
    INSERT INTO sentiment_article (monitor_id, source_id, identity, url, title, body, author, language, published_at,
        confidence, received_at, is_first, is_history, scoring)
    SELECT {monitor}, {source}, at, '', '港口 ' || at, repeat('文', 100), '', 'zh', now(), 'stated', now(), false, false,
        'done' FROM generate_series(1, {count}) AS at;
    INSERT INTO sentiment_score (article_id, model_version_id, sentiment, probability, probabilities, created_at)
    SELECT id, {version}, 'negative', 0.5, '{{}}', now() FROM sentiment_article;
    INSERT INTO sentiment_articleentity (article_id, entity_id, spans, link_confidence, mention_count, in_title)
    SELECT id, {entity}, '[]', 1, 1, true FROM sentiment_article;
    INSERT INTO sentiment_targetscore (article_id, entity_id, model_version_id, is_dedicated, sentiment, probability,
        probabilities, created_at)
    SELECT id, {entity}, {version}, false, 'neutral', 0.5, '{{}}', now() FROM sentiment_article;
    INSERT INTO sentiment_articletopic (article_id, topic_id, probability, is_current, created_at)
    SELECT id, {topic}, 1, true, now() FROM sentiment_article;
"""


def test_twenty_thousand_articles_take_as_many_queries_a_portion_as_few(
    brand_monitor: Monitor,
    pushed_source: Source,
    moutai: Entity,
    recall_topic: Topic,
    hearing_version: Callable[..., ModelVersion],
) -> None:
    made = {"monitor": brand_monitor, "source": pushed_source, "entity": moutai, "topic": recall_topic}
    ids = {name: row.pk for name, row in {**made, "version": hearing_version("reader")}.items()}
    with connection.cursor() as cursor:
        cursor.execute(MANY.format(count=20_000, **ids))
    rows = Article.objects.filter(monitor=brand_monitor)

    with CaptureQueriesContext(connection) as caught:
        pieces = [str(piece) for piece in article_files.written(brand_monitor, rows, "jsonl")]

    assert [piece.count("\n") for piece in pieces] == [article_files.ROWS_AT_ONCE] * 10
    assert json.loads(pieces[9].splitlines()[-1])["entities"][0]["sentiment"] == "neutral"
    assert len(caught) <= 5 * 10 + 6  # a portion: articles and what belongs to them; names once; that there are no more

"""Where topics, entities, sources and languages meet: the cells sum up to the buckets, whatever changes in whatever order."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection, transaction

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.models import (
    COUNTS,
    Article,
    ArticleEntity,
    ArticleTopic,
    Bucket,
    Cell,
    Dimension,
    Entity,
    Source,
    TargetScore,
    Topic,
)
from apps.sentiment.services.meaning import MOST_CROSSED, recounted
from apps.sentiment.services.retention import FINE_KEPT, forget_buckets
from apps.sentiment.services.scoring import Said
from core.access import Actor

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
Written = Callable[..., Item]
FILL = import_module("apps.sentiment.migrations.0010_cells").FILL
SENTIMENTS = ("negative", "neutral", "positive", "abstained")


@pytest.fixture
def versions(named_version: Callable[..., ModelVersion]) -> list[ModelVersion]:
    common = {"task": "classification", "recipe": "classify", "labels": ["negative", "positive"]}
    return [named_version(name=name, **common) for name in ("first", "second", "towards")]


def cells(**where: Any) -> Counter[tuple[Any, ...]]:
    """What the cells say, by everything but their counts; those that were taken back to nothing left out."""
    names = ("model_version", "clock", "seconds", "topic", "entity", "source", "language", "start_at")
    rows = Cell.objects.filter(**where).values_list(*names, *COUNTS)
    return Counter({(*row[:8], name): count for row in rows for name, count in zip(COUNTS, row[8:], strict=True)}) + (
        Counter()
    )


def margins(dimension: str, **where: Any) -> Counter[tuple[Any, ...]]:
    rows = Bucket.objects.filter(dimension=dimension, seconds__in=(300, 3_600), **where)
    return (
        Counter(
            {
                (*row[:5], name): count
                for row in rows.values_list("model_version", "clock", "seconds", "key", "start_at", *COUNTS)
                for name, count in zip(COUNTS, row[5:], strict=True)
            }
        )
        + Counter()
    )


def summed(column: str, **where: Any) -> Counter[tuple[Any, ...]]:
    """The cells as buckets of one dimension; `column` empty: of all."""
    found: Counter[tuple[Any, ...]] = Counter()
    for cell in Cell.objects.filter(**where):
        for name in COUNTS:
            key = str(getattr(cell, column)) if column else ""
            place = (cell.model_version_id, cell.clock, cell.seconds, key, cell.start_at, name)
            found[place] += getattr(cell, name)
    return found + Counter()


def assert_cells_and_buckets_agree() -> None:
    assert margins(Dimension.TOTAL) == summed("", topic=0, entity=0)
    assert margins(Dimension.SOURCE) == summed("source", topic=0, entity=0)
    assert margins(Dimension.LANGUAGE) == summed("language", topic=0, entity=0)
    assert margins(Dimension.TOPIC) == summed("topic", topic__gt=0, entity=0)
    assert margins(Dimension.ENTITY) == summed("entity", entity__gt=0, topic=0)


@transaction.atomic
def change(make: Callable[[Article], Any], **which: Any) -> None:
    article = Article.objects.select_for_update().get(**which)
    with recounted([article]):
        make(article)


@pytest.mark.parametrize("seed", range(3))
def test_cells_sum_up_to_buckets_and_are_what_the_rows_say(
    pushed_source: Source, actor: Actor, versions: list[ModelVersion], written: Written, seed: int
) -> None:
    draw = random.Random(seed)
    monitor = pushed_source.monitor
    sources = [pushed_source, Source.objects.create(monitor=monitor, kind="push", name="Second")]
    topics = [Topic.objects.create(workspace=monitor.workspace, name=name, key=name) for name in "abc"]
    entities = [Entity.objects.create(workspace=monitor.workspace, name=name) for name in "xyz"]
    for number in range(12):
        published = AT - timedelta(minutes=draw.randrange(200))
        item = replace(
            written(number), published_at=published, confidence=Confidence.STATED, language=draw.choice(["en", "zh"])
        )
        services.ingest(draw.choice(sources), [item], now=AT, is_history=draw.random() < 0.3)
    articles = list(Article.objects.order_by("id"))

    def relate(article: Article) -> None:
        topic, entity, version = draw.choice(topics), draw.choice(entities), draw.choice([None, *versions])
        match draw.randrange(6):
            case 0 | 1:
                ArticleTopic.objects.get_or_create(article=article, topic=topic, model_version=version)
            case 2:
                ArticleTopic.objects.filter(article=article, topic=topic).update(is_current=draw.random() < 0.5)
            case 3:
                ArticleEntity.objects.get_or_create(
                    article=article, entity=entity, defaults={"mention_count": draw.randrange(1, 4)}
                )
            case 4:
                ArticleEntity.objects.filter(article=article, entity=entity).delete()
            case 5:
                said = draw.choice(versions)
                TargetScore.objects.get_or_create(
                    article=article, entity=entity, model_version=said,
                    defaults={"sentiment": draw.choice(SENTIMENTS), "probability": 0.9, "is_dedicated": said == versions[2]},
                )  # fmt: skip

    for _step in range(150):
        article = draw.choice(articles)
        if draw.random() < 0.2:
            negative = draw.random()
            said = [Said(article, {"negative": negative, "positive": 1 - negative})]
            services.record_scores(draw.choice(versions[:2]), said)
        else:
            change(relate, pk=article.pk)

    assert_cells_and_buckets_agree()
    services.delete_topic(actor=actor, topic=topics[0])
    services.delete_entity(actor=actor, entity=entities[0])
    assert_cells_and_buckets_agree()
    counted = cells()
    assert any(place[3] and place[4] for place in counted)  # pairs are among them
    Cell.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(FILL)
    assert cells() == counted


def test_an_article_counts_where_its_topics_and_entities_meet(
    pushed_source: Source, versions: list[ModelVersion], written: Written
) -> None:
    workspace = pushed_source.monitor.workspace
    topic = Topic.objects.create(workspace=workspace, name="Recall", key="recall")
    spoken_well_of, other = (Entity.objects.create(workspace=workspace, name=name) for name in ("Rival", "Maker"))
    services.ingest(pushed_source, [written(1)], now=AT)
    article = Article.objects.get()
    services.record_scores(versions[0], [Said(article, {"negative": 0.9, "positive": 0.1})])

    def relate(found: Article) -> None:
        ArticleTopic.objects.create(article=found, topic=topic)
        for entity in (spoken_well_of, other):
            ArticleEntity.objects.create(article=found, entity=entity)
        said = {"sentiment": "positive", "probability": 0.8, "model_version": versions[0]}
        TargetScore.objects.create(article=found, entity=spoken_well_of, **said)

    change(relate)

    read = {"clock": "received", "seconds": 3_600, "model_version": versions[0]}
    rows = Cell.objects.filter(**read).values_list("topic", "entity", "negative_count", "positive_count")
    assert sorted(rows) == sorted([
        (0, 0, 1, 0), (topic.pk, 0, 1, 0), (0, other.pk, 1, 0), (topic.pk, other.pk, 1, 0),
        (0, spoken_well_of.pk, 0, 1), (topic.pk, spoken_well_of.pk, 0, 1),
    ])  # fmt: skip


def test_of_a_list_of_names_the_most_frequent_are_counted_beside_topics(
    pushed_source: Source, written: Written
) -> None:
    workspace = pushed_source.monitor.workspace
    topic = Topic.objects.create(workspace=workspace, name="Markets", key="markets")
    entities = [Entity.objects.create(workspace=workspace, name=f"Company {at}") for at in range(MOST_CROSSED + 5)]
    services.ingest(pushed_source, [written(1)], now=AT)

    def relate(found: Article) -> None:
        ArticleTopic.objects.create(article=found, topic=topic)
        for at, entity in enumerate(entities):
            ArticleEntity.objects.create(article=found, entity=entity, mention_count=1 + (at >= 5))

    change(relate)

    hours = Cell.objects.filter(clock="received", seconds=3_600)
    assert hours.filter(topic=0, entity__gt=0).count() == len(entities)
    crossed = set(hours.filter(topic=topic.pk, entity__gt=0).values_list("entity", flat=True))
    assert crossed == {entity.pk for entity in entities[5:]}


def test_fine_cells_go_after_a_season_and_hours_stay(pushed_source: Source, written: Written) -> None:
    services.ingest(pushed_source, [written(1)], now=AT)

    forget_buckets(now=AT + FINE_KEPT + timedelta(days=60))

    assert set(Cell.objects.values_list("seconds", flat=True)) == {3_600}

"""Counts by topic and entity: each article once in each, whatever is linked, taken away or scored later."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, ArticleEntity, ArticleTopic, Bucket, Entity, Source, TargetScore, Topic
from apps.sentiment.services.meaning import recounted
from apps.sentiment.services.scoring import Said

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
Written = Callable[..., Item]


@pytest.fixture
def tone(named_version: Callable[..., ModelVersion]) -> ModelVersion:
    return named_version(name="tone", task="classification", recipe="classify", labels=["negative", "positive"])


@pytest.fixture
def maker(pushed_source: Source) -> Entity:
    return Entity.objects.create(workspace=pushed_source.monitor.workspace, name="Maker")


@pytest.fixture
def recall(pushed_source: Source) -> Topic:
    return Topic.objects.create(workspace=pushed_source.monitor.workspace, name="Recall", key="recall")


def counted(source: Source, **where: Any) -> list[tuple[int, int, int, int]]:
    rows = Bucket.objects.filter(monitor=source.monitor, clock="published", seconds=3_600, **where)
    return list(rows.values_list("article_count", "story_count", "negative_count", "positive_count"))


@transaction.atomic
def change(make: Callable[[Article], Any]) -> None:
    article = Article.objects.select_for_update().get()
    with recounted([article]):
        make(article)


def test_an_article_of_two_topics_counts_once_in_the_total_and_once_in_each(
    pushed_source: Source, recall: Topic, tone: ModelVersion, written: Written
) -> None:
    other = Topic.objects.create(workspace=pushed_source.monitor.workspace, name="Prices", key="prices")
    services.ingest(pushed_source, [written(1)], now=AT)
    change(lambda article: [ArticleTopic.objects.create(article=article, topic=each) for each in (recall, other)])

    services.record_scores(tone, [Said(Article.objects.get(), {"negative": 0.9, "positive": 0.1})])

    for where in ({"dimension": "total"}, *({"dimension": "topic", "key": str(each.pk)} for each in (recall, other))):
        assert counted(pushed_source, model_version=None, **where) == [(1, 1, 0, 0)]
        assert counted(pushed_source, model_version=tone, **where) == [(1, 0, 1, 0)]


def test_a_topic_of_words_and_of_a_version_counts_once_and_goes_when_both_are_gone(
    pushed_source: Source, recall: Topic, tone: ModelVersion, written: Written
) -> None:
    services.ingest(pushed_source, [written(1)], now=AT)
    where = {"dimension": "topic", "key": str(recall.pk), "model_version": None}

    change(lambda article: ArticleTopic.objects.create(article=article, topic=recall))
    change(lambda article: ArticleTopic.objects.create(article=article, topic=recall, model_version=tone))
    assert counted(pushed_source, **where) == [(1, 1, 0, 0)]
    change(lambda _article: ArticleTopic.objects.filter(model_version=None).delete())
    assert counted(pushed_source, **where) == [(1, 1, 0, 0)]
    change(lambda _article: ArticleTopic.objects.update(is_current=False))
    assert counted(pushed_source, **where) == [(0, 0, 0, 0)]


def test_an_entity_linked_later_counts_as_the_article_and_then_as_it_is_spoken_of(
    pushed_source: Source, maker: Entity, tone: ModelVersion, written: Written
) -> None:
    services.ingest(pushed_source, [written(1)], now=AT)
    services.record_scores(tone, [Said(Article.objects.get(), {"negative": 0.9, "positive": 0.1})])
    where = {"dimension": "entity", "key": str(maker.pk), "model_version": tone}

    for _twice in range(2):
        change(lambda article: ArticleEntity.objects.get_or_create(article=article, entity=maker))
    assert counted(pushed_source, **where) == [(1, 0, 1, 0)]

    said = {"entity": maker, "sentiment": "positive", "probability": 0.8}
    change(lambda article: TargetScore.objects.create(article=article, model_version=tone, **said))
    assert counted(pushed_source, **where) == [(1, 0, 0, 1)]
    assert counted(pushed_source, dimension="total", model_version=tone) == [(1, 0, 1, 0)]


def test_a_version_named_for_entities_goes_before_the_article_version(
    pushed_source: Source,
    maker: Entity,
    tone: ModelVersion,
    named_version: Callable[..., ModelVersion],
    written: Written,
) -> None:
    apart = named_version(name="towards", task="classification", recipe="classify", labels=["negative", "positive"])
    services.ingest(pushed_source, [written(1)], now=AT)
    services.record_scores(tone, [Said(Article.objects.get(), {"negative": 0.9, "positive": 0.1})])
    change(lambda article: ArticleEntity.objects.create(article=article, entity=maker))
    said = {"entity": maker, "sentiment": "positive", "probability": 0.8}

    change(lambda article: TargetScore.objects.create(article=article, model_version=apart, is_dedicated=True, **said))

    assert counted(pushed_source, dimension="entity", model_version=tone) == [(1, 0, 0, 1)]
    assert counted(pushed_source, dimension="entity", model_version=apart) == []


def test_a_change_that_fails_leaves_counts_alone(pushed_source: Source, maker: Entity, written: Written) -> None:
    services.ingest(pushed_source, [written(1)], now=AT)

    def broken(article: Article) -> None:
        ArticleEntity.objects.create(article=article, entity=maker)
        raise LookupError

    with pytest.raises(LookupError):
        change(broken)

    assert counted(pushed_source, dimension="entity") == []

"""Counts by topic and entity: what rows say is counted; when rows change, buckets change by the difference."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from apps.sentiment.models import Article, ArticleEntity, ArticleTopic, Dimension, Score, TargetScore
from apps.sentiment.services.buckets import Count, Place, add_counts, arrived, meant_as

_Counted = dict[tuple[int, int | None, Place], tuple[str, ...]]
"""(article, version, place) -> the columns it adds one to."""


@contextmanager
def recounted(articles: Sequence[Article]) -> Iterator[None]:
    """Whatever the block changes of topics, entities and scores of these articles, buckets follow by the difference.

    The caller holds the articles' rows locked, in the transaction of the block.
    """
    before = _counted(articles)
    yield
    _add_difference(articles, before, _counted(articles))


def count_new(articles: Sequence[Article]) -> None:
    """Count topics and entities of articles that were just stored."""
    _add_difference(articles, {}, _counted(articles))


def _add_difference(articles: Sequence[Article], before: _Counted, after: _Counted) -> None:
    by_id = {article.pk: article for article in articles}
    counts = []
    for place in before.keys() | after.keys():
        old, new = before.get(place, ()), after.get(place, ())
        if old != new:
            article, version, where = by_id[place[0]], place[1], (place[2],)
            counts += [Count(article, version, old, where, -1), Count(article, version, new, where)]
    add_counts(counts)


def _counted(articles: Sequence[Article]) -> _Counted:
    """What the rows of these articles add to buckets of topics and entities.

    Under a version an article counts in its topics as that version found it to be meant; in its entities as a version
    named for that found them to be spoken of, else as the version itself did, else as the article is meant.
    """
    ids = [article.pk for article in articles]
    topics, entities, scores = defaultdict(set), defaultdict(set), defaultdict(list)
    for pk, topic in ArticleTopic.objects.filter(article_id__in=ids, is_current=True).values_list("article", "topic"):
        topics[pk].add(topic)
    for pk, entity in ArticleEntity.objects.filter(article_id__in=ids).values_list("article", "entity"):
        entities[pk].add(entity)
    concerned = [article for article in articles if article.pk in topics or article.pk in entities]
    if not concerned:
        return {}
    for pk, version, sentiment in Score.objects.filter(article__in=concerned).values_list(
        "article", "model_version", "sentiment"
    ):
        scores[pk].append((version, sentiment))
    towards = _towards([article.pk for article in concerned if scores[article.pk]])
    counted: _Counted = {}
    for article in concerned:
        in_topics: list[Place] = [(Dimension.TOPIC, str(topic)) for topic in topics[article.pk]]
        in_entities: list[Place] = [(Dimension.ENTITY, str(entity)) for entity in entities[article.pk]]
        for place in in_topics + in_entities:
            counted[article.pk, None, place] = arrived(article)
        for version, sentiment in scores[article.pk]:
            for place in in_topics:
                counted[article.pk, version, place] = meant_as(sentiment)
            for place in in_entities:
                said = towards.get((article.pk, place[1]), {})
                counted[article.pk, version, place] = meant_as(said.get(None) or said.get(version) or sentiment)
    return counted


def _towards(articles: Sequence[int]) -> dict[tuple[int, str], dict[int | None, str]]:
    """(article, entity) -> {version: sentiment}; under None what the newest dedicated version said."""
    found: dict[tuple[int, str], dict[int | None, str]] = defaultdict(dict)
    rows = TargetScore.objects.filter(article_id__in=articles).order_by("id")
    for pk, entity, version, dedicated, sentiment in rows.values_list(
        "article", "entity", "model_version", "is_dedicated", "sentiment"
    ):
        found[pk, str(entity)][None if dedicated else version] = sentiment
    return found

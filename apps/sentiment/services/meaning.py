"""Counts by topic and entity, and where they meet: what rows say is counted; when rows change, buckets change by the difference."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from apps.sentiment.models import Article, ArticleEntity, ArticleTopic, Dimension, Score, TargetScore
from apps.sentiment.services.buckets import Count, Crossing, Margin, Place, add_counts, arrived, meant_as

MOST_CROSSED = 100  # entities of one article that are counted beside each of its topics, those named most often
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
    """What the rows of these articles add to buckets and cells of topics and entities.

    Under a version an article counts in its topics as that version found it to be meant; in its entities as a version
    named for that found them to be spoken of, else as the version itself did, else as the article is meant.
    """
    ids = [article.pk for article in articles]
    topics, entities, scores = defaultdict(set), defaultdict(list), defaultdict(list)
    for pk, topic in ArticleTopic.objects.filter(article_id__in=ids, is_current=True).values_list("article", "topic"):
        topics[pk].add(topic)
    links = ArticleEntity.objects.filter(article_id__in=ids).order_by("-mention_count", "entity")
    for pk, entity in links.values_list("article", "entity"):
        entities[pk].append(entity)
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
        places = list(_places(topics[article.pk], entities[article.pk]))
        for place, _entity in places:
            counted[article.pk, None, place] = arrived(article)
        for version, sentiment in scores[article.pk]:
            for place, entity in places:
                said = towards.get((article.pk, entity), {})
                counted[article.pk, version, place] = meant_as(said.get(None) or said.get(version) or sentiment)
    return counted


def _places(topics: Iterable[int], entities: Sequence[int]) -> Iterator[tuple[Place, int]]:
    """(place, the entity that is spoken of there, or 0) of an article."""
    for topic in topics:
        yield Margin(Dimension.TOPIC, str(topic)), 0
        yield Crossing(topic, 0), 0
        for entity in entities[:MOST_CROSSED]:
            yield Crossing(topic, entity), entity
    for entity in entities:
        yield Margin(Dimension.ENTITY, str(entity)), entity
        yield Crossing(0, entity), entity


def _towards(articles: Sequence[int]) -> dict[tuple[int, int], dict[int | None, str]]:
    """(article, entity) -> {version: sentiment}; under None what the newest dedicated version said."""
    found: dict[tuple[int, int], dict[int | None, str]] = defaultdict(dict)
    rows = TargetScore.objects.filter(article_id__in=articles).order_by("id")
    for pk, entity, version, dedicated, sentiment in rows.values_list(
        "article", "entity", "model_version", "is_dedicated", "sentiment"
    ):
        found[pk, entity][None if dedicated else version] = sentiment
    return found

"""How entities are spoken of: what versions read for that, and what they said of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from apps.registry.models import ModelVersion
from apps.sentiment.meaning.windows import TARGET_TEMPLATE, windows
from apps.sentiment.models import Article, ArticleEntity, Entity, Monitor, TargetScore
from apps.sentiment.services.scoring import DECIMALS, meant


class Window(NamedTuple):
    """A part of an article that speaks of an entity, as a version reads it."""

    article: Article
    entity_id: int
    text: str


class TargetSaid(NamedTuple):
    """What a version said of an entity in one article: a probability for each of its labels."""

    article: Article
    entity_id: int
    probabilities: Mapping[str, float]


def windows_of(articles: Sequence[Article], version: ModelVersion, *, is_dedicated: bool) -> list[Window]:
    """What `version` must read to say how the entities of these articles are spoken of; nothing where it has said it.

    A dedicated version reads the name in front of each window (`TARGET_TEMPLATE`).
    """
    links = links_of(articles)
    rows = TargetScore.objects.filter(article__in=list(links), model_version=version)
    done = set(rows.values_list("article_id", "entity_id"))
    found = []
    for article in articles:
        text, all_links = article.text, links.get(article.pk, [])
        for link in all_links:
            if (article.pk, link.entity_id) not in done:
                read = read_of(text, link, all_links, is_dedicated=is_dedicated)
                found += [Window(article, link.entity_id, each) for each in read]
    return found


def links_of(articles: Iterable[Article | int]) -> dict[int, list[ArticleEntity]]:
    """Article -> its entities, in the order they were linked."""
    links: dict[int, list[ArticleEntity]] = defaultdict(list)
    for row in ArticleEntity.objects.filter(article__in=list(articles)).order_by("id"):
        links[row.article_id].append(row)
    return dict(links)


def read_of(text: str, link: ArticleEntity, links: Sequence[ArticleEntity], *, is_dedicated: bool) -> list[str]:
    """What a version reads to say how the entity of `link` is spoken of in a text with all these links."""
    spans = [(start, end) for start, end in link.spans]
    others = [(start, end) for other in links if other is not link for start, end in other.spans]
    found = windows(text, spans, others)
    return [TARGET_TEMPLATE.format(entity=name, text=each) if is_dedicated else each for name, each in found]


def joined(windows: Sequence[Window], probabilities: Sequence[Mapping[str, float]]) -> list[TargetSaid]:
    """The mean over the windows of each entity in each article."""
    groups: dict[tuple[int, int], list[Mapping[str, float]]] = defaultdict(list)
    articles = {}
    for window, said in zip(windows, probabilities, strict=True):
        groups[window.article.pk, window.entity_id].append(said)
        articles[window.article.pk] = window.article
    return [
        TargetSaid(articles[pk], entity, {name: sum(each[name] for each in said) / len(said) for name in said[0]})
        for (pk, entity), said in groups.items()
    ]


def give_targets(monitor: Monitor, version: ModelVersion, said: Sequence[TargetSaid], *, is_dedicated: bool) -> None:
    """Store what a version said of entities in locked articles; what it said before stays. The caller counts (`recounted`)."""
    there = set(Entity.objects.filter(pk__in={each.entity_id for each in said}).values_list("pk", flat=True))
    rows = []
    for article, entity, probabilities in said:
        if entity in there:
            sentiment, sure = meant(monitor, probabilities)
            told = {name: round(value, DECIMALS) for name, value in probabilities.items()}
            rows.append(
                TargetScore(
                    article=article,
                    entity_id=entity,
                    model_version=version,
                    is_dedicated=is_dedicated,
                    sentiment=sentiment,
                    probability=sure,
                    probabilities=told,
                )
            )
    TargetScore.objects.bulk_create(rows, ignore_conflicts=True)

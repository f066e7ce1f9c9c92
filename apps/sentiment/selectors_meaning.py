"""Reading of topics and entities: tables, what was written about each lately, and what an article is about."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Sum
from django.utils import timezone

from apps.sentiment.models import (
    Alias,
    Article,
    ArticleEntity,
    ArticleTopic,
    Bucket,
    BucketSize,
    Clock,
    Dimension,
    Entity,
    Monitor,
    TargetScore,
    Topic,
)
from apps.sentiment.selectors_alerts import is_id

LATELY = timedelta(days=7)


def entities_of(workspace: Any) -> QuerySet[Entity]:
    """Entities by name, with how many aliases each has."""
    rows = Entity.objects.filter(workspace=workspace).annotate(alias_count=Count("aliases"))
    return rows.order_by("name", "id")


def with_aliases(rows: QuerySet[Entity]) -> QuerySet[Entity]:
    """The same with their aliases, in the order they were entered."""
    return rows.prefetch_related(Prefetch("aliases", Alias.objects.order_by("id")))


def named(rows: QuerySet[Entity], words: str) -> QuerySet[Entity]:
    """Entities whose name, alias or ticker holds this."""
    alias = Alias.objects.filter(entity=OuterRef("pk"), text__icontains=words)
    return rows.filter(Q(name__icontains=words) | Q(tickers__icontains=words) | Exists(alias))


def topics_of(workspace: Any, monitor: Monitor | None = None) -> QuerySet[Topic]:
    """Topics by name, with what they stand below; with a monitor those that are looked for in it."""
    rows = Topic.objects.filter(workspace=workspace).select_related("parent", "monitor").order_by("name", "id")
    return rows if monitor is None else rows.filter(Q(monitor=None) | Q(monitor=monitor))


def below(topic: Topic) -> list[int]:
    """A topic and all below it."""
    children = defaultdict(list)
    for pk, parent in Topic.objects.filter(workspace=topic.workspace_id).values_list("pk", "parent"):
        children[parent].append(pk)
    found = [topic.pk]
    for pk in found:
        found += children[pk]
    return found


def about(rows: QuerySet[Article], topic: Topic) -> QuerySet[Article]:
    """Articles of a topic or of one below it."""
    given = ArticleTopic.objects.filter(article=OuterRef("pk"), topic__in=below(topic), is_current=True)
    return rows.filter(Exists(given))


def entities_named(workspace: Any, entity: str) -> QuerySet[Entity]:
    """Entities of this id, name or alias; one with several such aliases comes as often."""
    wanted = Q(name__iexact=entity) | Q(aliases__text__iexact=entity)
    if is_id(entity):
        wanted |= Q(pk=int(entity))
    return Entity.objects.filter(wanted, workspace=workspace)


def speaking_of(rows: QuerySet[Article], workspace: Any, entity: str) -> QuerySet[Article]:
    """Articles that speak of an entity, given by its id, name or an alias."""
    known = entities_named(workspace, entity)
    return rows.filter(Exists(ArticleEntity.objects.filter(article=OuterRef("pk"), entity__in=known)))


@dataclass(frozen=True)
class Share:
    """Articles of a topic or entity, how many of them were scored, and how many of those negative."""

    key: int
    article_count: int = 0
    scored_count: int = 0
    negative_count: int = 0

    @property
    def negative_share(self) -> float | None:
        """None where nothing was scored."""
        return self.negative_count / self.scored_count if self.scored_count else None


def shares(
    monitors: Iterable[Monitor | int],
    dimension: Dimension,
    *,
    since: datetime | None = None,
    keys: Iterable[int] | None = None,
) -> dict[int, Share]:
    """Id of a topic or entity -> what was published about it since then, as the newest version of each monitor says."""
    rows = Bucket.objects.filter(
        monitor__in=monitors,
        clock=Clock.PUBLISHED,
        seconds=BucketSize.DAY,
        dimension=dimension,
        start_at__gte=since or timezone.now() - LATELY,
    )
    if keys is not None:
        rows = rows.filter(key__in=[str(key) for key in keys])
    sums = rows.values_list("key", "monitor", "model_version").annotate(Sum("article_count"), Sum("negative_count"))
    arrived: dict[str, int] = defaultdict(int)
    said: dict[tuple[str, int], tuple[int, int, int]] = {}
    for key, monitor, version, articles, negative in sums:
        if version is None:
            arrived[key] += articles
        else:
            said[key, monitor] = max(said.get((key, monitor), (0, 0, 0)), (version, articles, negative))
    scored: dict[str, int] = defaultdict(int)
    bad: dict[str, int] = defaultdict(int)
    for (key, _monitor), (_version, articles, negative) in said.items():
        scored[key] += articles
        bad[key] += negative
    return {int(key): Share(int(key), count, scored[key], bad[key]) for key, count in arrived.items() if count}


def most_written(monitor: Monitor, dimension: Dimension, *, since: datetime, most: int) -> list[tuple[Any, Share]]:
    """(topic or entity, what was written about it), the most written about first."""
    found = sorted(shares([monitor], dimension, since=since).values(), key=lambda share: -share.article_count)[:most]
    rows: Any = Entity.objects if dimension == Dimension.ENTITY else Topic.objects
    by_id = rows.in_bulk([share.key for share in found])
    return [(by_id[share.key], share) for share in found if share.key in by_id]


@dataclass(frozen=True)
class Spoken:
    """An entity of an article, and how it is spoken of by the version that goes first (None: nobody has said)."""

    link: ArticleEntity
    score: TargetScore | None

    @property
    def label(self) -> str:
        """Its name and how it is spoken of."""
        name = self.link.entity.name
        return f"{name} · {self.score.get_sentiment_display()}" if self.score else name


def scores_towards(article: Article) -> QuerySet[TargetScore]:
    """How entities are spoken of in an article; of each entity the one that goes first comes last."""
    rows = TargetScore.objects.filter(article=article).select_related("model_version__family")
    return rows.order_by("is_dedicated", "id")


def score_towards(article: Article, entity: int) -> TargetScore | None:
    """How one entity is spoken of, by the version that goes first."""
    return scores_towards(article).filter(entity=entity).last()


def spoken_of(article: Article) -> list[Spoken]:
    """Entities of an article in the order they come in it."""
    scores: dict[int, TargetScore] = {score.entity_id: score for score in scores_towards(article)}
    links = ArticleEntity.objects.filter(article=article).select_related("entity")
    found = [Spoken(link, scores.get(link.entity_id)) for link in links]
    return sorted(found, key=lambda each: each.link.spans[:1])


def topics_in(article: Article) -> QuerySet[ArticleTopic]:
    """Current topics of an article, the surest first."""
    rows = ArticleTopic.objects.filter(article=article, is_current=True)
    return rows.select_related("topic", "model_version__family").order_by("-probability", "topic__name")


def with_meaning(rows: QuerySet[Article]) -> QuerySet[Article]:
    """Articles with their topics and entities, for many at once."""
    topics = ArticleTopic.objects.filter(is_current=True).select_related("topic", "model_version__family")
    entities = ArticleEntity.objects.select_related("entity").order_by("id")
    targets = TargetScore.objects.select_related("model_version__family").order_by("-is_dedicated", "-id")
    return rows.prefetch_related(
        Prefetch("topics", topics.order_by("id")), Prefetch("entities", entities), Prefetch("target_scores", targets)
    )


@dataclass(frozen=True)
class Marked:
    """A part of an article with the places to mark: {"start", "end", "label"} in its own code points."""

    text: str
    spans: Sequence[dict[str, Any]]


def marked_parts(article: Article, spoken: Sequence[Spoken]) -> tuple[Marked, Marked]:
    """(title, body). `Article.text` is both without what is blank around them, so places are moved by that."""
    raw = f"{article.title}\n{article.body}"
    blank = len(raw) - len(raw.lstrip())
    body_at = len(article.title) + 1
    parts = []
    for text, begin in ((article.title, 0), (article.body, body_at)):
        spans = [
            {"start": start + blank - begin, "end": end + blank - begin, "label": each.label}
            for each in spoken
            for start, end in each.link.spans
            if begin <= start + blank and end + blank <= begin + len(text)
        ]
        parts.append(Marked(text, spans))
    return parts[0], parts[1]

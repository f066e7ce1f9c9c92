"""Articles get their entities and topics by words: when they come in, and anew when the tables have changed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from secrets import randbits
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.sentiment.meaning.linking import Found, Known, Mention, Name, Reader
from apps.sentiment.models import (
    Alias,
    Article,
    ArticleEntity,
    ArticleTopic,
    Entity,
    Lexicon,
    Monitor,
    ScoringState,
    Topic,
)
from apps.sentiment.services.meaning import count_new, recounted
from apps.sentiment.services.scoring import SCORING_CHANNEL
from core.queue import Task, enqueue, notify

LINK = Task("workers.link", "io")
AT_ONCE = 200
FIRST = 2**62  # above every id
DECIMALS = 3


@dataclass(frozen=True)
class Lexis:
    """The tables of a workspace as they stood at a revision."""

    reader: Reader
    topics: Mapping[int, int | None]  # topic -> the one monitor it belongs to, if any
    names: Mapping[int, str]  # of entities

    def topics_of(self, found: Found, monitor: int) -> list[int]:
        """Topics by words that are looked for in this monitor."""
        return [topic for topic in found.topics if self.topics[topic] in (None, monitor)]


def lexis_of(workspace_id: int) -> Lexis:
    """The tables as they are now; made ready once after each change."""
    revision = Lexicon.objects.filter(workspace=workspace_id).values_list("revision", flat=True).first()
    return _loaded(workspace_id) if revision is None else _kept(workspace_id, revision)


@lru_cache(32)
def _kept(workspace_id: int, _revision: int) -> Lexis:
    return _loaded(workspace_id)


def _loaded(workspace_id: int) -> Lexis:
    aliases: dict[int, list[Name]] = defaultdict(list)
    for alias in Alias.objects.filter(entity__workspace_id=workspace_id, entity__is_enabled=True).order_by("id"):
        name = Name(alias.text, alias.is_ambiguous, tuple(alias.required), tuple(alias.forbidden))
        aliases[alias.entity_id].append(name)
    entities = list(Entity.objects.filter(workspace_id=workspace_id, is_enabled=True).order_by("id"))
    known = [Known(row.pk, tuple(aliases[row.pk]), tuple(row.tickers)) for row in entities]
    topics = list(Topic.objects.filter(workspace_id=workspace_id, is_enabled=True).order_by("id"))
    words = [(topic.pk, word) for topic in topics for word in topic.words]
    return Lexis(
        Reader(known, words), {topic.pk: topic.monitor_id for topic in topics}, {row.pk: row.name for row in entities}
    )


def tables_changed(workspace: Any) -> None:
    """Call it in the transaction that changes topics or entities: nobody reads with the old ones afterwards."""
    Lexicon.objects.update_or_create(workspace=workspace, defaults={"revision": randbits(62)})


def link_new(monitor: Monitor, articles: Sequence[Article]) -> None:
    """Link articles that were just stored, and count them, in the caller's transaction."""
    lexis = lexis_of(monitor.workspace_id)
    entities, topics = [], []
    for article in articles:
        found = lexis.reader.read(article.text)
        entities += _entities(article, found, monitor.link_threshold)
        topics += [ArticleTopic(article=article, topic_id=topic) for topic in lexis.topics_of(found, monitor.pk)]
    if entities or topics:
        ArticleEntity.objects.bulk_create(entities)
        ArticleTopic.objects.bulk_create(topics)
        count_new(articles)


def _entities(article: Article, found: Found, threshold: float) -> list[ArticleEntity]:
    title = len(article.title.strip())
    return [
        ArticleEntity(
            article=article,
            entity_id=link.entity,
            spans=[[mention.start, mention.end] for mention in link.mentions],
            link_confidence=round(link.confidence, DECIMALS),
            mention_count=len(link.mentions),
            in_title=link.mentions[0].start < title,
        )
        for link in found.links(threshold)
    ]


@dataclass(frozen=True)
class Tried:
    """A text with every mention, however sure, and its topics."""

    text: str
    mentions: Sequence[tuple[str, Mention]]  # (name of the entity, where and why)
    topics: Sequence[Topic]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """Places to mark."""
        return [{"start": each.start, "end": each.end, "label": name} for name, each in self.mentions]


def try_text(workspace: Any, text: str) -> Tried:
    """What the tables find in a text; nothing is stored."""
    lexis = lexis_of(workspace.pk)
    found = lexis.reader.read(text)
    topics = Topic.objects.filter(pk__in=list(found.topics)).order_by("name")
    return Tried(text, [(lexis.names[each.entity], each) for each in found.mentions], list(topics))


@transaction.atomic
def link_again(*, workspace: Any, monitor: Monitor | None = None) -> int:
    """Let earlier articles be linked with the tables as they are now; of how many monitors. Newest articles first."""
    rows = Monitor.objects.filter(workspace=workspace)
    rows = rows if monitor is None else rows.filter(pk=monitor.pk)
    count = rows.update(linking_below=FIRST)
    enqueue(LINK)
    return count


@transaction.atomic
def link_next(*, now: datetime | None = None) -> bool:
    """Link the next articles of a monitor that asks for it; False when none does, or others are at it. Articles without
    their texts stay as they are."""
    now = now or timezone.now()
    monitor = next(filter(_is_mine, Monitor.objects.filter(linking_below__isnull=False).order_by("id")), None)
    if monitor is None:
        return False
    kept_from = now - timedelta(days=monitor.body_days)
    rows = Article.objects.filter(monitor=monitor, pk__lt=monitor.linking_below, received_at__gte=kept_from)
    newest = rows.order_by("-id").values_list("pk", flat=True)[:AT_ONCE]
    locked = Article.objects.filter(pk__in=list(newest)).select_for_update(of=("self",)).defer("search").order_by("id")
    articles = list(locked)
    _link(monitor, articles)
    asked = Monitor.objects.filter(pk=monitor.pk, linking_below=monitor.linking_below)  # not asked for anew meanwhile
    asked.update(linking_below=articles[0].pk if articles else None)
    return True


def _is_mine(monitor: Monitor) -> bool:
    """Whether nobody else links articles of this monitor; until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, monitor.pk % 2**31])
        return bool(cursor.fetchone()[0])


_LOCK = 0x11E4  # of this use among advisory locks


def _link(monitor: Monitor, articles: Sequence[Article]) -> None:
    """Make rows of locked articles what the tables say now; what versions said of their entities stays."""
    lexis = lexis_of(monitor.workspace_id)
    entities = {(row.article_id, row.entity_id): row for row in ArticleEntity.objects.filter(article__in=articles)}
    by_words = ArticleTopic.objects.filter(article__in=articles, model_version=None)
    topics = {(row.article_id, row.topic_id): row for row in by_words}
    new_entities, changed, new_topics = [], [], []
    for article in articles:
        found = lexis.reader.read(article.text)
        for link in _entities(article, found, monitor.link_threshold):
            known = entities.pop((article.pk, link.entity_id), None)
            if known is None:
                new_entities.append(link)
            elif _told(known) != _told(link):
                link.pk = known.pk
                changed.append(link)
        said = {(article.pk, topic) for topic in lexis.topics_of(found, monitor.pk)}
        new_topics += [ArticleTopic(article=article, topic_id=topic) for _pk, topic in sorted(said - topics.keys())]
        for place in said & topics.keys():
            del topics[place]
    with recounted(articles):
        ArticleEntity.objects.filter(pk__in=[row.pk for row in entities.values()]).delete()
        ArticleTopic.objects.filter(pk__in=[row.pk for row in topics.values()]).delete()
        ArticleEntity.objects.bulk_update(changed, SAID)
        ArticleEntity.objects.bulk_create(new_entities)
        ArticleTopic.objects.bulk_create(new_topics)
    if monitor.reads_targets and new_entities:
        fresh = Article.objects.filter(pk__in={row.article_id for row in new_entities}, scoring=ScoringState.DONE)
        if fresh.update(scoring=ScoringState.WAITING, scoring_until=None):
            notify(SCORING_CHANNEL)


SAID = ("spans", "link_confidence", "mention_count", "in_title")


def _told(row: ArticleEntity) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in SAID)

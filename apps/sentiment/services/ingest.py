"""Articles that come in: each once, with its language, its story and its place in the counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from apps.datasets.services.corrections import text_hash
from apps.sentiment.collecting.duplicates import Signature, same_story, signature
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.collecting.language import detect
from apps.sentiment.models import Article, ArticleBand, Monitor, ScoringState, Source, Story
from apps.sentiment.services import watching
from apps.sentiment.services.buckets import Count, add_counts, arrived
from apps.sentiment.services.identities import identity_of
from apps.sentiment.services.linking import link_new
from apps.sentiment.services.pages import keep_changes
from apps.sentiment.services.scoring import SCORING_CHANNEL
from core.bulk import copy_rows
from core.queue import notify
from core.search import search_vector

MOST_ITEMS = 1_000  # of one push
CHUNK = 100
STORY_SPAN = timedelta(days=7)  # an article joins a story whose newest article is not older
MOST_CANDIDATES = 500  # of one chunk
LONGEST_BODY = 200_000  # characters
NEAR = """
    SELECT DISTINCT article_id FROM sentiment_articleband WHERE monitor_id = %s AND band = ANY(%s)
    ORDER BY article_id DESC LIMIT %s
"""


@dataclass(frozen=True)
class Taken:
    """What became of an item."""

    item: Item
    state: str  # created or seen
    article: Article | None = None


@dataclass
class _Fresh:
    """An item that is new, read before anything is locked."""

    at: int
    item: Item
    identity: str
    body: str
    mark: Signature
    language: str
    story: Story | None = None
    is_first: bool = False


@dataclass
class _Known:
    """A text with its story; the story of one of the same chunk is known by then."""

    mark: Signature
    story: Story


def ingest(
    source: Source, items: Sequence[Item], *, now: datetime | None = None, is_history: bool = False
) -> list[Taken]:
    """Take items, in order. An item that came before is `seen`, whoever sends it and how often.

    An item without a time of publication stands at the time of its arrival, and says so. With `is_history` nobody is
    alarmed by it.
    """
    now = now or timezone.now()
    taken: list[Taken] = []
    for begin in range(0, len(items), CHUNK):
        taken += _take(source, items[begin : begin + CHUNK], now, is_history)
    return taken


def not_taken(source: Source, items: Sequence[Item]) -> list[Item]:
    """The items that did not come before, each once."""
    by_identity = {identity_of(item): item for item in items}
    for identity in _known_identities(source, list(by_identity)):
        del by_identity[identity]
    return list(by_identity.values())


def _take(source: Source, items: Sequence[Item], now: datetime, is_history: bool) -> list[Taken]:
    identities = [identity_of(item) for item in items]
    known = set(_known_identities(source, identities))
    fresh: list[_Fresh] = []
    for at, (item, identity) in enumerate(zip(items, identities, strict=True)):
        if identity not in known:
            known.add(identity)
            fresh.append(_read(at, item, identity))
    made = _store(source, fresh, now, is_history) if fresh else {}
    new = {each.identity for each in fresh}
    keep_changes(source, {key: item for key, item in zip(identities, items, strict=True) if key not in new}, now=now)
    if made:
        notify(SCORING_CHANNEL)
        watching.arrived(source.monitor_id)
    return [Taken(item, "created", made[at]) if at in made else Taken(item, "seen") for at, item in enumerate(items)]


def _read(at: int, item: Item, identity: str) -> _Fresh:
    body = item.body[:LONGEST_BODY]
    language = detect(f"{item.title}\n{body}"[:5_000], item.language)[0]
    return _Fresh(at, item, identity, body, signature(item.title, body), language[:10])


@transaction.atomic
def _store(source: Source, fresh: list[_Fresh], now: datetime, is_history: bool) -> dict[int, Article]:
    """Position of an item -> its article. Those of one monitor are stored one after the other, so that a story begins once."""
    monitor = source.monitor
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, monitor.pk % 2**31])
    taken = set(_known_identities(source, [each.identity for each in fresh]))
    fresh = [each for each in fresh if each.identity not in taken]
    if not fresh:
        return {}
    _tell_stories(monitor, fresh, now)
    rows = [_article(source, each, now, is_history) for each in fresh]
    Article.objects.bulk_create(rows)
    bands = ((monitor.pk, band, row.pk) for row, each in zip(rows, fresh, strict=True) for band in each.mark.bands)
    copy_rows(ArticleBand, ("monitor_id", "band", "article_id"), bands)
    add_counts(Count(row, None, arrived(row)) for row in rows)
    link_new(monitor, rows)
    Source.objects.filter(pk=source.pk).update(last_article_at=now)
    return {each.at: row for each, row in zip(fresh, rows, strict=True)}


_LOCK = 0x5E47  # of this use among advisory locks


def _tell_stories(monitor: Monitor, fresh: list[_Fresh], now: datetime) -> None:
    """Give each its story: one that is told already, or a new one."""
    by_band: dict[int, list[_Known]] = {}
    for known in _candidates(monitor, fresh, now):
        for band in known.mark.bands:
            by_band.setdefault(band, []).append(known)
    begun: list[Story] = []
    for each in fresh:
        moment = each.item.published_at or now
        near = {id(known): known for band in each.mark.bands for known in by_band.get(band, ())}
        told = next((known for known in near.values() if same_story(each.mark, known.mark)), None)
        if told is None:
            title = each.item.title or each.body[:120]
            each.story = Story(monitor=monitor, title=title, first_at=moment, last_at=moment)
            each.is_first = True
            begun.append(each.story)
        else:
            each.story = told.story
        each.story.article_count += 1
        each.story.first_at = min(each.story.first_at, moment)
        each.story.last_at = max(each.story.last_at, moment)
        mine = _Known(each.mark, each.story)
        for band in each.mark.bands:
            by_band.setdefault(band, []).append(mine)
    Story.objects.bulk_create(begun)
    grown = {each.story.pk: each.story for each in fresh if each.story and not each.is_first}
    Story.objects.bulk_update(grown.values(), ["article_count", "first_at", "last_at"])


def _candidates(monitor: Monitor, fresh: list[_Fresh], now: datetime) -> list[_Known]:
    """Earlier articles that share a band with one of these and whose story is still being told, the newest first."""
    bands = sorted({band for each in fresh for band in each.mark.bands})
    moments = [each.item.published_at or now for each in fresh]
    with connection.cursor() as cursor:
        cursor.execute(NEAR, [monitor.pk, bands, MOST_CANDIDATES])
        near = [pk for (pk,) in cursor.fetchall()]
    stored = ("title", "body", "story__title", "story__article_count", "story__first_at", "story__last_at")
    rows = Article.objects.filter(
        pk__in=near,
        story__isnull=False,
        published_at__gte=min(moments) - STORY_SPAN,
        published_at__lte=max(moments) + STORY_SPAN,
    )
    rows = rows.select_related("story").only(*stored).order_by("-id")
    stories: dict[int, Story] = {}
    found = []
    for row in rows:
        assert row.story is not None
        story = stories.setdefault(row.story.pk, row.story)
        found.append(_Known(signature(row.title, row.body), story))
    return found


def _article(source: Source, each: _Fresh, now: datetime, is_history: bool) -> Article:
    item, monitor = each.item, source.monitor
    text = f"{item.title}\n{each.body}".strip()
    confidence = item.confidence if item.published_at else Confidence.NONE
    return Article(
        monitor=monitor,
        source=source,
        story=each.story,
        identity=each.identity,
        url=item.url[:2_000],
        title=item.title,
        body=each.body,
        text_hash=text_hash(text),
        author=item.author[:300],
        language=each.language,
        published_at=item.published_at or now,
        confidence=confidence,
        received_at=now,
        search=search_vector(text),
        is_first=each.is_first,
        is_history=is_history,
        scoring=ScoringState.WAITING if monitor.is_read else ScoringState.NONE,
    )


def _known_identities(source: Source, identities: Sequence[str]) -> list[str]:
    rows = Article.objects.filter(source=source, identity__in=identities)
    return list(rows.values_list("identity", flat=True))

"""Reading of the sentiment room: monitors, sources with their health, articles, and series of counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from apps.sentiment.models import (
    COUNTS,
    Alert,
    AlertState,
    Article,
    Backfill,
    Bucket,
    BucketSize,
    Clock,
    Dimension,
    Fetch,
    Monitor,
    Score,
    ScoringState,
    Source,
    SourceKind,
    Story,
    UnreadPage,
    begin_of,
)
from core.access import Actor, rows_of
from core.leftovers import Names

MOST_BUCKETS = 2_000
SILENT_READINGS = 6  # intervals without a successful reading after which a source counts as dead


def monitors_of(actor: Actor) -> QuerySet[Monitor]:
    """Monitors by name, each with the articles of the last day and its sources in trouble."""
    day = timezone.now() - timedelta(days=1)
    lately = (
        Bucket.objects.filter(
            monitor=OuterRef("pk"),
            model_version=None,
            clock=Clock.RECEIVED,
            seconds=BucketSize.HOUR,
            dimension=Dimension.TOTAL,
            start_at__gte=day,
        )
        .order_by()
        .values("monitor")
        .annotate(sum=Sum("article_count"))
        .values("sum")
    )
    troubled = Count("sources", filter=Q(sources__is_enabled=True, sources__failure_count__gt=0))
    rows = rows_of(actor, Monitor).order_by("name", "id")
    firing = Alert.objects.filter(monitor=OuterRef("pk"), state=AlertState.FIRING).order_by().values("monitor")
    rows = rows.annotate(firing_count=Subquery(firing.annotate(count=Count("pk")).values("count")))
    return rows.annotate(
        source_count=Count("sources"), troubled_count=troubled, lately_count=Subquery(lately)
    ).select_related("created_by")


def sources_of(monitor: Monitor) -> QuerySet[Source]:
    """Sources by name."""
    return Source.objects.filter(monitor=monitor).order_by("name", "id")


def readings_of(source: Source) -> QuerySet[Fetch]:
    """Readings, newest first."""
    return Fetch.objects.filter(source=source).order_by("-id")


def file_places() -> list[tuple[str, Names]]:
    """Where the files of this room lie, and which of them a row names."""
    return [("*/backfills/*", lambda: set(Backfill.objects.exclude(file_path="").values_list("file_path", flat=True)))]


def unread_pages_of(source: Source) -> QuerySet[UnreadPage]:
    """Pages that could not be read, those that were tried last first."""
    return UnreadPage.objects.filter(source=source).order_by("-last_at", "-id")


def articles_of(monitor: Monitor) -> QuerySet[Article]:
    """Articles, newest first, with source, story and scores."""
    scores = Prefetch("scores", Score.objects.select_related("model_version__family").order_by("-id"))
    rows = Article.objects.filter(monitor=monitor).select_related("source", "story").prefetch_related(scores)
    return rows.defer("search").order_by("-id")


def others_of(article: Article) -> QuerySet[Article]:
    """Other articles of the same story, the earliest first."""
    if article.story_id is None:
        return Article.objects.none()
    rows = Article.objects.filter(story_id=article.story_id).exclude(pk=article.pk).select_related("source")
    return rows.defer("body", "search").order_by("published_at", "id")


def stories_of(monitor: Monitor) -> QuerySet[Story]:
    """Stories, those told last first."""
    return Story.objects.filter(monitor=monitor).order_by("-last_at", "-id")


def meant_as(rows: QuerySet[Article], sentiment: str) -> QuerySet[Article]:
    """Articles whose newest score is this."""
    newest = Score.objects.filter(article=OuterRef("pk")).order_by("-id").values("sentiment")[:1]
    return rows.annotate(newest=Subquery(newest)).filter(newest=sentiment)


def without_score(rows: QuerySet[Article]) -> QuerySet[Article]:
    """Articles that no version has read."""
    return rows.filter(~Exists(Score.objects.filter(article=OuterRef("pk"))))


def waiting_count(monitor: Monitor) -> int:
    """Articles that wait to be read by a version."""
    return Article.objects.filter(monitor=monitor, scoring=ScoringState.WAITING).count()


@dataclass(frozen=True)
class Health:
    """How a source is: `state` is well, failing, silent, off or new; lag in seconds from publication to arrival."""

    state: str
    silent_since: datetime | None = None
    lag_seconds: float | None = None


def health_of(source: Source, *, now: datetime | None = None) -> Health:
    """From what its row says; the lag is of its newest articles whose time of publication was stated."""
    return healths_of([source], now=now)[source.pk]


def healths_of(sources: Sequence[Source], *, now: datetime | None = None) -> dict[int, Health]:
    """Of several sources by id, in one query."""
    now = now or timezone.now()
    states = {source.pk: _state(source, now) for source in sources}
    lags = _lags([pk for pk, (state, _since) in states.items() if state == "well"])
    return {pk: Health(state, since, lags.get(pk)) for pk, (state, since) in states.items()}


def _state(source: Source, now: datetime) -> tuple[str, datetime | None]:
    """(state, since when it is silent)"""
    if not source.is_enabled:
        return "off", None
    if source.kind not in (SourceKind.FEED, SourceKind.SITEMAP):
        return ("new" if source.last_article_at is None else "well"), None
    if source.failure_count:
        return "failing", source.last_success_at
    if source.last_success_at is None:
        return "new", None
    if now - source.last_success_at > SILENT_READINGS * timedelta(minutes=source.interval_minutes):
        return "silent", source.last_success_at
    return "well", None


LAGS = """
    SELECT source, newest.lag FROM unnest(%s::bigint[]) AS source
    CROSS JOIN LATERAL (
        SELECT EXTRACT(EPOCH FROM received_at - published_at)::float8 AS lag FROM sentiment_article
        WHERE source_id = source AND confidence = 'stated' AND NOT is_history ORDER BY id DESC LIMIT 50
    ) newest
    ORDER BY source, newest.lag
"""


def _lags(sources: Sequence[int]) -> dict[int, float]:
    """Source -> the median of its newest lags, in seconds."""
    lags: dict[int, list[float]] = {}
    if sources:
        with connection.cursor() as cursor:
            cursor.execute(LAGS, [list(sources)])
            for source, lag in cursor.fetchall():
                lags.setdefault(source, []).append(lag)
    return {source: max(0.0, found[len(found) // 2]) for source, found in lags.items()}


@dataclass(frozen=True)
class SourceFigures:
    """What of a source was published lately, and what was left out: of its last reading, or of the pushes of as long."""

    article_count: int
    dropped_count: int


def figures_of(source: Source, *, now: datetime | None = None) -> SourceFigures:
    """Of seven days. A feed tells the same broken items at every reading, so theirs do not add up."""
    since = (now or timezone.now()) - timedelta(days=7)
    place = {"monitor": source.monitor_id, "clock": Clock.PUBLISHED, "seconds": BucketSize.HOUR, "model_version": None}
    buckets = Bucket.objects.filter(**place, dimension=Dimension.SOURCE, key=str(source.pk), start_at__gte=since)
    readings = Fetch.objects.filter(source=source, error_code="").exclude(status=304)
    if source.is_pushed:
        dropped = readings.filter(at__gte=since).aggregate(sum=Sum("dropped_count"))["sum"]
    else:
        dropped = readings.order_by("-id").values_list("dropped_count", flat=True).first()
    return SourceFigures(buckets.aggregate(sum=Sum("article_count"))["sum"] or 0, dropped or 0)


def repeats(readings: Sequence[Fetch]) -> set[int]:
    """Readings (the newest first) whose problems are those of the one before, by number."""
    pairs = pairwise(readings)
    return {newer.pk for newer, older in pairs if newer.problems and newer.problems == older.problems}


@dataclass(frozen=True)
class Series:
    """Counts of consecutive buckets. `points` holds only what was counted: a bucket that is missing is not zero."""

    seconds: int
    start_at: datetime
    end_at: datetime
    points: Sequence[Mapping[str, Any]]
    totals: Mapping[str, int]


def spans_of(series: Series) -> list[datetime]:
    """The begins of all buckets that a series spans, counted or not."""
    first, step = begin_of(series.start_at, series.seconds), timedelta(seconds=series.seconds)
    return [first + at * step for at in range((series.end_at - first) // step + 1)]


def series_of(
    monitor: Monitor,
    *,
    start_at: datetime,
    end_at: datetime,
    seconds: int,
    clock: str = Clock.PUBLISHED,
    dimension: str = Dimension.TOTAL,
    key: str = "",
    version_id: int | None = None,
) -> Series:
    """Articles and stories as they arrived, and how `version_id` found them to be meant; without one of each bucket the
    version that read most of it, the newest of equals, as charts and rules count."""
    start_at = begin_of(start_at, seconds)  # the first bucket is whole
    rows = Bucket.objects.filter(
        monitor=monitor,
        clock=clock,
        seconds=seconds,
        dimension=dimension,
        key=key,
        start_at__gte=start_at,
        start_at__lt=end_at,
    )
    read = rows.exclude(model_version=None)
    if version_id is None:
        read = read.order_by("start_at", "-article_count", "-model_version").distinct("start_at")
    else:
        read = read.filter(model_version=version_id).order_by("start_at")
    found: dict[datetime, dict[str, Any]] = {}
    for row in [*rows.filter(model_version=None).order_by("start_at")[:MOST_BUCKETS], *read[:MOST_BUCKETS]]:
        point = found.setdefault(
            row.start_at, {"start_at": row.start_at, **dict.fromkeys(COUNTS, 0), "scored_count": 0}
        )
        if row.model_version_id is None:
            point["article_count"], point["story_count"] = row.article_count, row.story_count
        else:
            point["scored_count"] = row.article_count
            for name in COUNTS[2:]:
                point[name] = getattr(row, name)
    points = [found[at] for at in sorted(found)]
    totals = {name: sum(point[name] for point in points) for name in (*COUNTS, "scored_count")}
    return Series(seconds, start_at, end_at, points, totals)

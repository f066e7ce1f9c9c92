"""What a digest of a monitor tells: a period beside the one before it, in plain values that page, mail, PDF and API show alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import Count, F, Max, Q, Sum
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models import (
    COUNTS,
    Alert,
    Article,
    Bucket,
    BucketSize,
    Clock,
    Dimension,
    Monitor,
    Score,
    Sentiment,
    Source,
    Story,
    begin_of,
)
from apps.sentiment.selectors import Health, healths_of, series_of, sources_of

TOP_STORIES, TOP_SOURCES, WORTH_READING, MOST_ALERTS = 8, 8, 6, 10
CANDIDATES = 60  # negative articles among which those worth reading are chosen
GRAVITY = ("critical", "warning", "info")
TONES = ("negative", "neutral", "positive", "abstained", "unread")


class Period(models.TextChoices):
    """How long a digest looks back."""

    DAY = "day", _("One day")
    WEEK = "week", _("One week")


DAYS = {Period.DAY.value: 1, Period.WEEK.value: 7}


@dataclass(frozen=True)
class Bar:
    """One hour or day of the chart; None where nothing was counted, which is not zero."""

    start_at: datetime
    counts: Mapping[str, int] | None  # by tone


@dataclass(frozen=True)
class StoryLine:
    """A story by how often it was told in the period."""

    story: Story
    article_count: int
    source_count: int
    negative_count: int | None  # None where nothing was scored


@dataclass(frozen=True)
class SourceLine:
    """A source, what it wrote, and how it is."""

    source: Source
    article_count: int
    negative_share: float | None
    health: Health


@dataclass(frozen=True)
class Figure:
    """A count and what it was in the period before."""

    value: float | None
    before: float | None

    @property
    def change(self) -> float | None:
        """As a share of what it was; None where that was nothing."""
        return None if not self.before or self.value is None else self.value / self.before - 1


@dataclass(frozen=True)
class Digest:
    """All of it."""

    monitor: Monitor
    period: str
    start_at: datetime
    end_at: datetime
    articles: Figure
    stories: Figure
    negative_share: Figure  # of the articles that were scored
    bars: Sequence[Bar]
    top_stories: Sequence[StoryLine]
    sources: Sequence[SourceLine]
    worth_reading: Sequence[Article]
    alerts: Sequence[Alert]


def begin_of_day(day: date, zone: ZoneInfo) -> datetime | None:
    """The end of a digest that is asked for by a day; None for days that no article has."""
    return datetime.combine(day, time(), zone) if 1_970 < day.year < 9_999 else None


def span_of(period: str, until: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """(begin, end): whole hours up to `until`, as many days back as the wall clock counts."""
    end = until.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    return back(end, DAYS[period]), end


def back(moment: datetime, days: int) -> datetime:
    """The same time of day, days before."""
    return moment - timedelta(days=days)  # wall clock: aware times of one zone are moved by their face


def digest_of(monitor: Monitor, *, period: str, until: datetime) -> Digest:
    """The digest of the period that ends at the last full hour before `until`."""
    zone = ZoneInfo(monitor.time_zone)
    start, end = span_of(period, until, zone)
    both = series_of(monitor, start_at=back(start, DAYS[period]), end_at=end, seconds=BucketSize.HOUR)
    points = [point for point in both.points if point["start_at"] >= start]
    now, before = _totals(points), _totals([point for point in both.points if point["start_at"] < start])
    version = _newest_version(monitor, start, end)
    return Digest(
        monitor=monitor,
        period=period,
        start_at=start,
        end_at=end,
        articles=Figure(now["article_count"], before["article_count"]),
        stories=Figure(now["story_count"], before["story_count"]),
        negative_share=Figure(_share(now), _share(before)),
        bars=_bars(points, start, end, period, zone),
        top_stories=_top_stories(monitor, start, end, version),
        sources=_sources(monitor, start, end, version),
        worth_reading=_worth_reading(monitor, start, end, version),
        alerts=_alerts(monitor, start, end),
    )


def _totals(points: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(point[name] for point in points) for name in (*COUNTS, "scored_count")}


def _share(totals: Mapping[str, int]) -> float | None:
    return totals["negative_count"] / totals["scored_count"] if totals["scored_count"] else None


def _bars(
    points: Sequence[Mapping[str, Any]], start: datetime, end: datetime, period: str, zone: ZoneInfo
) -> list[Bar]:
    """Hours of a day, days of a week by the monitor's clock."""
    found: dict[datetime, dict[str, int]] = {}
    for point in points:
        counts = found.setdefault(_slot(point["start_at"], period, zone), dict.fromkeys(TONES, 0))
        for tone in TONES[:-1]:
            counts[tone] += point[f"{tone}_count"]
        counts["unread"] += max(0, point["article_count"] - point["scored_count"])
    first = begin_of(start, BucketSize.HOUR)
    hours = (end.astimezone(UTC) - first) // timedelta(hours=1)
    slots = dict.fromkeys(_slot(first + timedelta(hours=at), period, zone) for at in range(hours))
    return [Bar(slot, found.get(slot)) for slot in slots]


def _slot(moment: datetime, period: str, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    return local if period == Period.DAY else datetime.combine(local.date(), time(), zone)


def _published(monitor: Monitor, start: datetime, end: datetime) -> models.QuerySet[Article]:
    return Article.objects.filter(monitor=monitor, published_at__gte=start, published_at__lt=end)


def _top_stories(monitor: Monitor, start: datetime, end: datetime, version: int | None) -> list[StoryLine]:
    """Those told most often, and by most sources."""
    rows = (
        _published(monitor, start, end)
        .exclude(story=None)
        .values("story")
        .annotate(articles=Count("pk"), tellers=Count("source", distinct=True), last=Max("published_at"))
        .order_by("-articles", "-tellers", "-last")[:TOP_STORIES]
    )
    found = list(rows)
    stories = Story.objects.in_bulk([row["story"] for row in found])
    negative = dict(
        _negative(monitor, start, end, version)
        .filter(article__story__in=stories)
        .values_list("article__story")
        .annotate(Count("article", distinct=True))
    )
    none = None if version is None else 0
    return [
        StoryLine(stories[row["story"]], row["articles"], row["tellers"], negative.get(row["story"], none))
        for row in found
        if row["story"] in stories
    ]


def _alerts(monitor: Monitor, start: datetime, end: datetime) -> list[Alert]:
    """Those that fired in the period, the gravest first."""
    gravity = models.Case(
        *(models.When(severity=name, then=at) for at, name in enumerate(GRAVITY)), default=len(GRAVITY)
    )
    rows = Alert.objects.filter(monitor=monitor, fired_at__gte=start, fired_at__lt=end).defer("explanation", "evidence")
    return list(rows.order_by(gravity, "-fired_at", "-id")[:MOST_ALERTS])


def _newest_version(monitor: Monitor, start: datetime, end: datetime) -> int | None:
    """The newest version that read any article of the period."""
    scores = Score.objects.filter(article__in=_published(monitor, start, end).order_by().values("pk"))
    found: int | None = scores.aggregate(newest=Max("model_version"))["newest"]
    return found


def _negative(monitor: Monitor, start: datetime, end: datetime, version: int | None) -> models.QuerySet[Score]:
    """Scores of a version that found articles of the period negative."""
    return Score.objects.filter(
        article__monitor=monitor,
        article__published_at__gte=start,
        article__published_at__lt=end,
        model_version=version,
        sentiment=Sentiment.NEGATIVE,
    )


def _sources(monitor: Monitor, start: datetime, end: datetime, version: int | None) -> list[SourceLine]:
    """All that wrote, the busiest first, and those in trouble."""
    rows = Bucket.objects.filter(
        monitor=monitor,
        clock=Clock.PUBLISHED,
        seconds=BucketSize.HOUR,
        dimension=Dimension.SOURCE,
        start_at__gte=start,
        start_at__lt=end,
    )
    counted = dict(rows.filter(model_version=None).values_list("key").annotate(Sum("article_count")))
    scored = {
        row["key"]: row["negative"] / row["scored"]
        for row in rows.filter(model_version=version)
        .exclude(model_version=None)
        .values("key")
        .annotate(negative=Sum("negative_count"), scored=Sum("article_count"))
        if row["scored"]
    }
    sources = list(sources_of(monitor))
    healths = healths_of(sources)
    lines = [
        SourceLine(source, counted.get(str(source.pk), 0), scored.get(str(source.pk)), healths[source.pk])
        for source in sources
    ]
    lines.sort(key=lambda line: (-line.article_count, line.source.name))
    troubled = [line for line in lines[TOP_SOURCES:] if line.health.state in {"failing", "silent"}]
    return lines[:TOP_SOURCES] + troubled[:TOP_SOURCES]


def _worth_reading(monitor: Monitor, start: datetime, end: datetime, version: int | None) -> list[Article]:
    """Negative articles of first-rate sources, the surest first, one of each story; without scores the most told stories'."""
    negative = _negative(monitor, start, end, version)
    scores = negative.order_by("-article__source__weight", "-probability", "article")
    ids = list(scores.values_list("article", flat=True)[:CANDIDATES])
    rows = Article.objects.select_related("source").defer("search")
    if ids:
        found = rows.in_bulk(ids)
        candidates = [found[pk] for pk in ids if pk in found]
    else:
        plain = _published(monitor, start, end).filter(~Q(title=""))
        newest = plain.order_by("-source__weight", F("story__article_count").desc(nulls_last=True), "-published_at")
        candidates = list(newest.select_related("source").defer("search")[:CANDIDATES])
    chosen: dict[Any, Article] = {}
    for article in candidates:
        chosen.setdefault(article.story_id or f"article-{article.pk}", article)
    return list(chosen.values())[:WORTH_READING]

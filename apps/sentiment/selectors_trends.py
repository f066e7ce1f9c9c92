"""Reading of trends: series of counts over the same buckets, what they were before, and what happened meanwhile."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, Min, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDay
from django.utils.translation import gettext as _

from apps.registry.models import ModelVersion
from apps.sentiment.alerting.terms import Term, standing_out
from apps.sentiment.markets import trading
from apps.sentiment.models import (
    Alert,
    Article,
    Bucket,
    BucketSize,
    Clock,
    Dimension,
    Expectation,
    Monitor,
    Score,
    Source,
)
from apps.sentiment.models.monitors import PUSHED
from apps.sentiment.selectors_alerts import of_series, series_names
from apps.sentiment.selectors_cells import articles_within, crossed
from apps.sentiment.trends import COUNTED, MOST_SERIES, Asked, Figures, Trend, TrendSeries, summed
from core.errors import Refused
from words import say

SHOWN_AT_FIRST = 5
MOST_OFFERED = 40
MOST_MARKS = 50
MOST_TEXTS = 500  # of each span
MOST_TERMS = 20
Found = dict[str, dict[datetime, Figures]]


@dataclass(frozen=True)
class Terms:
    """Terms that stand out, from how many texts now and before."""

    terms: list[Term]
    text_count: int
    before_count: int


def trend_of(monitor: Monitor, asked: Asked) -> Trend:
    """The series that are asked for, or the largest; the period before where it is compared.

    Raises:
        Refused: a series that the monitor does not have.
    """
    keys = asked.keys or tuple(largest(monitor, asked)[:SHOWN_AT_FIRST])
    names = names_of(monitor, asked.dimension, keys)
    if asked.keys and len(names) < len(set(keys)):
        raise Refused("no_such_series", say("This monitor has no such series."), field="key")
    keys = tuple(key for key in keys if key in names)[:MOST_SERIES]
    begins = _open(asked, asked.begins())
    now = _figures(monitor, asked, keys, begins, asked.end_at)
    earlier = asked.before()
    begins_before = _open(asked, earlier.begins()) if asked.compares else []
    then = _figures(monitor, earlier, keys, begins_before, earlier.end_at)
    sums = {key: summed(now[key].values()) for key in keys}
    whole = sum(sums[key].value(asked.measure) or 0 for key in keys) if asked.measure in COUNTED else 0
    series = [
        TrendSeries(
            key,
            names[key],
            now[key],
            sums[key],
            summed(then[key].values()) if then[key] else None,
            (sums[key].value(asked.measure) or 0) / whole if whole else None,
            then[key],
        )
        for key in keys
    ]
    return Trend(asked, begins, series, summed(sums.values()), begins_before)


def names_of(monitor: Monitor, dimension: str, keys: Iterable[str]) -> dict[str, str]:
    """Series by key as people know them; what is gone is not among them."""
    if dimension == Dimension.TOTAL:
        return {key: _("All") for key in keys if key == ""}
    return series_names(monitor, dimension, [key for key in keys if key])


def largest(monitor: Monitor, asked: Asked) -> list[str]:
    """Keys of the dimension by the articles of the span, the largest first."""
    if asked.dimension == Dimension.TOTAL:
        return [""]
    rows = _counts(monitor, asked, asked.begin(asked.start_at), asked.end_at).filter(model_version=None)
    sums = rows.exclude(key="").values("key").annotate(sum=Sum("article_count")).filter(sum__gt=0)
    return list(sums.order_by("-sum", "key").values_list("key", flat=True)[:MOST_OFFERED])


def _open(asked: Asked, begins: list[datetime]) -> list[datetime]:
    if not asked.market:
        return begins
    kept = trading(asked.market, begins)
    return [at for at in begins if at in kept]


def _figures(monitor: Monitor, asked: Asked, keys: tuple[str, ...], begins: list[datetime], end_at: datetime) -> Found:
    """Figures by key and bucket. Where somebody looked, a series without articles has zero; else its bucket is missing.

    Of several versions that read a bucket, the one that read most of it, the newest of equals, as rules have it.
    """
    if not begins or not keys:
        return {key: {} for key in keys}
    arrived: dict[tuple[str, datetime], tuple[int, int]] = {}
    read: dict[tuple[str, datetime], tuple[int, int, int, int]] = {}
    for key, at, version, articles, stories, negative, positive in _rows(monitor, asked, keys, begins[0], end_at):
        place = (key, at.astimezone(UTC))
        if version is None:
            arrived[place] = articles, stories
        else:
            read[place] = max(read.get(place, (0, 0, 0, 0)), (articles, version, negative, positive))
    seen = _looked_at(monitor, asked, begins, end_at)
    found: Found = {key: {} for key in keys}
    for key in keys:
        for at in begins:
            place = key, at
            if place in arrived or place in read or at in seen:
                scored, _version, negative, positive = read.get(place, (0, 0, 0, 0))
                found[key][at] = Figures(*arrived.get(place, (0, 0)), scored, negative, positive)
    return found


def _rows(
    monitor: Monitor, asked: Asked, keys: tuple[str, ...], start_at: datetime, end_at: datetime
) -> QuerySet[Any, tuple[Any, ...]]:
    """(key, begin, version, articles, stories, negative, positive), days summed from their hours."""
    rows: QuerySet[Any, tuple[Any, ...]] = (
        _counts(monitor, asked, start_at, end_at, keys)
        .values_list("key", "at", "model_version")
        .annotate(Sum("article_count"), Sum("story_count"), Sum("negative_count"), Sum("positive_count"))
        .order_by()
    )
    return rows


def _counts(
    monitor: Monitor, asked: Asked, start_at: datetime, end_at: datetime, keys: Sequence[str] = ()
) -> QuerySet[Any]:
    """Rows with `key`, `at` and the counts of what is asked for: cells where it lies within something, else buckets."""
    rows: Any
    if asked.within:
        rows = crossed(monitor, asked.within, asked.dimension, keys)
    else:
        rows = Bucket.objects.filter(monitor=monitor, dimension=asked.dimension)
        rows = rows.filter(key__in=keys) if keys else rows
    return _at(rows.filter(clock=asked.clock), asked, start_at, end_at)


def _at(rows: QuerySet[Any], asked: Asked, start_at: datetime, end_at: datetime) -> QuerySet[Any]:
    """Counts of a span with `at`: the begin of the bucket that is asked for, which may be the day of an hour."""
    is_day = asked.seconds == BucketSize.DAY
    rows = rows.filter(seconds=_size(asked), start_at__gte=start_at, start_at__lt=end_at)
    found: QuerySet[Any] = rows.annotate(at=TruncDay("start_at", tzinfo=asked.zone) if is_day else F("start_at"))
    return found


def _size(asked: Asked) -> int:
    return BucketSize.HOUR if asked.seconds == BucketSize.DAY else asked.seconds


def _looked_at(monitor: Monitor, asked: Asked, begins: list[datetime], end_at: datetime) -> set[datetime]:
    """Buckets in which somebody looked for articles. Programs push when they have something: with such a source all since the
    first article. Of another source's articles nothing follows; of articles at all, that this topic is not in them.
    """
    total = {"dimension": Dimension.TOTAL, "key": "", "model_version": None}
    clocks = {Clock.RECEIVED} if asked.dimension == Dimension.SOURCE else {Clock.RECEIVED, asked.clock}
    rows = _at(Bucket.objects.filter(monitor=monitor, **total), asked, begins[0], end_at).filter(clock__in=clocks)
    rows = rows.values_list("at", flat=True).distinct()
    seen = {at.astimezone(UTC) for at in rows}
    if Source.objects.filter(monitor=monitor, kind__in=PUSHED, is_enabled=True).exists():
        every = Bucket.objects.filter(monitor=monitor, seconds=BucketSize.HOUR, clock=Clock.RECEIVED, **total)
        first = every.aggregate(first=Min("start_at"))["first"]
        seen.update(at for at in begins if first is not None and asked.begin(first) <= at)
    return seen


@dataclass(frozen=True)
class Release:
    """The first score that a version gave in a monitor."""

    version: ModelVersion
    at: datetime


def releases(monitor: Monitor, asked: Asked) -> list[Release]:
    """Versions whose first score in the monitor fell into the span, the earliest first."""
    known = Bucket.objects.filter(
        monitor=monitor, clock=Clock.PUBLISHED, seconds=BucketSize.DAY, dimension=Dimension.TOTAL, key=""
    ).exclude(model_version=None)
    first = Score.objects.filter(article__monitor=monitor, model_version=OuterRef("pk")).order_by("id")
    rows = (
        ModelVersion.objects.filter(pk__in=known.values("model_version"))
        .select_related("family")
        .annotate(first=Subquery(first.values("created_at")[:1]))
        .filter(first__gte=asked.begin(asked.start_at), first__lt=asked.end_at)
        .order_by("first")
    )
    return [Release(version, version.first) for version in rows[:MOST_MARKS]]


def alerts_in(monitor: Monitor, asked: Asked) -> list[Alert]:
    """Alerts that fired in the span, the earliest first: of the newest, so many as can be told apart."""
    rows = Alert.objects.filter(monitor=monitor, fired_at__gte=asked.begin(asked.start_at), fired_at__lt=asked.end_at)
    return list(rows.defer("explanation", "evidence").order_by("-fired_at", "-id")[:MOST_MARKS])[::-1]


def terms_of(monitor: Monitor, asked: Asked) -> Terms:
    """The terms that stand out in the newest articles of the span against those of as many buckets before, each story once.

    With series chosen: in what was written of them.
    """
    earlier = asked.before()
    now = _texts(monitor, asked, asked.begin(asked.start_at), asked.end_at)
    then = _texts(monitor, asked, earlier.start_at, earlier.end_at)
    return Terms(standing_out(now, then, most=MOST_TERMS), len(now), len(then))


def _texts(monitor: Monitor, asked: Asked, start_at: datetime, end_at: datetime) -> list[str]:
    name = "published_at" if asked.clock == Clock.PUBLISHED else "received_at"
    rows = Article.objects.filter(monitor=monitor, **{f"{name}__gte": start_at, f"{name}__lt": end_at})
    rows = rows.filter(articles_within(asked.within))
    if asked.keys:
        rows = rows.filter(of_series(asked.dimension, asked.keys))
    newest = rows.only("title", "body", "story_id").order_by(f"-{name}", "-id")[:MOST_TEXTS]
    return [row.text for row in {row.story_id or -row.pk: row for row in newest}.values()]


def expectations_of(monitor: Monitor, asked: Asked, key: str) -> dict[datetime, Expectation]:
    """What was expected of the buckets of one series. Expectations are of counts by arrival, and their days are those of UTC."""
    is_other_day = (
        asked.seconds == BucketSize.DAY
        and asked.begins() != Asked(asked.start_at, asked.end_at, asked.seconds).begins()
    )
    series = _bucket_of(asked, key)
    if asked.clock != Clock.RECEIVED or is_other_day or asked.is_voice or series is None:
        return {}
    rows = Expectation.objects.filter(
        monitor=monitor,
        dimension=series[0],
        key=series[1],
        seconds=asked.seconds,
        measure=asked.measure,
        start_at__gte=asked.begin(asked.start_at),
        start_at__lt=asked.end_at,
    ).exclude(expected=None)
    return {row.start_at: row for row in rows}


def _bucket_of(asked: Asked, key: str) -> tuple[str, str] | None:
    """(dimension, key) of the buckets that count the same as a series; None where only cells do, of which nothing is expected."""
    if not asked.within:
        return asked.dimension, key
    return asked.within.margin() if asked.dimension == Dimension.TOTAL else None

"""What a trend is made of: measures, figures of a bucket and of a span, and what is asked for. No database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models import BucketSize, Clock, Dimension, begin_of
from apps.sentiment.within import Within

MOST_SERIES = 8
MOST_BUCKETS = 1_000


class TrendMeasure(models.TextChoices):
    """What is drawn of a series."""

    ARTICLES = "article_count", _("Articles")
    STORIES = "story_count", _("New stories")
    NEGATIVE = "negative_count", _("Negative articles")
    NEGATIVE_SHARE = "negative_share", _("Share of negative articles")
    NET = "net_sentiment", _("Net sentiment")


COUNTED = (TrendMeasure.ARTICLES, TrendMeasure.STORIES, TrendMeasure.NEGATIVE)
"""Measures that are counts: they have a sum, and a share among others."""


@dataclass(frozen=True)
class Figures:
    """What was counted in a bucket, or in all of a span."""

    article_count: int = 0
    story_count: int = 0
    scored_count: int = 0
    negative_count: int = 0
    positive_count: int = 0

    @property
    def negative_share(self) -> float | None:
        """Of those that were scored; None where none was."""
        return self.negative_count / self.scored_count if self.scored_count else None

    @property
    def net_sentiment(self) -> float | None:
        """Positive less negative ones, of those that were scored: from -1 to 1."""
        return (self.positive_count - self.negative_count) / self.scored_count if self.scored_count else None

    def value(self, measure: str) -> float | None:
        """None where nothing can be said: articles that nobody has read are not “none negative”."""
        if measure == TrendMeasure.NEGATIVE and self.article_count and not self.scored_count:
            return None
        found: float | None = getattr(self, measure)
        return found


def summed(figures: Iterable[Figures]) -> Figures:
    """Of several buckets together."""
    rows = list(figures)
    names = ("article_count", "story_count", "scored_count", "negative_count", "positive_count")
    return Figures(*(sum(getattr(row, name) for row in rows) for name in names))


@dataclass(frozen=True)
class Asked:
    """Which series of which buckets. `keys` empty: the largest of the dimension."""

    start_at: datetime
    end_at: datetime
    seconds: int = BucketSize.HOUR
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    measure: str = TrendMeasure.ARTICLES
    dimension: str = Dimension.TOTAL
    keys: tuple[str, ...] = ()
    clock: str = Clock.PUBLISHED
    market: str = ""  # only its trading days
    compares: bool = False  # with the period before
    is_voice: bool = False  # share of each series among the chosen ones
    within: Within = field(default_factory=Within)  # only articles of these

    def begin(self, moment: datetime) -> datetime:
        """Of the bucket of a moment; days are those of the time zone, on whole hours of UTC."""
        if self.seconds != BucketSize.DAY:
            return begin_of(moment, self.seconds)
        return moment.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)

    def next(self, begin: datetime) -> datetime:
        """The begin of the bucket after one; a day may have 23 or 25 hours."""
        if self.seconds != BucketSize.DAY:
            return begin + timedelta(seconds=self.seconds)
        return begin.astimezone(self.zone) + timedelta(days=1)

    def begins(self) -> list[datetime]:
        """Of all buckets, counted or not, in UTC."""
        found, at = [], self.begin(self.start_at)
        while at < self.end_at:
            found.append(at.astimezone(UTC))
            at = self.next(at)
        return found

    def before(self) -> "Asked":
        """The same over as many buckets before."""
        begin, count = self.begin(self.start_at), len(self.begins())
        start_at = begin - count * timedelta(seconds=self.seconds)  # a day of the time zone: by its calendar
        return replace(self, start_at=start_at, end_at=begin)


@dataclass(frozen=True)
class TrendSeries:
    """One line: its figures by bucket (what is missing is not zero), their sums, and those of the period before."""

    key: str
    name: str
    points: Mapping[datetime, Figures]
    totals: Figures
    before: Figures | None
    voice: float | None  # its share of the sum of all chosen ones
    then: Mapping[datetime, Figures] = field(default_factory=dict)  # the points of the period before

    def change(self, measure: str) -> float | None:
        """Against the period before: a share for counts, a difference for shares; None where there is nothing to compare."""
        now = self.totals.value(measure)
        then = self.before.value(measure) if self.before else None
        if now is None or then is None:
            return None
        if measure in COUNTED:
            return (now - then) / then if then else None
        return now - then


@dataclass(frozen=True)
class Trend:
    """Series over the same buckets."""

    asked: Asked
    begins: Sequence[datetime]
    series: Sequence[TrendSeries]
    totals: Figures  # of the chosen ones together
    begins_before: Sequence[datetime] = ()  # of the buckets of the period before

    def values(self, series: TrendSeries) -> list[float | None]:
        """What is drawn of a series, by bucket."""
        return self._drawn(series.points, [each.points for each in self.series], self.begins)

    def values_before(self, series: TrendSeries) -> list[float | None]:
        """The same of the period before; of trading days it may have other many than `values`."""
        return self._drawn(series.then, [each.then for each in self.series], self.begins_before)

    def _drawn(
        self,
        points: Mapping[datetime, Figures],
        all_points: Sequence[Mapping[datetime, Figures]],
        begins: Sequence[datetime],
    ) -> list[float | None]:
        measure = self.asked.measure
        found = [points[at].value(measure) if at in points else None for at in begins]
        if not self.asked.is_voice or measure not in COUNTED:
            return found
        wholes = [sum(each[at].value(measure) or 0 for each in all_points if at in each) for at in begins]
        return [
            value / whole if value is not None and whole else None for value, whole in zip(found, wholes, strict=True)
        ]

"""A trend as rows of a file: one for each bucket and series, with all that was counted."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from apps.sentiment import selectors_trends as selectors
from apps.sentiment.models import Monitor
from apps.sentiment.trends import Figures, Trend, TrendSeries

READ = ("negative_count", "positive_count", "negative_share", "net_sentiment")
COUNTED = ("article_count", "story_count", "scored_count", *READ)
COLUMNS = (
    "start_at", "end_at", "period", "dimension", "key", "name", *COUNTED, "measure", "voice", "expected", "low", "high",
)  # fmt: skip


def rows_of(monitor: Monitor, trend: Trend) -> Iterator[dict[str, Any]]:
    """Rows by series and time, those of the period before after those of now.

    Where nobody looked all figures are None; where nobody has read the articles, those that say how they are meant.
    `voice`, `expected`, `low` and `high` are of `measure`, where they are known.
    """
    for series in trend.series:
        expected = selectors.expectations_of(monitor, trend.asked, series.key)
        voices = trend.values(series) if trend.asked.is_voice else [None] * len(trend.begins)
        for at, voice in zip(trend.begins, voices, strict=True):
            found = expected.get(at)
            known = {name: getattr(found, name) for name in ("expected", "low", "high")} if found else {}
            yield {**_row(trend, series, "now", at, series.points), "voice": voice, **known}
    for series in trend.series:
        for at in trend.begins_before:
            yield _row(trend, series, "before", at, series.then)


def _row(
    trend: Trend, series: TrendSeries, period: str, at: datetime, points: Mapping[datetime, Figures]
) -> dict[str, Any]:
    asked, figures = trend.asked, points.get(at)
    names = COUNTED if figures and (figures.scored_count or not figures.article_count) else COUNTED[: -len(READ)]
    return {
        "start_at": at.astimezone(asked.zone).isoformat(),
        "end_at": min(asked.next(at), asked.end_at).astimezone(asked.zone).isoformat(),
        "period": period,
        "dimension": asked.dimension,
        "key": series.key,
        "name": series.name,
        "measure": asked.measure,
        **({name: getattr(figures, name) for name in names} if figures else {}),
    }

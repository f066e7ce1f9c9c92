"""Counts by span of time, added to as articles and scores come: never counted anew, never twice."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from apps.sentiment.models import COUNTS, Article, BucketSize, Clock, Dimension, Source, begin_of

# The constraint is named, because a version may be null in it.
WHERE = "monitor_id, model_version_id, clock, seconds, dimension, key, start_at"
TYPES = ("bigint", "bigint", "text", "integer", "text", "text", "timestamptz", *("integer" for _name in COUNTS))
ADD = f"""
    INSERT INTO sentiment_bucket ({WHERE}, {", ".join(COUNTS)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in TYPES)})
    ON CONFLICT ON CONSTRAINT bucket_once DO UPDATE SET
        {", ".join(f"{name} = sentiment_bucket.{name} + EXCLUDED.{name}" for name in COUNTS)}
"""  # noqa: S608 - names of our columns
# What is taken back was added before, so its row is there: a row that is made never begins below zero.
CHANGE = f"""
    INSERT INTO sentiment_bucket ({WHERE}, {", ".join(COUNTS)})
    VALUES (%s, %s, %s, %s, %s, %s, %s, {", ".join("GREATEST(%s, 0)" for _name in COUNTS)})
    ON CONFLICT ON CONSTRAINT bucket_once DO UPDATE SET
        {", ".join(f"{name} = sentiment_bucket.{name} + %s" for name in COUNTS)}
"""  # noqa: S608 - names of our columns
Place = tuple[Dimension, str]
"""What a bucket counts of its monitor, and which."""


class Count(NamedTuple):
    """One article, and which of COUNTS it adds one to; `model_version_id` None: as it arrived.

    `places` None: the total, its source and its language. `amount` -1 takes back what was added.
    """

    article: Article
    model_version_id: int | None
    names: tuple[str, ...]
    places: tuple[Place, ...] | None = None
    amount: int = 1


def arrived(article: Article) -> tuple[str, ...]:
    """What an article counts as before anybody has read it."""
    return ("article_count", "story_count") if article.is_first else ("article_count",)


def meant_as(sentiment: str) -> tuple[str, ...]:
    """What an article counts as under the version that found it to be meant so."""
    return ("article_count", f"{sentiment}_count")


def add_counts(counts: Iterable[Count]) -> None:
    """Add to the buckets of both clocks and all sizes, in the caller's transaction.

    What was brought in later is no news: the clock of arrival, by which alarms are raised, does not count it.
    """
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(COUNTS))
    for article, version, names, places, amount in counts:
        moments = {Clock.PUBLISHED: article.published_at}
        if not article.is_history:
            moments[Clock.RECEIVED] = article.received_at
        for clock, moment in moments.items():
            for seconds in BucketSize.values:
                for dimension, key in _places(article) if places is None else places:
                    place = (article.monitor_id, version, clock.value, seconds, dimension.value, key)
                    row = sums[(*place, begin_of(moment, seconds))]
                    for name in names:
                        row[COUNTS.index(name)] += amount
    rows = [(*place, *row) for place, row in sums.items() if any(row)]
    rows.sort(key=lambda row: tuple(str(part) for part in row[:7]))  # all writers in one order: no deadlock
    if not rows:
        return
    with connection.cursor() as cursor:
        if any(value < 0 for row in rows for value in row[7:]):
            cursor.executemany(CHANGE, [(*row, *row[7:]) for row in rows])
        else:
            cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])


def _places(article: Article) -> tuple[Place, ...]:
    return (
        (Dimension.TOTAL, ""),
        (Dimension.SOURCE, str(article.source_id)),
        (Dimension.LANGUAGE, article.language),
    )


WATCHED = f"""
    INSERT INTO sentiment_bucket
        (monitor_id, model_version_id, clock, seconds, dimension, key, start_at, {", ".join(COUNTS)})
    VALUES (%s, NULL, 'received', %s, %s, %s, %s, {", ".join("0" for _name in COUNTS)})
    ON CONFLICT ON CONSTRAINT bucket_once DO NOTHING
"""  # noqa: S608 - names of our columns
MOST_WATCHED = timedelta(days=2)  # that one reading can vouch for


def mark_watched(source: Source, since: datetime, until: datetime) -> None:
    """Say that a source was read over a span: where nothing came, its buckets hold zero instead of being missing."""
    since = max(since, until - MOST_WATCHED)
    rows = []
    for seconds in BucketSize.values:
        begin = begin_of(since, seconds)
        for at in range((begin_of(until, seconds) - begin) // timedelta(seconds=seconds) + 1):
            start = begin + at * timedelta(seconds=seconds)
            rows += [
                (source.monitor_id, seconds, Dimension.SOURCE.value, str(source.pk), start),
                (source.monitor_id, seconds, Dimension.TOTAL.value, "", start),
            ]
    rows.sort(key=lambda row: tuple(str(part) for part in row))
    with connection.cursor() as cursor:
        cursor.executemany(WATCHED, rows)

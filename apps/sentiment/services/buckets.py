"""Counts by span of time, added to as articles and scores come: never counted anew, never twice."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db import connection

from apps.sentiment.models import COUNTS, Article, BucketSize, Clock, Dimension, begin_of

# The constraint is named, because a version may be null in it.
ADD = """
    INSERT INTO sentiment_bucket
        (monitor_id, model_version_id, clock, seconds, dimension, key, start_at,
         article_count, story_count, negative_count, neutral_count, positive_count, abstained_count)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT ON CONSTRAINT bucket_once DO UPDATE SET
        article_count = sentiment_bucket.article_count + EXCLUDED.article_count,
        story_count = sentiment_bucket.story_count + EXCLUDED.story_count,
        negative_count = sentiment_bucket.negative_count + EXCLUDED.negative_count,
        neutral_count = sentiment_bucket.neutral_count + EXCLUDED.neutral_count,
        positive_count = sentiment_bucket.positive_count + EXCLUDED.positive_count,
        abstained_count = sentiment_bucket.abstained_count + EXCLUDED.abstained_count
"""


class Count(NamedTuple):
    """One article, and which of COUNTS it adds one to; `model_version_id` None: as it arrived."""

    article: Article
    model_version_id: int | None
    names: tuple[str, ...]


def add_counts(counts: Iterable[Count]) -> None:
    """Add to the buckets of both clocks, all sizes and dimensions, in the caller's transaction.

    What was brought in later is no news: the clock of arrival, by which alarms are raised, does not count it.
    """
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(COUNTS))
    for article, version, names in counts:
        moments = {Clock.PUBLISHED: article.published_at}
        if not article.is_history:
            moments[Clock.RECEIVED] = article.received_at
        for clock, moment in moments.items():
            for seconds in BucketSize.values:
                for dimension, key in _places(article):
                    place = (article.monitor_id, version, clock.value, seconds, dimension.value, key)
                    row = sums[(*place, begin_of(moment, seconds))]
                    for name in names:
                        row[COUNTS.index(name)] += 1
    rows = [(*place, *row) for place, row in sums.items()]
    rows.sort(key=lambda row: tuple(str(part) for part in row[:7]))  # all writers in one order: no deadlock
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(ADD, rows)


def _places(article: Article) -> list[tuple[Dimension, str]]:
    return [
        (Dimension.TOTAL, ""),
        (Dimension.SOURCE, str(article.source_id)),
        (Dimension.LANGUAGE, article.language),
    ]

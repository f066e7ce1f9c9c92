"""Series of counts as detectors want them: tables of numbers, from buckets, or from cells where a rule is limited to some articles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import F, Sum
from django.db.models.functions import TruncDay

from apps.sentiment.models import Alert, BucketSize, Clock, Dimension, Measure, Rule, Source
from apps.sentiment.models.monitors import PUSHED
from apps.sentiment.selectors_cells import crossed, names_within
from apps.sentiment.within import Within
from core.errors import Refused
from words import say

MOST_SERIES = 2_000  # of one rule


@dataclass(frozen=True)
class Table:
    """Counts of S series in consecutive buckets. NaN where a bucket is missing or was not asked for.

    `first` is the number of the first bucket since 1970.
    """

    keys: list[str]
    first: int
    counts: np.ndarray  # [S, B]
    negatives: np.ndarray | None = None  # [S, B]


COUNTED = """
    SELECT key, start_at, article_count, story_count FROM sentiment_bucket
    WHERE monitor_id = %s AND clock = %s AND seconds = %s AND dimension = %s AND (%s = '' OR key = %s)
      AND start_at >= %s AND start_at < %s AND model_version_id IS NULL
"""
# Of several versions the one that read most of a bucket, the newest of equals: articles that were read twice count once.
READ = """
    SELECT DISTINCT ON (key, start_at) key, start_at, article_count, negative_count FROM sentiment_bucket
    WHERE monitor_id = %s AND clock = %s AND seconds = %s AND dimension = %s AND (%s = '' OR key = %s)
      AND start_at >= %s AND start_at < %s AND model_version_id IS NOT NULL
    ORDER BY key, start_at, article_count DESC, model_version_id DESC
"""
SEEN = """
    SELECT start_at FROM sentiment_bucket
    WHERE monitor_id = %s AND clock = %s AND seconds = %s AND dimension = 'total' AND key = ''
      AND start_at >= %s AND start_at < %s AND model_version_id IS NULL
"""
BEGUN = """
    SELECT min(start_at) FROM sentiment_bucket
    WHERE monitor_id = %s AND clock = %s AND seconds = %s AND dimension = 'total' AND key = ''
      AND model_version_id IS NULL
"""


def table_of(rule: Rule, *, begin: int, end: int, wanted: Sequence[int] = (), clock: str = Clock.RECEIVED) -> Table:
    """The counts that a rule looks at in the buckets [begin, end), numbered since 1970, by the clock of arrival.

    A bucket in which nobody looked is missing. Where somebody looked, a series without articles has zero. Programs push when
    they have something, so with such a source every bucket since the first article was looked at. By the clock of publication
    all of them were: what was brought in later stands there as if somebody had looked. `wanted`: only these buckets are read,
    where others are not needed.

    Raises:
        Refused: what the rule is limited to is gone.
    """
    size = rule.seconds
    chosen = " AND start_at = ANY(%s)" if wanted else ""
    span: list[Any] = [_moment(begin, size), _moment(end, size)]
    if wanted:
        span.append([_moment(each, size) for each in wanted])
    what: list[Any] = [rule.monitor_id, clock, size, rule.dimension, rule.key, rule.key]
    reads = rule.needs_scores
    if rule.within:
        found = _within(rule, _moment(begin, size), _moment(end, size), wanted, clock)
    else:
        found = _fetched((_with(READ, chosen) if reads else COUNTED + chosen), [*what, *span])
    keys = _keys(rule, found)
    place = {key: at for at, key in enumerate(keys)}
    seen = _seen(rule, begin, end, chosen, span, clock)
    counts = np.where(seen, 0.0, np.nan) * np.ones((len(keys), 1))
    negatives = counts.copy() if reads else None
    for key, start_at, first, second in found:
        if key not in place:
            continue
        at = _number(start_at, size) - begin
        if negatives is not None:
            counts[place[key], at], negatives[place[key], at] = first, second
        else:
            counts[place[key], at] = second if rule.measure == Measure.STORIES else first
    if negatives is not None and rule.kind != "share":
        return Table(keys, begin, negatives)
    return Table(keys, begin, counts, negatives)


def _within(rule: Rule, begin: datetime, end: datetime, wanted: Sequence[int], clock: str) -> list[tuple[Any, ...]]:
    """What COUNTED or READ find in buckets, from the cells that the rule is limited to."""
    within, is_day = Within.of(rule.within), rule.seconds == BucketSize.DAY
    if len(names_within(rule.monitor, within)) < len(within.plain()):
        raise Refused("limit_gone", say("What the rule is limited to is not there any more."))
    rows = crossed(rule.monitor_id, within, rule.dimension, [rule.key] if rule.key else [])
    rows = rows.filter(clock=clock, seconds=BucketSize.HOUR if is_day else rule.seconds)
    rows = rows.filter(start_at__gte=begin, start_at__lt=end, model_version__isnull=not rule.needs_scores)
    rows = rows.annotate(at=TruncDay("start_at", tzinfo=UTC) if is_day else F("start_at"))
    if wanted:
        rows = rows.filter(at__in=[_moment(each, rule.seconds) for each in wanted])
    second = "negative_count" if rule.needs_scores else "story_count"
    sums = rows.values_list("key", "at", "model_version").annotate(Sum("article_count"), Sum(second)).order_by()
    most: dict[tuple[str, datetime], tuple[int, int, int]] = {}
    for key, at, version, articles, others in sums:
        most[key, at] = max(most.get((key, at), (-1, 0, 0)), (articles, version or 0, others))
    return [(key, at, articles, others) for (key, at), (articles, _version, others) in most.items()]


def _keys(rule: Rule, found: Iterable[tuple[Any, ...]]) -> list[str]:
    if rule.dimension == Dimension.TOTAL:
        return [""]
    if rule.key:
        return [rule.key]
    return sorted({row[0] for row in found if row[0]})[:MOST_SERIES]


def _seen(rule: Rule, begin: int, end: int, chosen: str, span: list[Any], clock: str) -> np.ndarray:
    """In which buckets somebody looked, bool [B]."""
    size, seen = rule.seconds, np.zeros(end - begin, dtype=bool)
    for (start_at,) in _fetched(SEEN + chosen, [rule.monitor_id, clock, size, *span]):
        seen[_number(start_at, size) - begin] = True
    pushed = Source.objects.filter(monitor_id=rule.monitor_id, kind__in=PUSHED, is_enabled=True)
    if clock == Clock.PUBLISHED or pushed.exists():
        ((first,),) = _fetched(BEGUN, [rule.monitor_id, clock, size])
        if first is not None:
            seen[max(0, _number(first, size) - begin) :] = True
    return seen


def _with(statement: str, condition: str) -> str:
    """The statement with a further condition, before its order."""
    head, order = statement.rsplit("ORDER BY", 1)
    return f"{head} {condition} ORDER BY {order}"


def _fetched(statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _moment(number: int, seconds: int) -> datetime:
    return datetime.fromtimestamp(number * seconds, UTC)


def _number(moment: datetime, seconds: int) -> int:
    return int(moment.timestamp()) // seconds


AROUND = 36  # buckets before and after the one on which an alert fired


def series_around(alert: Alert) -> list[tuple[datetime, float | None]]:
    """(begin, count) of the buckets around an alert's, as they are counted now; None where nobody looked."""
    rule = alert.rule
    if rule is None or alert.bucket_at is None or rule.kind in ("keyword", "new_story", "no_data"):
        return []
    one = Rule(
        monitor=alert.monitor, kind="ratio", measure=rule.measure, seconds=rule.seconds, dimension=alert.dimension,
        key=alert.key, within=alert.within,
    )  # fmt: skip
    at = _number(alert.bucket_at, rule.seconds)
    table = table_of(one, begin=at - AROUND, end=at + AROUND // 3)
    counts = table.counts[0] if table.keys else []
    return [
        (_moment(table.first + place, rule.seconds), None if np.isnan(count) else float(count))
        for place, count in enumerate(counts)
    ]

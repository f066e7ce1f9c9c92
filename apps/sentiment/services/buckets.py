"""Counts by span of time, added to as articles and scores come: never counted anew, never twice."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from apps.sentiment.models import CELL_SIZES, COUNTS, Article, BucketSize, Clock, Dimension, Source, begin_of


@dataclass(frozen=True)
class _Table:
    """Where counts are kept: what tells one row from another, with the types, and the constraint that says so.

    The constraint is named, because a version may be null in it.
    """

    name: str
    once: str
    where: Sequence[tuple[str, str]]

    @property
    def _columns(self) -> str:
        return ", ".join([*(name for name, _type in self.where), *COUNTS])

    @property
    def add(self) -> str:
        """The statement that adds what its arrays hold."""
        types = [*(kind for _name, kind in self.where), *("integer" for _name in COUNTS)]
        return f"""
            INSERT INTO {self.name} ({self._columns}) SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in types)})
            ON CONFLICT ON CONSTRAINT {self.once} DO UPDATE SET
                {", ".join(f"{name} = {self.name}.{name} + EXCLUDED.{name}" for name in COUNTS)}
        """  # noqa: S608 - names of our columns

    @property
    def change(self) -> str:
        """The statement that adds one row, which may take back what was added before: so its row is there, and one that is
        made never begins below zero."""
        return f"""
            INSERT INTO {self.name} ({self._columns})
            VALUES ({", ".join("%s" for _name in self.where)}, {", ".join("GREATEST(%s, 0)" for _name in COUNTS)})
            ON CONFLICT ON CONSTRAINT {self.once} DO UPDATE SET
                {", ".join(f"{name} = {self.name}.{name} + %s" for name in COUNTS)}
        """  # noqa: S608 - names of our columns


_FIRST = (("monitor_id", "bigint"), ("model_version_id", "bigint"), ("clock", "text"), ("seconds", "integer"))
BUCKETS = _Table(
    "sentiment_bucket", "bucket_once", (*_FIRST, ("dimension", "text"), ("key", "text"), ("start_at", "timestamptz"))
)
CELLS = _Table(
    "sentiment_cell",
    "cell_once",
    (
        *_FIRST, ("topic", "bigint"), ("entity", "bigint"), ("source", "bigint"), ("language", "text"),
        ("start_at", "timestamptz"),
    ),
)  # fmt: skip


class Margin(NamedTuple):
    """A bucket's dimension, and which of it."""

    dimension: Dimension
    key: str


class Crossing(NamedTuple):
    """Where a topic and an entity meet, by id; 0: whichever. With the article's source and language it is a cell."""

    topic: int
    entity: int


Place = Margin | Crossing
"""What an article is counted in."""


class Count(NamedTuple):
    """One article, and which of COUNTS it adds one to; `model_version_id` None: as it arrived.

    `places` None: the total, its source, its language, and where these meet. `amount` -1 takes back what was added.
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
    """Add to the buckets and cells of both clocks and all sizes, in the caller's transaction.

    What was brought in later is no news: the clock of arrival, by which alarms are raised, does not count it.
    """
    buckets: _Sums = defaultdict(lambda: [0] * len(COUNTS))
    cells: _Sums = defaultdict(lambda: [0] * len(COUNTS))
    where: tuple[Any, ...]
    for article, version, names, places, amount in counts:
        columns = [_COLUMN[name] for name in names]
        spans = _spans(article)
        for place in _places(article) if places is None else places:
            if isinstance(place, Crossing):
                sums, where = cells, (*place, article.source_id, article.language)
            else:
                sums, where = buckets, (place.dimension.value, place.key)
            for clock, seconds, begin in spans:
                if sums is cells and seconds not in CELL_SIZES:
                    continue
                row = sums[article.monitor_id, version, clock, seconds, *where, begin]
                for column in columns:
                    row[column] += amount
    _store(BUCKETS, buckets)
    _store(CELLS, cells)


_Sums = dict[tuple[Any, ...], list[int]]
_COLUMN = {name: at for at, name in enumerate(COUNTS)}


def _spans(article: Article) -> list[tuple[str, int, datetime]]:
    """(clock, seconds, begin) of what an article falls into."""
    moments = {Clock.PUBLISHED.value: article.published_at}
    if not article.is_history:
        moments[Clock.RECEIVED.value] = article.received_at
    sizes = BucketSize.values
    return [(clock, size, begin_of(moment, size)) for clock, moment in moments.items() for size in sizes]


def _store(table: _Table, sums: _Sums) -> None:
    rows = [(*place, *row) for place, row in sums.items() if any(row)]
    known = len(table.where)
    rows.sort(key=lambda row: (row[0], row[1] or 0, *row[2:known]))  # all writers in one order: no deadlock
    if not rows:
        return
    with connection.cursor() as cursor:
        if any(value < 0 for row in rows for value in row[known:]):
            cursor.executemany(table.change, [(*row, *row[known:]) for row in rows])
        else:
            cursor.execute(table.add, [list(column) for column in zip(*rows, strict=True)])


def _places(article: Article) -> tuple[Place, ...]:
    return (
        Margin(Dimension.TOTAL, ""),
        Margin(Dimension.SOURCE, str(article.source_id)),
        Margin(Dimension.LANGUAGE, article.language),
        Crossing(0, 0),
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

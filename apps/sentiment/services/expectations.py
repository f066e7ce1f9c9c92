"""What is expected of hours and days is written down when they close, for the bands of charts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, OuterRef, Subquery

from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import BucketSize, Dimension, Expectation, Measure, Monitor, Rule, RuleKind, begin_of
from apps.sentiment.services.watching import CLOSES_AFTER, MOST_BUCKETS_A_TICK, MOST_CAUGHT_UP, SCORED_WITHIN

SIZES = (BucketSize.HOUR, BucketSize.DAY)
MEASURES = (Measure.ARTICLES, Measure.NEGATIVE)
DIMENSIONS = (Dimension.TOTAL, Dimension.TOPIC, Dimension.ENTITY)
MOST_SERIES = 300  # of a monitor, beside its total and by measure: those of which most is expected
Said = tuple[Rule, Verdict]
"""A verdict, and which counts it is about."""


@dataclass(frozen=True)
class Due:
    """Buckets of a monitor that have closed since: their ends, from the first to the last."""

    monitor: Monitor
    seconds: int
    first_end: datetime
    last_end: datetime


def due(now: datetime) -> list[Due]:
    """At most 100 buckets of all monitors, those that wait longest first; what a downtime left out follows in order."""
    found: list[Due] = []
    room = MOST_BUCKETS_A_TICK
    for seconds in SIZES:
        size = timedelta(seconds=seconds)
        closed = begin_of(now - CLOSES_AFTER - SCORED_WITHIN, seconds)
        newest = Expectation.objects.filter(
            monitor=OuterRef("pk"), dimension=Dimension.TOTAL, key="", seconds=seconds, measure=Measure.ARTICLES
        ).order_by("-start_at")
        rows = Monitor.objects.annotate(newest=Subquery(newest.values("start_at")[:1]))
        for monitor in rows.order_by(F("newest").asc(nulls_first=True), "pk"):
            until = closed - size if monitor.newest is None else max(monitor.newest + size, closed - MOST_CAUGHT_UP)
            many = min(room, (closed - until) // size)
            if many > 0:
                found.append(Due(monitor, seconds, until + size, until + many * size))
                room -= many
    return found


def questions(wanted: Due) -> list[Rule]:
    """What is asked of the detectors, as rules that nobody has made and that raise no alert."""
    return [
        Rule(
            monitor=wanted.monitor,
            kind=RuleKind.SURGE,
            measure=measure,
            seconds=wanted.seconds,
            dimension=dimension,
            options={},
        )
        for measure in MEASURES
        for dimension in DIMENSIONS
    ]


def record_expectations(wanted: Due, end_at: datetime, said: Sequence[Said]) -> None:
    """Write down what was said of one bucket; a second time changes nothing."""
    start_at = end_at - timedelta(seconds=wanted.seconds)
    rows = [
        Expectation(
            monitor=wanted.monitor,
            dimension=rule.dimension,
            key=verdict.key,
            seconds=wanted.seconds,
            measure=rule.measure,
            start_at=start_at,
            expected=verdict.expected,
            low=verdict.low,
            high=verdict.high,
        )
        for measure in MEASURES
        for rule, verdict in _kept([each for each in said if each[0].measure == measure])
    ]
    Expectation.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)


def _kept(said: Iterable[Said]) -> list[Said]:
    """The total, and of the others those of which most is expected."""
    every = list(said)
    totals = [each for each in every if each[0].dimension == Dimension.TOTAL]
    others = [each for each in every if each[0].dimension != Dimension.TOTAL and each[1].expected is not None]
    others.sort(key=lambda each: (-(each[1].expected or 0.0), each[0].dimension, each[1].key))
    return totals + others[:MOST_SERIES]

"""What rules say becomes alerts: opened once, moved by one course, explained when they fire."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.db.models import Q
from redis import RedisError

from apps.sentiment.alerting.course import FIRING, INACTIVE, PENDING, RESOLVED, Course, step
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Alert, AlertEvent, Article, Rule, ScoringState, begin_of
from apps.sentiment.models.rules import ON_ARRIVAL, ON_BUCKETS
from apps.sentiment.selectors_alerts import names_of
from apps.sentiment.services.explaining import brief
from core.queue import Task, enqueue

WATCH = Task("workers.watch", "io")
CLOSES_AFTER = timedelta(seconds=10)  # articles that arrived before the end are stored by then
SCORED_WITHIN = timedelta(seconds=45)  # after the end; what is scored later counts, but no rule waits for it
MOST_BUCKETS_A_TICK = 100  # of one rule that catches up
MOST_CAUGHT_UP = timedelta(days=30)
VERDICTS_KEPT = 20
MOST_EXPLAINED = 50  # alerts of one rule at one tick, the strongest
ARRIVED_SECONDS = 2  # in which arrivals of one monitor wake one worker
ARRIVAL_KEPT_MINUTES = 60
LATE_AFTER = timedelta(minutes=5)  # after the bucket closed: found after a downtime


LOOKS_AT_ARRIVALS = Q(kind__in=ON_ARRIVAL) | Q(kind="static", hold_minutes=0)


def due_on_arrival(monitor_id: int) -> list[int]:
    """Rules of a monitor that look at what arrives."""
    rows = Rule.objects.filter(LOOKS_AT_ARRIVALS, monitor_id=monitor_id, is_enabled=True)
    return list(rows.order_by("id").values_list("pk", flat=True))


def due_rules(now: datetime) -> list[int]:
    """Rules whose next bucket may have closed, or that look at what arrives and is silent."""
    rows = Rule.objects.filter(is_enabled=True).order_by("id")
    found = []
    for pk, kind, seconds, until in rows.values_list("pk", "kind", "seconds", "evaluated_until"):
        closed = begin_of(now - CLOSES_AFTER, seconds)
        if kind not in ON_BUCKETS or until is None or until < closed or until > now + timedelta(seconds=seconds):
            found.append(pk)
    return found


@contextmanager
def rule_in_hand(pk: int) -> Iterator[Rule | None]:
    """The rule, locked until the end, so that it is judged by one at a time; None when another has it, or it is off."""
    with transaction.atomic():
        rows = Rule.objects.select_for_update(skip_locked=True, of=("self",)).select_related("monitor__workspace")
        yield rows.filter(pk=pk, is_enabled=True).first()


def ends_due(rule: Rule, now: datetime) -> list[datetime]:
    """The ends of the buckets that are to be judged now, the earliest first.

    A clock that was put back finds none and begins anew; what lies too far in the past is left out.
    """
    size = timedelta(seconds=rule.seconds)
    closed = begin_of(now - CLOSES_AFTER, rule.seconds)
    until = rule.evaluated_until
    if until is None or until > now + size:  # never judged, or the clock was put back
        Rule.objects.filter(pk=rule.pk).update(evaluated_until=closed)
        return []
    until = max(until, begin_of(closed - MOST_CAUGHT_UP, rule.seconds))
    ends = [until + (at + 1) * size for at in range(min(MOST_BUCKETS_A_TICK, (closed - until) // size))]
    while ends and _is_read_yet(rule, ends[-1], now):
        ends.pop()
    return ends


def _is_read_yet(rule: Rule, end: datetime, now: datetime) -> bool:
    """Whether articles of the bucket still wait for a version, which is waited for a while."""
    if not rule.needs_scores or now >= end + SCORED_WITHIN:
        return False
    rows = Article.objects.filter(monitor_id=rule.monitor_id, scoring=ScoringState.WAITING, is_history=False)
    begin = end - timedelta(seconds=rule.seconds)
    return rows.filter(received_at__gte=begin, received_at__lt=end).exists()


Explain = Callable[[Alert, Verdict, datetime], dict[str, Any]]


def record(
    rule: Rule,
    verdicts: Sequence[Verdict],
    at: datetime,
    *,
    explain: Explain,
    now: datetime,
    moves_only_up: bool = False,
) -> list[Alert]:
    """Move the alerts of a rule by what was said at `at` (the end of a bucket); those that have just fired come back.

    `moves_only_up`: what does not hold is left alone, because the bucket still fills.
    """
    open_alerts = {each.key: each for each in Alert.objects.filter(rule=rule, state__in=[PENDING, FIRING])}
    by_key = {each.key: each for each in verdicts}
    new = [key for key, each in by_key.items() if each.holds and key not in open_alerts]
    new.sort(key=lambda key: -(by_key[key].strength or 0))
    names = names_of(rule, new) if new else {}
    fired: list[Alert] = []
    taken = closed_by_hand(rule, new, at)
    new = [key for key in new if key not in taken]
    for key in [*new, *(key for key in open_alerts if key in by_key)]:
        verdict, alert = by_key[key], open_alerts.get(key)
        if moves_only_up and not verdict.holds:
            continue
        before = course_of(alert)
        after = step(before, verdict.holds, at, hold_seconds=60 * rule.hold_minutes, keep_seconds=keep_seconds_of(rule))
        if after == before:
            continue
        alert = _moved(rule, alert, after, key, names.get(key, key), now)
        if alert is None:
            continue
        if before.state != after.state:
            _changed(alert, before, after, at)
        if after.state == FIRING and before.state != FIRING:
            fired.append(_fired(alert, verdict, at, explain if len(fired) < MOST_EXPLAINED else _briefly))
    return fired


def closed_by_hand(rule: Rule, keys: Sequence[str], at: datetime) -> set[str]:
    """Of these series those whose last alert a person has closed while it held, and that have held since without a break."""
    rows = Alert.objects.filter(rule=rule, key__in=keys, state=RESOLVED).exclude(resolved_by=None)
    held = rows.filter(last_true_at__gte=at - timedelta(seconds=rule.seconds))
    found = set(held.values_list("key", flat=True))
    held.update(last_true_at=at)
    return found


def keep_seconds_of(rule: Rule) -> int:
    """How long a firing alert stays after it last held; articles come one by one, so rules on arrival keep theirs for a while."""
    least = ARRIVAL_KEPT_MINUTES if rule.kind in ON_ARRIVAL else 0
    return 60 * max(rule.keep_minutes, least)


def course_of(alert: Alert | None) -> Course:
    """Where an alert stands, as the course of it."""
    if alert is None:
        return Course()
    return Course(alert.state, alert.started_at, alert.last_true_at, alert.fired_at)


def _moved(rule: Rule, alert: Alert | None, after: Course, key: str, series: str, now: datetime) -> Alert | None:
    """The alert where it stands now, stored; None where a pending one has lapsed."""
    if after.state == INACTIVE:
        if alert is not None:
            alert.delete()
        return None
    assert after.started_at is not None and after.last_true_at is not None
    if alert is None:
        alert = Alert(
            monitor=rule.monitor, rule=rule, rule_name=rule.name, kind=rule.kind, severity=rule.severity,
            dimension=rule.dimension, key=key, series=series[:300], within=rule.within, is_late=now - after.last_true_at > LATE_AFTER,
            created_at=now,
        )  # fmt: skip
    alert.state, alert.started_at, alert.last_true_at = after.state, after.started_at, after.last_true_at
    alert.fired_at = after.fired_at
    alert.save() if alert.pk is None else alert.save(update_fields=["state", "started_at", "last_true_at", "fired_at"])
    return alert


def _changed(alert: Alert, before: Course, after: Course, at: datetime) -> None:
    """The steps that a move took."""
    if before.state == INACTIVE:
        AlertEvent.objects.create(alert=alert, kind=AlertEvent.Kind.STARTED, at=at)
    if after.state == FIRING:
        AlertEvent.objects.create(alert=alert, kind=AlertEvent.Kind.FIRED, at=at)
    if after.state == RESOLVED:
        Alert.objects.filter(pk=alert.pk).update(resolved_at=at)
        AlertEvent.objects.create(alert=alert, kind=AlertEvent.Kind.RESOLVED, at=at)


def _fired(alert: Alert, verdict: Verdict, at: datetime, explain: Explain) -> Alert:
    rule = alert.rule
    assert rule is not None
    last = at - timedelta(microseconds=1)  # the end of a bucket is the begin of the next
    alert.bucket_at = begin_of(last, rule.seconds) if rule.kind in ON_BUCKETS else at
    alert.strength = verdict.strength
    alert.explanation = explain(alert, verdict, at)
    alert.save(update_fields=["bucket_at", "strength", "explanation"])
    return alert


def _briefly(alert: Alert, verdict: Verdict, at: datetime) -> dict[str, Any]:
    """Of the many that fire at once the weaker ones are told by their figures alone."""
    assert alert.rule is not None
    begin = begin_of(at - timedelta(microseconds=1), alert.rule.seconds)
    return brief(alert, verdict, begin, at)


def judged(
    rule: Rule,
    verdicts: Sequence[Verdict],
    *,
    now: datetime,
    until: datetime | None = None,
    memory: bytes | None = None,
) -> None:
    """Note how far a rule was judged and what it said last."""
    strongest = sorted(verdicts, key=lambda each: -(each.strength or 0))[:VERDICTS_KEPT]
    rule.verdicts, rule.evaluated_at, rule.error = [each.plain() for each in strongest], now, ""
    columns = ["verdicts", "evaluated_at", "error", "seen_article"]
    if until is not None:
        rule.evaluated_until = until
        columns.append("evaluated_until")
    if memory is not None:
        rule.memory = memory
        columns.append("memory")
    Rule.objects.filter(pk=rule.pk).update(**{name: getattr(rule, name) for name in columns})


def not_judged(pk: int, reason: str) -> None:
    """A rule that cannot be judged says why; it is tried again, and no other waits for it."""
    Rule.objects.filter(pk=pk).update(error=reason)


def arrived(monitor_id: int) -> None:
    """Something arrived or was scored: rules that look at that are judged at once."""
    if due_on_arrival(monitor_id) and _is_first(monitor_id):
        enqueue(WATCH, monitor_id)


def _is_first(monitor_id: int) -> bool:
    """Whether nothing arrived a moment ago; what comes now is seen by the look that was asked for then, or by the next tick."""
    try:
        return bool(cache.add(f"arrived-{monitor_id}", 1, ARRIVED_SECONDS))
    except RedisError:
        return True

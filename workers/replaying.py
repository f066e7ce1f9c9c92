"""Rules run over what was counted in a past span: the same detectors and the same course as live, and nobody is told."""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from apps.sentiment import services
from apps.sentiment.alerting.course import FIRING, Course, step
from apps.sentiment.alerting.rule_options import arrival_of
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Clock, Dimension, Replay, Rule, RuleKind, begin_of
from apps.sentiment.models.rules import ON_ARRIVAL
from apps.sentiment.selectors_alerts import articles_by, names_of
from apps.sentiment.services.arrivals import first_of_story, fitting, holds_for, series_of_hit
from apps.sentiment.services.watching import keep_seconds_of
from core.jobs.run import Run
from workers.judging import judge_span

MOST_ALERTS = 500
STRIDE = 200  # buckets judged between two looks at whether to go on


@dataclass
class Raised:
    """An alert that would have been raised."""

    rule: str
    kind: str
    severity: str
    key: str
    started_at: datetime
    fired_at: datetime
    ended_at: datetime | None
    verdict: dict[str, Any]
    series: str = ""
    articles: list[int] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "rule": self.rule, "kind": self.kind, "severity": self.severity, "key": self.key, "series": self.series,
            "started_at": self.started_at.isoformat(), "fired_at": self.fired_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None, "verdict": self.verdict, "articles": self.articles,
        }  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """What was said of some series at one time, and the articles it was about, if any."""

    at: datetime
    verdicts: Sequence[Verdict]
    articles: Sequence[int] = ()


def run_replay(run: Run) -> dict[str, Any]:
    """The runner of replays and back-tests."""
    replay = Replay.objects.select_related("monitor__workspace").get(job=run.job)
    rules = [Rule(monitor=replay.monitor, **columns) for columns in replay.rules]
    raised: list[Raised] = []
    for at, rule in enumerate(rules):
        run.progress(at, len(rules), unit="rules")
        raised += replayed(rule, replay.begin_at, replay.end_at, run.check, clock=replay.clock)
    run.progress(len(rules), len(rules), unit="rules", now=True)
    result = summary(raised, replay.begin_at, replay.end_at)
    with run.fenced():
        services.finish_replay(replay=replay, result=result, digest=digest_of(result))
    return {"alerts": result["alert_count"]}


def replayed(
    rule: Rule,
    begin: datetime,
    end: datetime,
    check: Callable[[], None] = lambda: None,
    *,
    clock: str = Clock.RECEIVED,
) -> list[Raised]:
    """The alerts of one rule over [begin, end) of a clock, in the order they fire; `check` may raise to stop."""
    if rule.kind == RuleKind.NO_DATA:
        judgements = _silences(rule, begin, end, clock)
    elif rule.kind in ON_ARRIVAL:
        judgements = _arrivals(rule, begin, end, clock)
    else:
        judgements = _buckets(rule, begin, end, clock)
    raised = _followed(rule, judgements, check)
    names = names_of(rule, sorted({each.key for each in raised}))
    return [replace(each, series=names.get(each.key, each.key)) for each in raised]


def _followed(rule: Rule, judgements: Iterator[Judgement], check: Callable[[], None]) -> list[Raised]:
    courses: dict[str, Course] = {}
    open_ones: dict[str, Raised] = {}
    raised: list[Raised] = []
    for number, judgement in enumerate(judgements):
        if number % STRIDE == 0:
            check()
        for verdict in judgement.verdicts:
            before = courses.get(verdict.key, Course())
            after = step(
                before,
                verdict.holds,
                judgement.at,
                hold_seconds=60 * rule.hold_minutes,
                keep_seconds=keep_seconds_of(rule),
            )
            courses[verdict.key] = after
            if after.state == FIRING and before.state != FIRING:
                open_ones[verdict.key] = _raised(rule, after, verdict, judgement)
                raised.append(open_ones[verdict.key])
            elif after.state == FIRING and judgement.articles:
                open_ones[verdict.key].articles += judgement.articles
            elif before.state == FIRING and after.state != FIRING:
                open_ones.pop(verdict.key).ended_at = judgement.at
    return raised


def _raised(rule: Rule, course: Course, verdict: Verdict, judgement: Judgement) -> Raised:
    assert course.started_at is not None and course.fired_at is not None
    return Raised(
        rule=rule.name,
        kind=rule.kind,
        severity=rule.severity,
        key=verdict.key,
        started_at=course.started_at,
        fired_at=course.fired_at,
        ended_at=None,
        verdict=verdict.plain(),
        articles=list(judgement.articles),
    )


def _buckets(rule: Rule, begin: datetime, end: datetime, clock: str) -> Iterator[Judgement]:
    """The buckets that lie in the span, each judged at its end by what came before."""
    size = timedelta(seconds=rule.seconds)
    first = begin_of(begin, rule.seconds)
    first = (first if first >= begin else first + size) + size
    last = begin_of(end, rule.seconds)
    if first <= last:
        for found in judge_span(rule, first, last, clock=clock):
            yield Judgement(found.at, found.verdicts)


def _arrivals(rule: Rule, begin: datetime, end: datetime, clock: str) -> Iterator[Judgement]:
    """Articles one by one as they came; a series is over when its time without a further one has run out."""
    options = arrival_of(rule.options, rule.kind)
    at = f"{clock}_at"
    rows = fitting(rule, options, articles_by(rule.monitor, clock, begin, end)).order_by(at, "id")
    found = [each for each in rows.iterator(chunk_size=500) if holds_for(options, each)]
    if rule.kind == RuleKind.NEW_STORY:
        found = first_of_story(options, found, clock=clock)
    last: dict[str, datetime] = {}
    keep = timedelta(seconds=keep_seconds_of(rule))
    for each in found:
        moment = getattr(each, at)
        yield from _run_out(last, keep, moment)
        key = series_of_hit(rule.kind, each)
        last[key] = moment
        yield Judgement(moment, [Verdict(key, True, 1.0, strength=1.0, method=rule.kind)], [each.pk])
    yield from _run_out(last, keep, end)


def _run_out(last: dict[str, datetime], keep: timedelta, now: datetime) -> Iterator[Judgement]:
    for key in [key for key, at in last.items() if at + keep <= now]:
        yield Judgement(last.pop(key) + keep, [Verdict(key, False)])


def _silences(rule: Rule, begin: datetime, end: datetime, clock: str) -> Iterator[Judgement]:
    """Gaps between articles, by source or of all."""
    minutes = rule.options["minutes"]
    allowed = timedelta(minutes=minutes)
    rows = articles_by(rule.monitor, clock, begin - allowed, end)
    if rule.key:
        rows = rows.filter(source_id=int(rule.key))
    by_source = rule.dimension == Dimension.SOURCE
    times: dict[str, list[datetime]] = {}
    for at, source in rows.order_by(f"{clock}_at").values_list(f"{clock}_at", "source"):
        times.setdefault(str(source) if by_source else "", []).append(at)
    found = []
    for key, seen in times.items():
        for one, following in itertools.pairwise([*seen, end]):
            if following - one >= allowed and one + allowed >= begin:
                verdict = Verdict(key, True, float(minutes), float(minutes), strength=1.0, method=rule.kind)
                found.append(Judgement(one + allowed, [verdict]))
                if following < end:
                    found.append(Judgement(following, [Verdict(key, False)]))
    yield from sorted(found, key=lambda each: (each.at, each.verdicts[0].key))


def summary(raised: Sequence[Raised], begin: datetime, end: datetime) -> dict[str, Any]:
    """What a replay found: how many, how often a week, and the alerts themselves."""
    weeks = (end - begin) / timedelta(weeks=1)
    ordered = sorted(raised, key=lambda each: (each.fired_at, each.rule, each.key))
    by_rule = Counter(each.rule for each in ordered)
    return {
        "alert_count": len(ordered),
        "a_week": round(len(ordered) / weeks, 3) if weeks else 0.0,
        "by_rule": dict(sorted(by_rule.items())),
        "alerts": [each.plain() for each in ordered[:MOST_ALERTS]],
        "left_out": max(0, len(ordered) - MOST_ALERTS),
    }


def digest_of(result: dict[str, Any]) -> str:
    """The same for the same alerts at the same times with the same figures."""
    return hashlib.sha256(json.dumps(result, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

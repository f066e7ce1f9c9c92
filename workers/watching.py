"""Rules judged when their buckets close and when articles arrive; people are told afterwards."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import OperationalError
from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Alert, Rule, RuleKind, begin_of
from apps.sentiment.models.rules import ON_ARRIVAL
from apps.sentiment.selectors_alerts import silent_since
from apps.sentiment.services import arrivals, watching
from core.errors import Refused
from workers.expecting import expect
from workers.explaining import explain_counts, explain_hits, explain_silence
from workers.judging import judge_span

logger = logging.getLogger(__name__)

MOST_PARTS = 10  # that a rule on arrival looks through at a tick


def watch(now: datetime | None = None) -> None:
    """Judge all rules that are due, tell people, and write down what is expected of what has closed."""
    now = now or timezone.now()
    _judge(watching.due_rules(now), now)
    services.tell_due(now)
    expect(now)


def watch_arrivals(monitor_id: int, now: datetime | None = None) -> None:
    """Judge the rules of a monitor that look at what arrives, and tell people."""
    now = now or timezone.now()
    _judge(watching.due_on_arrival(monitor_id), now)
    services.tell_due(now)


def _judge(rules: Sequence[int], now: datetime) -> None:
    """One by one: a rule that cannot be judged keeps no other from it."""
    for pk in rules:
        try:
            watch_rule(pk, now)
        except OperationalError:
            raise
        except Refused as refused:
            watching.not_judged(pk, refused.message)
        except Exception as error:
            logger.exception("rule %s cannot be judged", pk)
            watching.not_judged(pk, f"{type(error).__name__}: {error}"[:2_000])


def watch_rule(pk: int, now: datetime) -> list[Alert]:
    """Judge one rule; the alerts that have just fired."""
    with watching.rule_in_hand(pk) as rule:
        if rule is None:
            return []
        if rule.kind in ON_ARRIVAL:
            return _arrivals(rule, now)
        if rule.kind == RuleKind.NO_DATA:
            return _silence(rule, now)
        return _closed(rule, now) + _running(rule, now)


def _closed(rule: Rule, now: datetime) -> list[Alert]:
    """The buckets that have closed since, in order."""
    ends = watching.ends_due(rule, now)
    if not ends:
        return []
    fired: list[Alert] = []
    for found in judge_span(rule, ends[0], ends[-1]):
        fired += watching.record(rule, found.verdicts, found.at, explain=explain_counts, now=now)
    watching.judged(rule, found.verdicts, until=ends[-1], memory=found.memory, now=now)
    return fired


def _running(rule: Rule, now: datetime) -> list[Alert]:
    """A fixed number that is reached already need not wait for the end of its bucket."""
    if rule.kind != RuleKind.STATIC or rule.hold_minutes or rule.options.get("direction") == "below":
        return []
    end = begin_of(now, rule.seconds) + timedelta(seconds=rule.seconds)
    (found,) = judge_span(rule, end, end)
    return watching.record(rule, found.verdicts, now, explain=explain_counts, now=now, moves_only_up=True)


def _arrivals(rule: Rule, now: datetime) -> list[Alert]:
    fired: list[Alert] = []
    for _part in range(MOST_PARTS):
        found = arrivals.look(rule, now)
        verdicts = arrivals.verdict_of(rule, found.hits)
        fired += watching.record(rule, verdicts, now, explain=explain_hits(found.hits), now=now)
        arrivals.note_hits(rule, found.hits)
        rule.seen_article = found.seen_article
        if verdicts:
            rule.verdicts = [each.plain() for each in verdicts]
        if found.is_all:
            break
    watching.record(rule, arrivals.quiet_verdicts(rule, now), now, explain=explain_hits([]), now=now)
    watching.judged(rule, rule_verdicts(rule), now=now)
    return fired


def rule_verdicts(rule: Rule) -> list[Verdict]:
    """What a rule said last; kept while nothing new arrives."""
    return [Verdict(**each) for each in rule.verdicts]


def _silence(rule: Rule, now: datetime) -> list[Alert]:
    minutes = rule.options["minutes"]
    verdicts = [
        Verdict(key, silent >= minutes, round(silent, 1), float(minutes), strength=silent / minutes, method=rule.kind)
        for key, since in silent_since(rule).items()
        for silent in [(now - since).total_seconds() / 60]
    ]
    fired = watching.record(rule, verdicts, now, explain=explain_silence, now=now)
    watching.judged(rule, verdicts, now=now)
    return fired

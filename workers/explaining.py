"""The explanation of an alert that has just fired: what the detectors say besides, and what was written."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from apps.sentiment.alerting.verdicts import Verdict
from apps.sentiment.models import Alert, Article, Measure, Rule, RuleKind, begin_of
from apps.sentiment.services.arrivals import series_of_hit
from apps.sentiment.services.explaining import explain, with_newest
from apps.sentiment.services.watching import Explain
from workers.judging import judge_span

LIKELY_BELOW = 0.01  # p-value from which on a move counts as one


def explain_counts(alert: Alert, verdict: Verdict, at: datetime) -> dict[str, Any]:
    """Of a rule on buckets; the span holds what made it pending too."""
    rule = alert.rule
    assert rule is not None
    last = begin_of(at - timedelta(microseconds=1), rule.seconds)
    begin = min(begin_of(alert.started_at - timedelta(microseconds=1), rule.seconds), last)
    end = last + timedelta(seconds=rule.seconds)
    return explain(alert, verdict, begin, end, moved=moved(alert, rule, end))


def moved(alert: Alert, rule: Rule, end: datetime) -> dict[str, Any]:
    """Which of volume and negative share is out of the ordinary in the bucket that ends at `end`, each by a test of its own."""
    volume = _asked(alert, rule, end, RuleKind.SURGE, Measure.ARTICLES)
    share = _asked(alert, rule, end, RuleKind.SHARE, Measure.NEGATIVE)
    names = [name for name, found in (("volume", volume), ("share", share)) if _stands_out(found)]
    return {
        "what": "both" if len(names) == 2 else names[0] if names else "neither",
        "volume": volume.plain() if volume else None,
        "share": share.plain() if share else None,
    }


def _asked(alert: Alert, rule: Rule, end: datetime, kind: RuleKind, measure: Measure) -> Verdict | None:
    asked = Rule(
        monitor=rule.monitor, kind=kind, measure=measure, seconds=rule.seconds, dimension=alert.dimension, key=alert.key,
        within=alert.within,
    )  # fmt: skip
    (found,) = judge_span(asked, end, end)
    return next((each for each in found.verdicts if each.key == alert.key), None)


def _stands_out(found: Verdict | None) -> bool:
    return found is not None and found.p_value is not None and found.p_value < LIKELY_BELOW


def explain_hits(hits: Sequence[Article]) -> Explain:
    """Of a rule on arrival: the articles for which it held."""

    def explained(alert: Alert, verdict: Verdict, at: datetime) -> dict[str, Any]:
        mine = [each for each in hits if series_of_hit(alert.kind, each) == alert.key]
        rows = with_newest(Article.objects.filter(pk__in=[each.pk for each in mine])).select_related("source", "story")
        found = list(rows.defer("search").order_by("-id"))
        begin = min((each.received_at for each in found), default=at)
        return explain(alert, verdict, begin, at, articles=found)

    return explained


def explain_silence(alert: Alert, verdict: Verdict, at: datetime) -> dict[str, Any]:
    """Of a rule that watches for silence: the span without articles."""
    return explain(alert, verdict, at - timedelta(minutes=verdict.observed or 0), at)

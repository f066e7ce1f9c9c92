"""Who is told of alerts, and when: grouped, not while silenced, muted or inhibited, again while nobody answers, once when it is over."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q

from apps.notifications.messages import Message
from apps.notifications.models import Receiver, Severity
from apps.notifications.services import notify, send
from apps.sentiment.alerting.quiet import is_muted
from apps.sentiment.models import Alert, AlertEvent, AlertState, Grouping, Rule, Silence
from apps.sentiment.selectors_alerts import is_silenced
from core.errors import Refused
from words import say

logger = logging.getLogger(__name__)

SILENCED, MUTED, INHIBITED = "silenced", "muted", "inhibited"
FIRED, AGAIN, ESCALATED, OVER = "alert.fired", "alert.again", "alert.escalated", "alert.resolved"
GRAVITY = [Severity.INFO, Severity.WARNING, Severity.CRITICAL]
LINES = 20  # alerts that a message names


class _Word(NamedTuple):
    """Something that is due to be said of an alert."""

    kind: str
    alert: Alert


def tell_due(now: datetime) -> int:
    """Say everything that is due; the number of messages. What is said is stored with the alert in one transaction."""
    rows = Alert.objects.filter(Q(state=AlertState.FIRING) | Q(state=AlertState.RESOLVED, end_told_at=None))
    monitors = list(rows.order_by().values_list("monitor", flat=True).distinct())
    count = 0
    for monitor in monitors:
        try:
            count += _tell_monitor(monitor, now)
        except Refused as refused:  # of this monitor alone: nothing of it was said
            logger.error("alerts of monitor %s cannot be told: %s", monitor, refused.message)
    return count


@transaction.atomic
def _tell_monitor(monitor_id: int, now: datetime) -> int:
    rows = Alert.objects.select_for_update(skip_locked=True, of=("self",)).filter(monitor_id=monitor_id)
    rows = rows.filter(Q(state=AlertState.FIRING) | Q(state=AlertState.RESOLVED, end_told_at=None))
    rows = rows.select_related("monitor__workspace", "rule__created_by", "assigned_to").order_by("id")
    alerts = list(rows.defer("explanation", "evidence"))
    silences = list(Silence.objects.filter(monitor_id=monitor_id, begin_at__lte=now, end_at__gt=now))
    firing = set(Alert.objects.filter(monitor_id=monitor_id, state=AlertState.FIRING).values_list("rule", flat=True))
    inhibitors = _inhibitors({each.rule_id for each in alerts if each.rule_id})
    due: list[_Word] = []
    for alert in alerts:
        kind = _due(alert, now)
        if not kind:
            continue
        reason = "" if kind == OVER else _held_back(alert, silences, firing & inhibitors[alert.rule_id or 0], now)
        if reason:
            _hold_back(alert, reason, now)
        elif kind == OVER and not _tells_end(alert):
            Alert.objects.filter(pk=alert.pk).update(end_told_at=now)
        else:
            due.append(_Word(kind, alert))
    return _say(due, now)


def _due(alert: Alert, now: datetime) -> str:
    """What is due to be said of an alert, if anything."""
    if alert.state == AlertState.RESOLVED:
        return OVER
    rule = alert.rule
    if rule is None or alert.fired_at is None:
        return ""
    if alert.told_at is None:
        first = max(alert.fired_at, alert.created_at)
        return FIRED if now >= first + timedelta(seconds=rule.wait_seconds) else ""
    if alert.acknowledged_at is not None:
        return ""
    open_for = now - max(alert.fired_at, alert.created_at)
    if rule.escalate_minutes and alert.escalated_at is None and open_for >= timedelta(minutes=rule.escalate_minutes):
        return ESCALATED
    repeats = rule.repeat_minutes and now - alert.told_at >= timedelta(minutes=rule.repeat_minutes)
    return AGAIN if repeats else ""


def _tells_end(alert: Alert) -> bool:
    return bool(alert.told_count and alert.rule is not None and alert.rule.tells_resolved)


def _inhibitors(rules: set[int]) -> dict[int, set[int]]:
    """Rule -> the rules that keep it quiet while they fire."""
    found: dict[int, set[int]] = defaultdict(set)
    links = Rule.inhibited_by.through.objects.filter(from_rule_id__in=rules)
    for one, other in links.values_list("from_rule_id", "to_rule_id"):
        found[one].add(other)
    return found


def _held_back(alert: Alert, silences: Iterable[Silence], inhibited: set[int], now: datetime) -> str:
    """Why nobody is told now; empty when nothing stands against it."""
    assert alert.rule is not None
    if is_silenced(alert, silences, now):
        return SILENCED
    if is_muted(alert.rule.mute_times, now, alert.monitor.time_zone):
        return MUTED
    return INHIBITED if inhibited else ""


def _hold_back(alert: Alert, reason: str, now: datetime) -> None:
    if alert.held_back != reason:
        Alert.objects.filter(pk=alert.pk).update(held_back=reason)
        AlertEvent.objects.create(alert=alert, kind=AlertEvent.Kind.HELD_BACK, at=now, detail=reason)


def _say(due: Sequence[_Word], now: datetime) -> int:
    count = 0
    receivers = _receivers({word.alert.rule_id for word in due if word.alert.rule_id})
    alerts = {word.alert.pk: word.alert for word in due}
    for number, explanation in Alert.objects.filter(pk__in=alerts).values_list("pk", "explanation"):
        alerts[number].explanation = explanation  # only of those that are told, and at once
    for word in due:
        _note(word, now)
    groups: dict[tuple[str, Any, int | None], list[Alert]] = defaultdict(list)
    for word in due:
        assert word.alert.rule is not None
        to = receivers[word.alert.rule_id or 0, word.kind == ESCALATED]
        for receiver in to:
            groups[word.kind, _group(word.alert), receiver.pk].append(word.alert)
        if not to:
            groups[word.kind, _group(word.alert), None].append(word.alert)
    by_id = {receiver.pk: receiver for found in receivers.values() for receiver in found}
    for (kind, _place, pk), told in groups.items():
        message = message_of(kind, told)
        if pk is None:
            _notice(told[0], message)
        else:
            send(by_id[pk], message)
        count += 1
    return count


def _note(word: _Word, now: datetime) -> None:
    """The alert remembers that it was told, and its life has a step more."""
    alert, columns = word.alert, dict[str, Any](held_back="")
    if word.kind == OVER:
        columns["end_told_at"] = now
    else:
        columns |= {"told_at": now, "told_count": alert.told_count + 1}
    if word.kind == ESCALATED:
        columns["escalated_at"] = now
    Alert.objects.filter(pk=alert.pk).update(**columns)
    alert.told_count = columns.get("told_count", alert.told_count)
    kind = AlertEvent.Kind.ESCALATED if word.kind == ESCALATED else AlertEvent.Kind.TOLD
    AlertEvent.objects.create(alert=alert, kind=kind, at=now, detail=word.kind)


def _receivers(rules: set[int]) -> dict[tuple[int, bool], list[Receiver]]:
    """(rule, whether it escalates) -> who is told; a rule that names nobody to escalate to tells the same again."""
    found: dict[tuple[int, bool], list[Receiver]] = defaultdict(list)
    for rule in Rule.objects.filter(pk__in=rules).prefetch_related("receivers__workspace", "escalates_to__workspace"):
        usual = [each for each in rule.receivers.all() if each.is_enabled]
        found[rule.pk, False] = usual
        found[rule.pk, True] = [each for each in rule.escalates_to.all() if each.is_enabled] or usual
    return found


def _group(alert: Alert) -> tuple[Any, ...]:
    """Alerts of one group are told in one message."""
    assert alert.rule is not None
    if alert.rule.grouping == Grouping.ALERT:
        return ("alert", alert.pk)
    return ("rule", alert.rule_id) if alert.rule.grouping == Grouping.RULE else ("monitor", alert.monitor_id)


def message_of(kind: str, alerts: Sequence[Alert]) -> Message:
    """What is said of alerts of one monitor; one alert with its figures, several as a list."""
    first, monitor = alerts[0], alerts[0].monitor
    severity = max((Severity(each.severity) for each in alerts), key=GRAVITY.index)
    facts: list[tuple[str, str]] = [(say("Monitor"), monitor.name)]
    lines = [_line(each) for each in alerts[:LINES]]
    if len(alerts) > LINES:
        lines.append(say("And {count} more.", count=len(alerts) - LINES))
    if any(each.is_late for each in alerts) and kind == FIRED:
        lines.append(say("This was found later than usual, because nobody was watching for a while."))
    single = len(alerts) == 1
    if single:
        lines = [*_figures(first), *lines[1:]]
        facts += [(say("Rule"), first.rule_name), *([(say("Series"), first.series)] if first.series else [])]
    told = "-".join(f"{each.pk}.{each.told_count}" for each in alerts)
    return Message(
        kind=kind,
        event_key=f"{kind}-{hashlib.sha256(told.encode()).hexdigest()[:32]}",
        title=_title(kind, alerts),
        lines=lines,
        facts=facts,
        page=f"monitors/alerts/{first.pk}" if single else f"monitors/{monitor.pk}/alerts",
        severity=severity,
        payload={
            "monitor": {"id": monitor.pk, "name": monitor.name},
            "alert_count": len(alerts),
            "alerts": [_payload(each) for each in alerts[:LINES]],
        },
    )


def _title(kind: str, alerts: Sequence[Alert]) -> str:
    names = {"name": str(alerts[0]), "monitor": alerts[0].monitor.name, "count": len(alerts)}
    single = len(alerts) == 1
    if kind == OVER:
        return say("Over: {name}", **names) if single else say("{count} alerts of {monitor} are over", **names)
    if kind == ESCALATED:
        return (
            say("Nobody has answered: {name}", **names)
            if single
            else say("Nobody has answered {count} alerts of {monitor}", **names)
        )
    if kind == AGAIN:
        return (
            say("Still firing: {name}", **names) if single else say("{count} alerts of {monitor} still fire", **names)
        )
    return say("{name}", **names) if single else say("{count} alerts of {monitor}", **names)


def _line(alert: Alert) -> str:
    zone = ZoneInfo(alert.monitor.time_zone)
    return say("{name} since {at}", name=str(alert), at=f"{alert.started_at.astimezone(zone):%Y-%m-%d %H:%M} ({zone})")


def _figures(alert: Alert) -> list[str]:
    """What an alert's explanation says, in a few lines."""
    found = alert.explanation or {}
    lines = [headline(alert)]
    if limits := found.get("within"):
        lines.append(say("Only articles of: {names}", names=", ".join(limits.values())))
    stories = [each["title"] for each in found.get("stories", [])[:3]]
    if stories:
        lines.append(say("Stories: {titles}", titles="; ".join(stories)))
    terms = [each["text"] for each in found.get("terms", [])[:8]]
    if terms:
        lines.append(say("Terms: {terms}", terms=", ".join(terms)))
    if found.get("syndication", {}).get("is_one_story"):
        lines.append(say("It is mostly one story that spreads."))
    return lines


def headline(alert: Alert) -> str:
    """What was seen, in one sentence."""
    verdict = (alert.explanation or {}).get("verdict", {})
    observed, expected = verdict.get("observed"), verdict.get("expected")
    if alert.kind == "no_data":
        return say("No articles for {minutes} minutes.", minutes=round(observed or 0))
    if alert.kind == "share":
        if expected is None:
            return say("{share:.0%} of the articles are negative.", share=observed or 0)
        return say(
            "{share:.0%} of the articles are negative; {usual:.0%} are usual.", share=observed or 0, usual=expected
        )
    if alert.kind in ("keyword", "new_story"):
        return say("Articles that fit: {count}", count=round(observed or 0))
    if expected is None:
        return say("Counted: {count}", count=round(observed or 0))
    return say("Counted: {count}; expected: {expected:.1f}", count=round(observed or 0), expected=expected)


def _payload(alert: Alert) -> dict[str, Any]:
    """An alert as webhooks tell it."""
    found = alert.explanation or {}
    return {
        "id": alert.pk,
        "rule": alert.rule_name,
        "kind": alert.kind,
        "severity": alert.severity,
        "state": alert.state,
        "dimension": alert.dimension,
        "key": alert.key,
        "series": alert.series,
        "within": found.get("within", {}),
        "started_at": alert.started_at.isoformat(),
        "fired_at": alert.fired_at.isoformat() if alert.fired_at else None,
        "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
        "verdict": found.get("verdict"),
        "moved": (found.get("moved") or {}).get("what"),
        "stories": found.get("stories", []),
        "terms": [each["text"] for each in found.get("terms", [])],
    }


def _notice(alert: Alert, message: Message) -> None:
    """Where a rule names no receiver, whoever made it is told."""
    assert alert.rule is not None
    user = alert.assigned_to or alert.rule.created_by
    if user is not None:
        notify(
            workspace=alert.monitor.workspace, user=user, kind=message.kind, event_key=message.event_key,
            title=message.title, body="\n".join(str(line) for line in message.lines), page=message.page,
        )  # fmt: skip

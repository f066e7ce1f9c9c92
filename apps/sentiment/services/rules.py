"""Rules of a monitor: made, changed, switched and taken away; and silences."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.notifications.models import Receiver, Severity
from apps.sentiment.alerting import rule_options
from apps.sentiment.alerting.quiet import MOST_TIMES, is_mute_time
from apps.sentiment.models import (
    Alert,
    AlertState,
    Article,
    BucketSize,
    Dimension,
    Grouping,
    Measure,
    Monitor,
    Rule,
    RuleKind,
    Silence,
    begin_of,
)
from apps.sentiment.models.rules import ON_ARRIVAL
from apps.sentiment.selectors_alerts import is_key
from apps.sentiment.selectors_cells import names_within
from apps.sentiment.within import Within
from core.access import Actor
from core.errors import Refused, conflict
from words import say

FIELDS = (
    "name", "kind", "severity", "is_enabled", "measure", "seconds", "dimension", "key", "within", "options", "hold_minutes",
    "keep_minutes",
    "grouping", "wait_seconds", "repeat_minutes", "tells_resolved", "escalate_minutes", "mute_times",
)  # fmt: skip
JUDGED_BY = ("kind", "measure", "seconds", "dimension", "key", "within", "options")  # what decides when it holds
CHOICES: dict[str, Sequence[Any]] = {
    "kind": RuleKind.values,
    "severity": Severity.values,
    "measure": Measure.values,
    "seconds": BucketSize.values,
    "dimension": Dimension.values,
    "grouping": Grouping.values,
}
MOST_MINUTES = {"hold_minutes": 10_080, "keep_minutes": 10_080, "repeat_minutes": 43_200, "escalate_minutes": 10_080}
MOST_WAIT_SECONDS = 600
MOST_RULES = 200
Relations = Mapping[str, Sequence[Rule | Receiver]]
"""receivers, escalates_to, inhibited_by"""


@transaction.atomic
def create_rule(*, actor: Actor, monitor: Monitor, relations: Relations | None = None, **columns: Any) -> Rule:
    """A rule that judges what comes from now on; what was before, a back-test shows."""
    if Rule.objects.filter(monitor=monitor).count() >= MOST_RULES:
        raise conflict("too_many_rules", say("A monitor holds at most {most} rules.", most=MOST_RULES))
    rule = Rule(monitor=monitor, created_by=actor.user)
    set_columns(rule, columns)
    _begin(rule)
    _save(rule)
    _relate(rule, relations or {})
    audit(actor=actor, action="rule.create", obj=rule, after=told(rule))
    return rule


@transaction.atomic
def change_rule(*, actor: Actor, rule: Rule, relations: Relations | None = None, **columns: Any) -> Rule:
    """Change what is given. A rule that decides otherwise begins anew: its open alerts are over."""
    found = Rule.objects.select_for_update().select_related("monitor").get(pk=rule.pk)
    before = told(found)
    set_columns(found, columns)
    changed = [name for name in FIELDS if getattr(found, name) != before[name]]
    if set(changed) & set(JUDGED_BY) or ("is_enabled" in changed):
        _begin(found)
        _close_alerts(found)
    if changed:
        _save(found)
        after = {name: getattr(found, name) for name in changed}
        audit(
            actor=actor, action="rule.change", obj=found, before={name: before[name] for name in changed}, after=after
        )
    _relate(found, relations or {})
    return found


@transaction.atomic
def delete_rule(*, actor: Actor, rule: Rule) -> None:
    """Its alerts stay and are over."""
    _close_alerts(rule)
    audit(actor=actor, action="rule.delete", obj=rule, before=told(rule))
    rule.delete()


@transaction.atomic
def add_silence(
    *, actor: Actor, monitor: Monitor, begin_at: datetime, end_at: datetime, reason: str, rule: Rule | None = None,
    dimension: str = "", key: str = "",
) -> Silence:  # fmt: skip
    """Tell nobody of matching alerts in a span of time."""
    if end_at <= begin_at:
        raise Refused("bad_span", say("A silence ends after it begins."), field="end_at")
    if rule is not None and rule.monitor_id != monitor.pk:
        raise Refused("unknown_rule", say("This monitor has no such rule."), field="rule")
    if key and not (dimension and is_key(monitor, dimension, key)):
        raise Refused("unknown_series", say("This monitor has no such series."), field="key")
    made = Silence.objects.create(
        monitor=monitor, rule=rule, dimension=dimension, key=key, begin_at=begin_at, end_at=end_at, reason=reason,
        created_by=actor.user,
    )  # fmt: skip
    audit(actor=actor, action="silence.add", obj=made, after={"reason": reason, "until": end_at.isoformat()})
    return made


@transaction.atomic
def end_silence(*, actor: Actor, silence: Silence) -> None:
    """Tell people again from now on; a silence that has not begun is taken away."""
    now = timezone.now()
    audit(actor=actor, action="silence.end", obj=silence)
    if silence.begin_at >= now:
        silence.delete()
    else:
        Silence.objects.filter(pk=silence.pk, end_at__gt=now).update(end_at=now)


def told(rule: Rule) -> dict[str, Any]:
    """The columns of a rule as plain values."""
    return {name: getattr(rule, name) for name in FIELDS}


def set_columns(rule: Rule, columns: Mapping[str, Any]) -> None:
    """Set and check columns; raises Refused with every mistake in the options."""
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        setattr(rule, name, value)
    for name, allowed in CHOICES.items():
        if getattr(rule, name) not in allowed:
            raise Refused("bad_choice", say("This is not one of the choices."), field=name)
    for name, most in MOST_MINUTES.items():
        if not 0 <= getattr(rule, name) <= most:
            raise Refused("out_of_bounds", say("Give a number from 0 to {most}.", most=most), field=name)
    if not 0 <= rule.wait_seconds <= MOST_WAIT_SECONDS:
        most = MOST_WAIT_SECONDS
        raise Refused("out_of_bounds", say("Give a number from 0 to {most}.", most=most), field="wait_seconds")
    _check_series(rule)
    rule.within = _limits(rule)
    _check_times(rule.mute_times)
    if rule.kind == RuleKind.SCORE:
        rule.hold_minutes = 0  # the score says once when a surge begins
    rule.options = rule_options.checked(rule.kind, rule.options, seconds=rule.seconds)


def _check_series(rule: Rule) -> None:
    if rule.kind in ON_ARRIVAL:
        rule.dimension, rule.key = Dimension.TOTAL, ""
    if rule.kind == RuleKind.NO_DATA and rule.dimension not in (Dimension.TOTAL, Dimension.SOURCE):
        raise Refused("bad_choice", say("Silence is watched for all articles or by source."), field="dimension")
    if rule.key and not is_key(rule.monitor, rule.dimension, rule.key):
        raise Refused("unknown_series", say("This monitor has no such series."), field="key")


def _limits(rule: Rule) -> dict[str, int | str]:
    """What the rule is limited to, checked. An article that arrives has its topics only when a version has read it."""
    try:
        within = Within.told(rule.within)
    except (TypeError, ValueError) as error:
        raise Refused(
            "bad_limits", say("Give ids of a topic, an entity and a source, and a language."), field="within"
        ) from error
    asked = within.plain()
    if asked and rule.kind == RuleKind.NO_DATA:
        raise Refused("bad_limits", say("A rule that watches for silence has no limits."), field="within")
    if within.topic and rule.kind in ON_ARRIVAL:
        message = say("What an article is about is known when it has been read: this kind looks at it before.")
        raise Refused("bad_limits", message, field="within")
    if rule.dimension in asked:
        raise Refused("bad_limits", say("Where it watches and what it is limited to are the same."), field="within")
    if len(names_within(rule.monitor, within)) < len(asked):
        raise Refused("unknown_series", say("This monitor has no such series."), field="within")
    return asked


def _check_times(times: Any) -> None:
    if not isinstance(times, list) or len(times) > MOST_TIMES or not all(is_mute_time(each) for each in times):
        raise Refused(
            "bad_times",
            say("These are no weekly times."),
            field="mute_times",
            hint=say("Give a list such as {example}.", example='[{"days": [5, 6], "begin": "00:00", "end": "23:59"}]'),
        )


def _begin(rule: Rule) -> None:
    """Judge from the next bucket on, with nothing remembered."""
    rule.evaluated_until = begin_of(timezone.now(), rule.seconds)
    rule.memory, rule.verdicts, rule.error = None, [], ""
    newest = Article.objects.filter(monitor=rule.monitor).order_by("-id").values_list("pk", flat=True).first()
    rule.seen_article = newest or 0


def _close_alerts(rule: Rule) -> None:
    now = timezone.now()
    Alert.objects.filter(rule=rule, state=AlertState.PENDING).delete()
    Alert.objects.filter(rule=rule, state=AlertState.FIRING).update(
        state=AlertState.RESOLVED, resolved_at=now, end_told_at=now
    )


def _relate(rule: Rule, relations: Relations) -> None:
    """Set who is told and which rules keep it quiet; all of the same workspace and monitor."""
    for name, rows in relations.items():
        if name not in ("receivers", "escalates_to", "inhibited_by"):
            raise TypeError(name)
        for row in rows:
            if isinstance(row, Rule) and (row.monitor_id != rule.monitor_id or row.pk == rule.pk):
                raise Refused("unknown_rule", say("This monitor has no such rule."), field=name)
            if isinstance(row, Receiver) and row.workspace_id != rule.monitor.workspace_id:
                raise Refused("unknown_receiver", say("The workspace has no such receiver."), field=name)
        getattr(rule, name).set(rows)


def _save(rule: Rule) -> None:
    try:
        with transaction.atomic():
            rule.save()
    except IntegrityError as error:
        raise conflict("name_taken", say("There is a rule of this name already.")) from error

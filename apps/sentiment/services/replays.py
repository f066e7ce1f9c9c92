"""Replays: rules over a past span, done by a worker; one for a rule before it is saved, or all rules of a monitor."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.sentiment.models import Clock, Monitor, Replay, Rule
from apps.sentiment.services.rules import set_columns, told
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from words import say

KIND = "sentiment.replay"
PRIORITY = 20  # somebody waits at the form
LONGEST = timedelta(days=366)
KEPT = 50  # of one monitor
LEFT_OUT = (
    "is_enabled",
    "grouping",
    "wait_seconds",
    "repeat_minutes",
    "tells_resolved",
    "escalate_minutes",
    "mute_times",
)
"""Columns that change who is told and not what happens."""


def back_test(
    *,
    actor: Actor,
    monitor: Monitor,
    begin_at: datetime,
    end_at: datetime,
    clock: str = Clock.RECEIVED,
    **columns: Any,
) -> Replay:
    """How often a rule would have fired; it need not be saved."""
    rule = Rule(monitor=monitor, name=str(columns.pop("name", "") or say("Rule")))
    set_columns(rule, columns)
    return _ask(actor, monitor, [told(rule)], begin_at, end_at, clock, is_draft=True)


def replay(
    *, actor: Actor, monitor: Monitor, begin_at: datetime, end_at: datetime, clock: str = Clock.RECEIVED
) -> Replay:
    """All rules that are on, over a past span. The same rules over the same counts give the same digest."""
    rules = [told(rule) for rule in Rule.objects.filter(monitor=monitor, is_enabled=True).order_by("id")]
    if not rules:
        raise Refused("no_rules", say("This monitor has no rule that is on."))
    return _ask(actor, monitor, rules, begin_at, end_at, clock, is_draft=False)


@transaction.atomic
def _ask(
    actor: Actor,
    monitor: Monitor,
    rules: Sequence[Mapping[str, Any]],
    begin: datetime,
    end: datetime,
    clock: str,
    *,
    is_draft: bool,
) -> Replay:
    if clock not in Clock.values:
        raise Refused("bad_choice", say("This is not one of the choices."), field="clock")
    if not begin < end <= timezone.now() + timedelta(minutes=1):
        raise Refused("bad_span", say("Choose a span in the past that ends after it begins."), field="end_at")
    if end - begin > LONGEST:
        raise Refused("bad_span", say("Choose a span of at most {days} days.", days=LONGEST.days), field="begin_at")
    about = monitor.open_name if monitor.is_restricted else rules[0]["name"]
    title = (
        say("Back-test of {rule}", rule=about) if is_draft else say("Replay of {monitor}", monitor=monitor.open_name)
    )
    job = jobs.create(
        kind=KIND, workspace=actor.workspace, queue="io", title=title, by=actor.user, priority=PRIORITY, max_attempts=2
    )
    kept = [{name: value for name, value in rule.items() if name not in LEFT_OUT} for rule in rules]
    made = Replay.objects.create(
        monitor=monitor,
        job=job,
        rules=kept,
        is_draft=is_draft,
        begin_at=begin,
        end_at=end,
        clock=clock,
        created_by=actor.user,
    )
    job.page = f"monitors/replays/{made.pk}"
    job.save(update_fields=["page"])
    old = Replay.objects.filter(monitor=monitor).order_by("-id").values_list("job", flat=True)[KEPT:]
    for pk in list(old):
        Job.objects.filter(pk=pk, finished_at__isnull=False).delete()
    return made


def finish_replay(*, replay: Replay, result: Mapping[str, Any], digest: str) -> None:
    """Keep what a replay found."""
    Replay.objects.filter(pk=replay.pk).update(result=dict(result), digest=digest)

"""Alerts of rules: where each stands, why it was raised, who was told, and what people thought of it."""

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.notifications.models import Severity
from apps.sentiment.alerting.course import FIRING, PENDING, RESOLVED
from apps.sentiment.models.articles import Article
from apps.sentiment.models.monitors import Monitor
from apps.sentiment.models.rules import Rule, RuleKind
from apps.sentiment.models.scores import Clock, Dimension
from core.jobs.models import Job
from core.words import WordsJSONField


class AlertState(models.TextChoices):
    """Where an alert stands; a series without one is inactive."""

    PENDING = PENDING, _("Pending")
    FIRING = FIRING, _("Firing")
    RESOLVED = RESOLVED, _("Resolved")


class Usefulness(models.TextChoices):
    """What people say of an alert afterwards."""

    NONE = "", _("No answer yet")
    USEFUL = "useful", _("Useful")
    NOISE = "noise", _("Noise")


class Alert(models.Model):
    """One time that a rule held for one series. Of a rule and series at most one is open.

    `explanation` says why, as it was known then; once written it cannot be changed (a trigger keeps it), nor `evidence`, the
    attributions of its sample texts, which follow when a model has been asked.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="alerts", db_index=False)
    rule = models.ForeignKey(Rule, models.SET_NULL, null=True, related_name="alerts")
    rule_name = models.CharField(max_length=120)  # both stay true when the rule is changed or gone
    kind = models.CharField(max_length=10, choices=RuleKind.choices)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    dimension = models.CharField(max_length=10, choices=Dimension.choices)
    key = models.CharField(max_length=60, blank=True)
    series = models.CharField(max_length=300, blank=True)  # its name at the time
    within = models.JSONField(default=dict, blank=True)  # what its rule was limited to
    state = models.CharField(max_length=10, choices=AlertState.choices)
    started_at = models.DateTimeField()  # when it first held
    last_true_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(  # null: it was over by itself
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    bucket_at = models.DateTimeField(null=True, blank=True)  # begin of the bucket on which it fired
    strength = models.FloatField(null=True, blank=True)  # 1 where the rule just fires
    is_late = models.BooleanField(default=False)  # found after a downtime
    created_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="assigned_alerts"
    )
    escalated_at = models.DateTimeField(null=True, blank=True)
    told_at = models.DateTimeField(null=True, blank=True)  # when people were last told
    told_count = models.PositiveIntegerField(default=0)
    end_told_at = models.DateTimeField(null=True, blank=True)
    held_back = models.CharField(max_length=10, blank=True)  # silenced, muted or inhibited: why nobody is told
    usefulness = models.CharField(max_length=10, choices=Usefulness.choices, default=Usefulness.NONE, blank=True)
    judged_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    judged_at = models.DateTimeField(null=True, blank=True)
    explanation = WordsJSONField(null=True, blank=True)
    evidence = WordsJSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rule", "key"], condition=models.Q(state__in=[PENDING, FIRING]), name="alert_open_once"
            ),
            models.CheckConstraint(condition=models.Q(state__in=[PENDING, FIRING, RESOLVED]), name="alert_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["monitor", "-id"], name="alert_monitor"),
            models.Index(fields=["monitor"], condition=models.Q(state__in=[PENDING, FIRING]), name="alert_open"),
            models.Index(fields=["monitor"], condition=models.Q(state=RESOLVED, end_told_at=None), name="alert_ended"),
            models.Index(fields=["fired_at"], condition=models.Q(evidence=None), name="alert_unproven"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.series}" if self.series else self.rule_name


class EventKind(models.TextChoices):
    """What happened to an alert."""

    STARTED = "started", _("First held")
    FIRED = "fired", _("Fired")
    TOLD = "told", _("People were told")
    HELD_BACK = "held_back", _("Nobody is told")
    ESCALATED = "escalated", _("Escalated")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    ASSIGNED = "assigned", _("Assigned")
    NOTED = "noted", _("Note")
    JUDGED = "judged", _("Judged")
    RESOLVED = "resolved", _("Over")


class AlertEvent(models.Model):
    """One step in the life of an alert; rows are only added."""

    Kind = EventKind

    alert = models.ForeignKey(Alert, models.CASCADE, related_name="events", db_index=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name = _("step of an alert")
        indexes: ClassVar = [models.Index(fields=["alert", "id"], name="alert_event")]

    def __str__(self) -> str:
        return f"{self.alert_id} {self.kind}"


class RuleHit(models.Model):
    """An article for which a rule on arrival held: counted once, however often it is looked at."""

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="hits", db_index=False)
    article = models.ForeignKey(Article, models.CASCADE, related_name="+")
    alert = models.ForeignKey(Alert, models.CASCADE, related_name="hits")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["rule", "article"], name="hit_once")]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.article_id}"


class Replay(models.Model):
    """Rules run over what was counted in a past span: one that is not saved yet (a back-test), or all of a monitor.

    By the clock of arrival it is what would have happened; by that of publication history counts that was brought in later.
    `digest` is the same for the same rules over the same counts.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="replays")
    job = models.OneToOneField(Job, models.CASCADE, related_name="replay")
    rules = models.JSONField()  # their columns
    is_draft = models.BooleanField(default=False)
    begin_at = models.DateTimeField()
    end_at = models.DateTimeField()
    clock = models.CharField(max_length=10, choices=Clock.choices, default=Clock.RECEIVED)
    result = WordsJSONField(null=True, blank=True)
    digest = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("replay")
        indexes: ClassVar = [models.Index(fields=["monitor", "-id"], name="replay_monitor")]

    def __str__(self) -> str:
        return f"{self.begin_at:%Y-%m-%d} - {self.end_at:%Y-%m-%d}"

    @property
    def days(self) -> int:
        """Days of the span, at least one."""
        return max(1, round((self.end_at - self.begin_at) / timedelta(days=1)))

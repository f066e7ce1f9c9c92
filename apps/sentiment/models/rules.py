"""What is watched in the counts and articles of a monitor, and when nobody is to be told."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.notifications.models import Receiver, Severity
from apps.sentiment.models.monitors import Monitor
from apps.sentiment.models.scores import BucketSize, Dimension
from core.words import WordsField


class RuleKind(models.TextChoices):
    """How a rule decides. The first six judge buckets when they close, the next two articles when they arrive."""

    STATIC = "static", _("Fixed number")
    RATIO = "ratio", _("Ratio to the mean before")
    SURGE = "surge", _("Statistical surge")
    SCORE = "score", _("Surge score")
    RISE = "rise", _("Slow rise")
    SHARE = "share", _("Share of negative articles")
    KEYWORD = "keyword", _("Words")
    NEW_STORY = "new_story", _("New story from a first-rate source")
    NO_DATA = "no_data", _("No articles")


ON_ARRIVAL = (RuleKind.KEYWORD, RuleKind.NEW_STORY)
ON_BUCKETS = (
    RuleKind.STATIC, RuleKind.RATIO, RuleKind.SURGE, RuleKind.SCORE, RuleKind.RISE, RuleKind.SHARE,
)  # fmt: skip


class Measure(models.TextChoices):
    """Which count of a bucket a rule looks at."""

    ARTICLES = "article_count", _("Articles")
    STORIES = "story_count", _("New stories")
    NEGATIVE = "negative_count", _("Negative articles")


class Grouping(models.TextChoices):
    """Alerts that are told in one message."""

    RULE = "rule", _("Those of this rule")
    MONITOR = "monitor", _("Those of all rules of the monitor that group so")
    ALERT = "alert", _("Each by itself")


class Rule(models.Model):
    """When a monitor raises an alert: over one series, or over each series of a dimension.

    `evaluated_until` is the end of the newest bucket that was judged: what a downtime left out is judged later, in order.
    `memory` holds what a rule remembers from bucket to bucket (sums of a slow rise, the state of a surge score).
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="rules")
    name = models.CharField(_("Name"), max_length=120)
    kind = models.CharField(_("Kind"), max_length=10, choices=RuleKind.choices)
    severity = models.CharField(_("Severity"), max_length=10, choices=Severity.choices, default=Severity.WARNING)
    is_enabled = models.BooleanField(_("Is on"), default=True)
    measure = models.CharField(_("What is counted"), max_length=20, choices=Measure.choices, default=Measure.NEGATIVE)
    seconds = models.PositiveIntegerField(_("Bucket"), choices=BucketSize.choices, default=BucketSize.HOUR)
    dimension = models.CharField(_("Series"), max_length=10, choices=Dimension.choices, default=Dimension.TOTAL)
    key = models.CharField(max_length=60, blank=True)  # one series of the dimension; empty: each of them
    within = models.JSONField(default=dict, blank=True)  # only articles of these: topic, entity, source, language
    options = models.JSONField(default=dict)  # what differs from the defaults of the kind
    hold_minutes = models.PositiveIntegerField(_("Holds for (minutes)"), default=0)  # pending before it fires
    keep_minutes = models.PositiveIntegerField(_("Kept firing for (minutes)"), default=0)  # after it last held
    grouping = models.CharField(_("One message for"), max_length=10, choices=Grouping.choices, default=Grouping.RULE)
    wait_seconds = models.PositiveIntegerField(_("Wait for others (seconds)"), default=10)
    repeat_minutes = models.PositiveIntegerField(_("Tell again after (minutes)"), default=240)  # 0: never
    tells_resolved = models.BooleanField(_("Tell when it is over"), default=True)
    escalate_minutes = models.PositiveIntegerField(_("Escalate after (minutes)"), default=0)  # 0: never
    mute_times = models.JSONField(default=list, blank=True)  # [{"days": [0..6], "begin": "18:00", "end": "08:00"}]
    inhibited_by = models.ManyToManyField("self", symmetrical=False, related_name="inhibits", blank=True)
    receivers = models.ManyToManyField(Receiver, related_name="+", blank=True)
    escalates_to = models.ManyToManyField(Receiver, related_name="+", blank=True)
    evaluated_until = models.DateTimeField(null=True, blank=True)
    seen_article = models.BigIntegerField(default=0)  # the newest one that a rule on arrival has looked at
    evaluated_at = models.DateTimeField(null=True, blank=True)
    error = WordsField(blank=True)  # why it could not be judged
    verdicts = models.JSONField(default=list)  # what was said last of its strongest series
    memory = models.BinaryField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("rule")
        constraints: ClassVar = [
            models.UniqueConstraint("monitor", Lower("name"), name="rule_name"),
            models.CheckConstraint(condition=models.Q(kind__in=RuleKind.values), name="rule_kind_known"),
        ]
        indexes: ClassVar = [models.Index(fields=["monitor"], condition=models.Q(is_enabled=True), name="rule_on")]

    def __str__(self) -> str:
        return self.name

    @property
    def needs_scores(self) -> bool:
        """Whether its counts are those of a version that says how articles are meant."""
        return self.measure == Measure.NEGATIVE or self.kind == RuleKind.SHARE


class Silence(models.Model):
    """A span in which nobody is told of matching alerts; they open and close all the same."""

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="silences")
    rule = models.ForeignKey(Rule, models.CASCADE, null=True, blank=True, related_name="silences")
    dimension = models.CharField(max_length=10, choices=Dimension.choices, blank=True)
    key = models.CharField(max_length=60, blank=True)  # of the dimension; empty: all of it
    begin_at = models.DateTimeField(_("From"))
    end_at = models.DateTimeField(_("Until"))
    reason = models.CharField(_("Reason"), max_length=300)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("silence")
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(end_at__gt=models.F("begin_at")), name="silence_has_length")
        ]
        indexes: ClassVar = [models.Index(fields=["monitor", "-end_at"], name="silence_monitor")]

    def __str__(self) -> str:
        return f"{self.begin_at:%Y-%m-%d %H:%M} - {self.end_at:%Y-%m-%d %H:%M}"

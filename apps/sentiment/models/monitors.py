"""What is watched, where it is read, and how reading went."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.roles import ADMIN, OWNER
from core.access import Actor
from core.sealing import SealedField
from core.words import WordsField, WordsJSONField

MOST_WEIGHT = 3
RUNNING = (OWNER, ADMIN)  # the roles that see every monitor


class Monitor(models.Model):
    """A subject that is watched: its sources, and who says how its articles are meant.

    `sentiment_model` is what people type where they name a model: "family@alias", "family:number" or a served name. An alias
    follows the approved version; each score keeps the version that made it.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="monitors")
    name = models.CharField(_("Name"), max_length=80)
    description = models.CharField(_("Description"), max_length=500, blank=True)
    time_zone = models.CharField(_("Time zone"), max_length=60, default="UTC")
    sentiment_model = models.CharField(_("Sentiment model"), max_length=160, blank=True)
    negative_label = models.CharField(_("Negative label"), max_length=100, default="negative")
    positive_label = models.CharField(_("Positive label"), max_length=100, default="positive", blank=True)
    abstain_below = models.FloatField(_("Abstain below"), default=0.5)  # a probability
    target_model = models.CharField(_("Model of sentiment towards entities"), max_length=160, blank=True)
    topic_models = models.JSONField(_("Topic models"), default=list, blank=True)  # named like sentiment_model
    topic_threshold = models.FloatField(_("Topics from"), default=0.5)  # a probability
    link_threshold = models.FloatField(_("Entities from"), default=0.5)  # a confidence
    linking_below = models.BigIntegerField(null=True)  # articles with a smaller id are still to be linked anew
    scoring_error = WordsField(blank=True)  # why its articles wait for a version at this moment
    body_days = models.PositiveIntegerField(_("Days that texts are kept"), default=365)
    is_restricted = models.BooleanField(_("Only for named members"), default=False, db_default=False)
    members = models.ManyToManyField(  # who sees it then, besides who made it and who runs the workspace
        settings.AUTH_USER_MODEL, verbose_name=_("Members who see it"), related_name="+", blank=True
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("monitor")
        constraints: ClassVar = [
            models.UniqueConstraint("workspace", Lower("name"), name="monitor_name"),
            models.CheckConstraint(
                condition=models.Q(abstain_below__gte=0, abstain_below__lte=1), name="monitor_abstain_below"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    topic_threshold__gte=0, topic_threshold__lte=1, link_threshold__gte=0, link_threshold__lte=1
                ),
                name="monitor_thresholds",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def seen_by(cls, actor: Actor) -> models.QuerySet["Monitor"] | None:
        """Those that the actor may see (core.access.rows_of); None for all of the workspace."""
        if actor.role in RUNNING:
            return None
        named = cls.members.through.objects.filter(user=actor.user).values("monitor")
        return cls.objects.filter(
            models.Q(is_restricted=False) | models.Q(created_by=actor.user) | models.Q(pk__in=named)
        )

    @property
    def open_name(self) -> str:
        """What lists call it that everybody sees: jobs, schedules."""
        return f"#{self.pk}" if self.is_restricted else self.name

    @property
    def is_read(self) -> bool:
        """Whether any version reads its articles."""
        return bool(self.sentiment_model or self.target_model or self.topic_models)

    @property
    def reads_targets(self) -> bool:
        """Whether a version says how entities are spoken of."""
        return bool(self.sentiment_model or self.target_model)


class SourceKind(models.TextChoices):
    """How articles come."""

    FEED = "feed", _("Feed (RSS, Atom, JSON Feed)")
    SITEMAP = "sitemap", _("Sitemap with article pages")
    PUSH = "push", _("Pushed by a program")
    WEBHOOK = "webhook", _("Signed webhook")
    FILE = "file", _("File")


PUSHED = (SourceKind.PUSH, SourceKind.WEBHOOK)  # programs send when they have something, so nobody has to look


class Source(models.Model):
    """Where articles come from. A feed is due at `next_fetch_at`; whoever claims it moves that on.

    ETag and Last-Modified are the server's words, sent back with the next request (RFC 9110, conditional requests).
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="sources")
    kind = models.CharField(_("Kind"), max_length=10, choices=SourceKind.choices)
    name = models.CharField(_("Name"), max_length=120)
    url = models.URLField(_("Web address"), max_length=2_000, blank=True)
    host = models.CharField(max_length=300, blank=True, default="", db_default="")  # of `url`, as hosts are known
    host_token = models.BigIntegerField(default=0, db_default=0)  # under which its reader holds the host
    hook = models.CharField(
        max_length=60, blank=True, default="", db_default=""
    )  # the last part of a webhook's address
    secret = SealedField(blank=True, default="")  # that signs what comes by it
    previous_secret = SealedField(blank=True, default="")
    previous_until = models.DateTimeField(null=True)
    time_zone = models.CharField(_("Time zone"), max_length=60, blank=True)  # of times without one; else the monitor's
    weight = models.PositiveSmallIntegerField(_("Weight"), default=1)  # 3: a first-rate source
    is_enabled = models.BooleanField(_("Is read"), default=True)
    interval_minutes = models.PositiveIntegerField(_("Minutes between readings"), default=10)
    next_fetch_at = models.DateTimeField(null=True, blank=True)  # null: nothing to fetch
    fetch_token = models.BigIntegerField(default=0)  # grows with every claim; an older reader's result is refused
    etag = models.CharField(max_length=500, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    last_fetch_at = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_article_at = models.DateTimeField(null=True, blank=True)  # when the newest article was received
    failure_count = models.PositiveIntegerField(default=0)  # in a row
    last_error = WordsField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("source")
        constraints: ClassVar = [
            models.UniqueConstraint("monitor", Lower("name"), name="source_name"),
            models.UniqueConstraint(fields=["hook"], condition=~models.Q(hook=""), name="source_hook"),
            models.CheckConstraint(condition=models.Q(weight__gte=1, weight__lte=MOST_WEIGHT), name="source_weight"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["next_fetch_at"], condition=models.Q(is_enabled=True), name="source_due")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_pushed(self) -> bool:
        """Whether programs send its articles."""
        return self.kind in PUSHED


class Fetch(models.Model):
    """One reading of a source, kept as its health: what came, what was new, what was dropped and why."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="fetches", db_index=False)
    at = models.DateTimeField(default=timezone.now)
    seconds = models.FloatField(default=0)
    status = models.PositiveSmallIntegerField(null=True)  # HTTP; null when there was no answer, or none was asked for
    size_bytes = models.BigIntegerField(default=0)
    item_count = models.PositiveIntegerField(default=0)
    new_count = models.PositiveIntegerField(default=0)
    seen_count = models.PositiveIntegerField(default=0)
    dropped_count = models.PositiveIntegerField(default=0)
    problems = WordsJSONField(default=list)  # the first few: {"code", "message", "item"}
    error_code = models.CharField(max_length=60, blank=True)
    error_message = WordsField(blank=True)

    class Meta:
        verbose_name = _("reading")
        indexes: ClassVar = [models.Index(fields=["source", "-id"], name="fetch_source")]

    def __str__(self) -> str:
        return f"{self.source_id} {self.at:%Y-%m-%d %H:%M}"

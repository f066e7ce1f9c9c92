"""What articles are about: topics, and companies, brands and people known by a table of names; and how they are spoken of."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.registry.models import ModelVersion
from apps.sentiment.models.articles import Article
from apps.sentiment.models.monitors import Monitor
from apps.sentiment.models.scores import Sentiment
from core.access import Actor


class Lexicon(models.Model):
    """A number that is another one after each change of a workspace's topics or entities, so that nobody keeps old ones.

    It is written in the transaction that changes them: changes come one after the other.
    """

    workspace = models.OneToOneField(settings.WORKSPACE_MODEL, models.CASCADE, primary_key=True, related_name="lexicon")
    revision = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.workspace_id} {self.revision}"


class Topic(models.Model):
    """What articles may be about: of the whole workspace, or of one monitor.

    An article gets it by a label of the monitor's topic versions (`labels`, and the key itself), or by one of `words`.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="topics")
    monitor = models.ForeignKey(Monitor, models.CASCADE, null=True, blank=True, related_name="topics")
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children")
    name = models.CharField(_("Name"), max_length=80)
    key = models.CharField(_("Key"), max_length=60)
    description = models.CharField(_("Description"), max_length=500, blank=True)
    labels = models.JSONField(_("Labels"), default=list, blank=True)  # of versions, besides the key
    words = models.JSONField(_("Words"), default=list, blank=True)
    is_enabled = models.BooleanField(_("Is looked for"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("topic")
        constraints: ClassVar = [models.UniqueConstraint("workspace", Lower("key"), name="topic_key")]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def seen_by(cls, actor: Actor) -> "models.QuerySet[Topic] | None":
        """Topics of one monitor are seen by those who see it."""
        seen = Monitor.seen_by(actor)
        return None if seen is None else cls.objects.filter(models.Q(monitor=None) | models.Q(monitor__in=seen))


class EntityKind(models.TextChoices):
    """What an entity is."""

    COMPANY = "company", _("Company")
    BRAND = "brand", _("Brand")
    PERSON = "person", _("Individual")
    OTHER = "other", _("Other")


class Entity(models.Model):
    """Who or what articles speak of; found by its aliases and by its tickers, such as 600519.SH, 0700.HK or AAPL."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="entities")
    name = models.CharField(_("Name"), max_length=120)
    kind = models.CharField(_("Kind"), max_length=10, choices=EntityKind.choices, default=EntityKind.COMPANY)
    tickers = models.JSONField(_("Tickers"), default=list, blank=True)
    is_enabled = models.BooleanField(_("Is looked for"), default=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("entity")
        constraints: ClassVar = [models.UniqueConstraint("workspace", Lower("name"), name="entity_name")]

    def __str__(self) -> str:
        return self.name


class Alias(models.Model):
    """A name an entity goes by. An ambiguous one counts only beside something that speaks for the entity.

    `required`: words of which one must stand near. `forbidden`: words near which it means something else.
    """

    entity = models.ForeignKey(Entity, models.CASCADE, related_name="aliases", db_index=False)
    text = models.CharField(_("Alias"), max_length=120)
    language = models.CharField(_("Language"), max_length=10, blank=True)
    is_ambiguous = models.BooleanField(_("Ambiguous"), default=False)
    required = models.JSONField(_("Words that must stand near"), default=list, blank=True)
    forbidden = models.JSONField(_("Words that must not stand near"), default=list, blank=True)

    class Meta:
        verbose_name = _("alias")
        constraints: ClassVar = [models.UniqueConstraint(fields=["entity", "text"], name="entity_alias_once")]

    def __str__(self) -> str:
        return self.text


class ArticleTopic(models.Model):
    """A topic of an article: by a version, or by words (no version). What a version that is no longer named said stays, but
    is not current."""

    article = models.ForeignKey(Article, models.CASCADE, related_name="topics", db_index=False)
    topic = models.ForeignKey(Topic, models.CASCADE, related_name="+", db_index=False)
    model_version = models.ForeignKey(ModelVersion, models.RESTRICT, null=True, related_name="+")
    probability = models.FloatField(default=1.0)
    is_current = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("topic of an article")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["article", "topic", "model_version"], nulls_distinct=False, name="article_topic_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["topic", "-article"], name="topic_articles")]

    def __str__(self) -> str:
        return f"{self.article_id} {self.topic_id}"


class ArticleEntity(models.Model):
    """An entity an article speaks of. `spans` are [start, end) in code points of `Article.text`, in order."""

    article = models.ForeignKey(Article, models.CASCADE, related_name="entities", db_index=False)
    entity = models.ForeignKey(Entity, models.CASCADE, related_name="+", db_index=False)
    spans = models.JSONField(default=list)
    link_confidence = models.FloatField(default=1.0)  # of its surest mention
    mention_count = models.PositiveIntegerField(default=1)
    in_title = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("entity of an article")
        constraints: ClassVar = [models.UniqueConstraint(fields=["article", "entity"], name="article_entity_once")]
        indexes: ClassVar = [models.Index(fields=["entity", "-article"], name="entity_articles")]

    def __str__(self) -> str:
        return f"{self.article_id} {self.entity_id}"


class TargetScore(models.Model):
    """How one version found an entity to be spoken of in one article. None is ever changed.

    `is_dedicated`: by a version that was named for this alone, which goes before what the article's own version said.
    """

    article = models.ForeignKey(Article, models.CASCADE, related_name="target_scores", db_index=False)
    entity = models.ForeignKey(Entity, models.CASCADE, related_name="+")
    model_version = models.ForeignKey(ModelVersion, models.RESTRICT, related_name="+")
    is_dedicated = models.BooleanField(default=False)
    sentiment = models.CharField(max_length=10, choices=Sentiment.choices)
    probability = models.FloatField()  # of the likeliest meaning
    probabilities = models.JSONField(default=dict)  # label -> probability, the mean over its windows
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("sentiment towards an entity")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["article", "entity", "model_version"], name="target_score_once")
        ]

    def __str__(self) -> str:
        return f"{self.article_id} {self.entity_id} {self.sentiment}"

"""How articles are meant, by which version, and how many of them there were in each span of time."""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.registry.models import ModelVersion
from apps.sentiment.models.articles import Article
from apps.sentiment.models.monitors import Monitor


class Sentiment(models.TextChoices):
    """How an article is meant; whoever is not sure abstains."""

    NEGATIVE = "negative", _("Negative")
    NEUTRAL = "neutral", _("Neutral")
    POSITIVE = "positive", _("Positive")
    ABSTAINED = "abstained", _("Not sure")


class Score(models.Model):
    """What one version said of one article. A later version adds its own; none is ever changed."""

    article = models.ForeignKey(Article, models.CASCADE, related_name="scores", db_index=False)
    model_version = models.ForeignKey(ModelVersion, models.RESTRICT, related_name="sentiment_scores")
    sentiment = models.CharField(max_length=10, choices=Sentiment.choices)
    probability = models.FloatField()  # of the likeliest label
    probabilities = models.JSONField(default=dict)  # label -> probability
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("score")
        constraints: ClassVar = [models.UniqueConstraint(fields=["article", "model_version"], name="score_once")]

    def __str__(self) -> str:
        return f"{self.article_id} {self.sentiment}"


class Clock(models.TextChoices):
    """Which time of an article decides its bucket."""

    PUBLISHED = "published", _("Published")
    RECEIVED = "received", _("Received")


class BucketSize(models.IntegerChoices):
    """Seconds of a bucket."""

    FIVE_MINUTES = 300, _("5 minutes")
    HOUR = 3_600, _("1 hour")
    DAY = 86_400, _("1 day")


class Dimension(models.TextChoices):
    """What a bucket counts of its monitor."""

    TOTAL = "total", _("All")
    SOURCE = "source", _("Source")
    LANGUAGE = "language", _("Language")
    TOPIC = "topic", _("Topic")
    ENTITY = "entity", _("Entity")


COUNTS = ("article_count", "story_count", "negative_count", "neutral_count", "positive_count", "abstained_count")
"""What a bucket counts, by column."""


def begin_of(moment: datetime, seconds: int) -> datetime:
    """The begin of the bucket of a moment; buckets stand on multiples of their length since 1970 (UTC)."""
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


class Bucket(models.Model):
    """Counts of one span of time: marginals by dimension, not their cube. A bucket that is missing is not zero.

    Without a version it counts articles and stories as they arrive; with one, how that version found them to be meant.
    An article counts once in the total and once in each of its topics and entities. In the bucket of an entity it counts
    as the entity is spoken of, where that is known.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="buckets", db_index=False)
    model_version = models.ForeignKey(ModelVersion, models.CASCADE, null=True, related_name="+")
    clock = models.CharField(max_length=10, choices=Clock.choices)
    seconds = models.PositiveIntegerField(choices=BucketSize.choices)
    dimension = models.CharField(max_length=10, choices=Dimension.choices)
    key = models.CharField(max_length=60, blank=True)  # id of a row, code of the language; empty for all
    start_at = models.DateTimeField()
    article_count = models.PositiveIntegerField(default=0)
    story_count = models.PositiveIntegerField(default=0)  # stories that began here
    negative_count = models.PositiveIntegerField(default=0)
    neutral_count = models.PositiveIntegerField(default=0)
    positive_count = models.PositiveIntegerField(default=0)
    abstained_count = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("bucket")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["monitor", "clock", "seconds", "dimension", "key", "model_version", "start_at"],
                nulls_distinct=False,
                name="bucket_once",
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["monitor", "clock", "seconds", "dimension", "start_at"], name="bucket_span")
        ]

    def __str__(self) -> str:
        return f"{self.dimension} {self.key} {self.start_at:%Y-%m-%d %H:%M}"

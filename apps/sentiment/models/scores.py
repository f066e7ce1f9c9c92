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


class Counted(models.Model):
    """Counts of one span of time. Without a version of articles and stories as they arrive; with one, of how that version
    found the articles to be meant."""

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="%(class)ss", db_index=False)
    model_version = models.ForeignKey(ModelVersion, models.CASCADE, null=True, related_name="+")
    clock = models.CharField(max_length=10, choices=Clock.choices)
    seconds = models.PositiveIntegerField(choices=BucketSize.choices)
    start_at = models.DateTimeField()
    article_count = models.PositiveIntegerField(default=0)
    story_count = models.PositiveIntegerField(default=0)  # stories that began here
    negative_count = models.PositiveIntegerField(default=0)
    neutral_count = models.PositiveIntegerField(default=0)
    positive_count = models.PositiveIntegerField(default=0)
    abstained_count = models.PositiveIntegerField(default=0)

    class Meta:
        abstract = True


class Bucket(Counted):
    """Counts by one dimension: marginals. A bucket that is missing is not zero.

    An article counts once in the total and once in each of its topics and entities. In the bucket of an entity it counts
    as the entity is spoken of, where that is known.
    """

    dimension = models.CharField(max_length=10, choices=Dimension.choices)
    key = models.CharField(max_length=60, blank=True)  # id of a row, code of the language; empty for all

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


CELL_SIZES = (BucketSize.FIVE_MINUTES, BucketSize.HOUR)
"""A day of cells is the sum of its hours."""


class Cell(Counted):
    """Counts where a topic, an entity, a source and a language meet: the cube that buckets are margins of.

    An article has one source and one language, but any number of topics and entities: it counts in each pair of these, and
    with 0, “whichever”, in the place of either. So one sum over sources and languages answers each question about pairs.
    An article counts towards an entity as in its bucket.
    """

    topic = models.BigIntegerField(default=0)
    entity = models.BigIntegerField(default=0)
    source = models.BigIntegerField()
    language = models.CharField(max_length=10, blank=True)

    class Meta:
        verbose_name = _("cell")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=[
                    "monitor", "clock", "seconds", "topic", "entity", "start_at", "source", "language", "model_version",
                ],
                nulls_distinct=False,
                name="cell_once",
            )
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["monitor", "clock", "seconds", "entity", "start_at"], name="cell_entity")
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.entity} {self.source} {self.language} {self.start_at:%Y-%m-%d %H:%M}"

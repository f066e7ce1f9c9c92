"""What was written: articles, each a mention, and stories, which are articles that say the same."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.sentiment.collecting.items import Confidence
from apps.sentiment.models.monitors import Monitor, Source

CONFIDENCES = [
    (Confidence.STATED.value, _("Stated")),
    (Confidence.ZONE_ASSUMED.value, _("Time zone assumed")),
    (Confidence.DAY.value, _("Only the day")),
    (Confidence.RELATIVE.value, _("Relative to the reading")),
    (Confidence.GUESSED.value, _("Guessed")),
    (Confidence.NONE.value, _("Unknown: the time of arrival stands in")),
]


class ScoringState(models.TextChoices):
    """How far an article is read by models."""

    NONE = "none", _("Not asked for")
    WAITING = "waiting", _("Waiting")
    DONE = "done", _("Scored")
    FAILED = "failed", _("Failed")


class Story(models.Model):
    """Articles of one monitor that say the same, counted once as a story and each as a mention."""

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="stories", db_index=False)
    title = models.TextField()
    article_count = models.PositiveIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name = _("story")
        indexes: ClassVar = [models.Index(fields=["monitor", "-last_at"], name="story_monitor")]

    def __str__(self) -> str:
        return self.title


class Article(models.Model):
    """One mention. It has two clocks: `published_at` for charts, `received_at` for whoever must not look ahead.

    Where the time of publication is unknown, `published_at` is the time of arrival and `confidence` says so.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="articles", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="articles", db_index=False)
    story = models.ForeignKey(Story, models.SET_NULL, null=True, related_name="articles")
    identity = models.CharField(max_length=64)  # sha256 of the source's own id of it
    url = models.URLField(max_length=2_000, blank=True)
    title = models.TextField(blank=True)
    body = models.TextField(blank=True)
    author = models.CharField(max_length=300, blank=True)
    text_hash = models.CharField(max_length=64, blank=True, default="", db_default="")  # of `text` when it came
    language = models.CharField(max_length=10, blank=True)
    published_at = models.DateTimeField()
    confidence = models.CharField(max_length=12, choices=CONFIDENCES)
    received_at = models.DateTimeField(default=timezone.now)
    search = SearchVectorField(null=True)
    is_first = models.BooleanField(default=False)  # its story began with it
    changed_at = models.DateTimeField(null=True)  # when its source was last seen to say something else
    is_history = models.BooleanField(default=False)  # brought in later: charts show it, nobody is alarmed
    scoring = models.CharField(max_length=10, choices=ScoringState.choices, default=ScoringState.WAITING)
    scoring_until = models.DateTimeField(null=True)  # the lease of whoever reads it now

    class Meta:
        verbose_name = _("article")
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "identity"], name="article_once")]
        indexes: ClassVar = [
            models.Index(fields=["monitor", "-id"], name="article_monitor"),
            models.Index(fields=["source", "-id"], name="article_source"),
            models.Index(fields=["monitor", "-published_at"], name="article_published"),
            models.Index(fields=["id"], condition=models.Q(scoring="waiting"), name="article_waiting"),
            GinIndex(fields=["search"], name="article_search"),
        ]

    def __str__(self) -> str:
        return self.title or self.body[:80]

    @property
    def text(self) -> str:
        """What models read."""
        return f"{self.title}\n{self.body}".strip()


class ArticleBand(models.Model):
    """What near duplicates share at least one of (bands of MinHash); kept while their story may still be joined.

    A table, not an array: to look thousands of bands up at once takes a hundredth of the time.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="+", db_index=False)
    band = models.BigIntegerField()
    article = models.ForeignKey(Article, models.CASCADE, related_name="+")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["monitor", "band"], name="band_of_monitor")]

    def __str__(self) -> str:
        return f"{self.article_id} {self.band}"

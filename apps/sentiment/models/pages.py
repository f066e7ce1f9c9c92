"""Pages of sitemaps that could not be read, and articles that changed at their source."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.sentiment.models.articles import Article
from apps.sentiment.models.monitors import Source
from core.words import WordsField


class UnreadPage(models.Model):
    """A page that could not be read, and when it is tried again; without `next_at` it is given up."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="unread_pages", db_index=False)
    identity = models.CharField(max_length=64)  # as an article's
    url = models.URLField(max_length=2_000)
    failure_count = models.PositiveIntegerField(default=0)  # in a row
    reason = WordsField(blank=True)
    last_at = models.DateTimeField(default=timezone.now)
    next_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("page that cannot be read")
        constraints: ClassVar = [models.UniqueConstraint(fields=["source", "identity"], name="unread_page_once")]
        indexes: ClassVar = [models.Index(fields=["source", "-last_at"], name="unread_page_source")]

    def __str__(self) -> str:
        return self.url


class ArticleRevision(models.Model):
    """What a source says of an article now. The article keeps the text that came first: it is what was scored and counted."""

    article = models.ForeignKey(Article, models.CASCADE, related_name="revisions", db_index=False)
    text_hash = models.CharField(max_length=64)
    title = models.TextField(blank=True)
    body = models.TextField(blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("revision of an article")
        constraints: ClassVar = [models.UniqueConstraint(fields=["article", "text_hash"], name="article_revision_once")]

    def __str__(self) -> str:
        return f"{self.article_id} {self.at:%Y-%m-%d %H:%M}"

"""Texts of articles are let go after the days a monitor keeps them, and fine counts after a season; the others stay."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.sentiment.models import Article, ArticleBand, ArticleRevision, Bucket, BucketSize, Cell, Expectation, Monitor
from apps.sentiment.services.ingest import STORY_SPAN
from core.search import search_vector

AT_ONCE = 500
ROWS_AT_ONCE = 10_000
BANDS_KEPT = 2 * STORY_SPAN
FINE_KEPT = timedelta(days=100)


def forget_bands(*, now: datetime | None = None) -> int:
    """Let go of the bands of articles whose story is told; how many there were."""
    before = (now or timezone.now()) - BANDS_KEPT
    return ArticleBand.objects.filter(article__received_at__lt=before, article__published_at__lt=before).delete()[0]


def forget_buckets(*, now: datetime | None = None) -> int:
    """Let go of old buckets of five minutes, and of what was expected of old hours; how many rows there were."""
    before = (now or timezone.now()) - FINE_KEPT
    count = 0
    for rows in (
        Bucket.objects.filter(seconds=BucketSize.FIVE_MINUTES, start_at__lt=before),
        Cell.objects.filter(seconds=BucketSize.FIVE_MINUTES, start_at__lt=before),
        Expectation.objects.filter(seconds=BucketSize.HOUR, start_at__lt=before),
    ):
        while gone := rows.filter(
            pk__in=list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
        ).delete()[0]:
            count += gone
    return count


def forget_bodies(*, now: datetime | None = None) -> int:
    """Empty the texts that are older, and find those articles by their titles alone; how many there were."""
    now, count = now or timezone.now(), 0
    for monitor in Monitor.objects.only("body_days"):
        old = Article.objects.filter(monitor=monitor, received_at__lt=now - timedelta(days=monitor.body_days))
        while True:
            with transaction.atomic():
                rows = list(old.exclude(body="").select_for_update(skip_locked=True).only("title")[:AT_ONCE])
                for row in rows:
                    row.body, row.search = "", search_vector(row.title)
                Article.objects.bulk_update(rows, ["body", "search"])
                ArticleRevision.objects.filter(article__in=rows).delete()
            count += len(rows)
            if len(rows) < AT_ONCE:
                break
    return count

"""What changes rows of the sentiment room."""

from apps.sentiment.services.ingest import MOST_ITEMS, Taken, ingest, not_taken
from apps.sentiment.services.monitors import change_monitor, create_monitor, delete_monitor
from apps.sentiment.services.readings import claim_source, claim_sources, record_reading
from apps.sentiment.services.retention import forget_bands, forget_bodies
from apps.sentiment.services.scoring import (
    claim_articles,
    labels_fit,
    record_scores,
    score_again,
    scoring_failed,
    scoring_waits,
)
from apps.sentiment.services.sources import add_source, change_source, fetch_now, remove_source

__all__ = [
    "MOST_ITEMS",
    "Taken",
    "add_source",
    "change_monitor",
    "change_source",
    "claim_articles",
    "claim_source",
    "claim_sources",
    "create_monitor",
    "delete_monitor",
    "fetch_now",
    "forget_bands",
    "forget_bodies",
    "ingest",
    "labels_fit",
    "not_taken",
    "record_reading",
    "record_scores",
    "remove_source",
    "score_again",
    "scoring_failed",
    "scoring_waits",
]

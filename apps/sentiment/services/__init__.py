"""What changes rows of the sentiment room."""

from apps.sentiment.services.alerts import acknowledge, assign, close, judge, note
from apps.sentiment.services.ingest import MOST_ITEMS, Taken, ingest, not_taken
from apps.sentiment.services.monitors import change_monitor, create_monitor, delete_monitor
from apps.sentiment.services.readings import claim_source, claim_sources, record_reading
from apps.sentiment.services.replays import back_test, finish_replay, replay
from apps.sentiment.services.retention import forget_bands, forget_bodies
from apps.sentiment.services.rules import add_silence, change_rule, create_rule, delete_rule, end_silence
from apps.sentiment.services.scoring import (
    claim_articles,
    labels_fit,
    record_scores,
    score_again,
    scoring_failed,
    scoring_waits,
)
from apps.sentiment.services.sources import add_source, change_source, fetch_now, remove_source
from apps.sentiment.services.telling import tell_due

__all__ = [
    "MOST_ITEMS",
    "Taken",
    "acknowledge",
    "add_silence",
    "add_source",
    "assign",
    "back_test",
    "change_monitor",
    "change_rule",
    "change_source",
    "claim_articles",
    "claim_source",
    "claim_sources",
    "close",
    "create_monitor",
    "create_rule",
    "delete_monitor",
    "delete_rule",
    "end_silence",
    "fetch_now",
    "finish_replay",
    "forget_bands",
    "forget_bodies",
    "ingest",
    "judge",
    "labels_fit",
    "not_taken",
    "note",
    "record_reading",
    "record_scores",
    "remove_source",
    "replay",
    "score_again",
    "scoring_failed",
    "scoring_waits",
    "tell_due",
]

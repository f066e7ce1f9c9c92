"""What changes rows of the sentiment room."""

from apps.sentiment.services.alerts import acknowledge, assign, close, judge, note
from apps.sentiment.services.backfills import forget_backfill_files, receive_backfill, start_backfill
from apps.sentiment.services.corrections import SENTIMENT, correct_article, take_back
from apps.sentiment.services.entities import change_entity, create_entity, delete_entity
from apps.sentiment.services.exports import export_articles
from apps.sentiment.services.hooks import require_signed, rotate_hook_secret, taken_once
from apps.sentiment.services.hosts import forget_hosts
from apps.sentiment.services.ingest import MOST_ITEMS, Taken, ingest, not_taken
from apps.sentiment.services.lessons import SAMPLE_SHARES, make_lesson, train_lesson
from apps.sentiment.services.linking import lexis_of, link_again, link_next, try_text
from apps.sentiment.services.many_entities import Upserted, upsert_entities
from apps.sentiment.services.monitors import change_monitor, create_monitor, delete_monitor
from apps.sentiment.services.pages import page_failed, page_was_read, try_pages_again, without_waiting
from apps.sentiment.services.readings import (
    claim_source,
    claim_sources,
    note_push,
    record_reading,
    wait_seconds_of,
)
from apps.sentiment.services.replays import back_test, finish_replay, replay
from apps.sentiment.services.retention import forget_bands, forget_bodies, forget_buckets
from apps.sentiment.services.rules import add_silence, change_rule, create_rule, delete_rule, end_silence
from apps.sentiment.services.saved_views import change_view, delete_view, may_change, open_with, save_view
from apps.sentiment.services.scoring import (
    claim_articles,
    labels_fit,
    score_again,
    scoring_failed,
    scoring_waits,
)
from apps.sentiment.services.sources import add_source, change_source, fetch_now, remove_source
from apps.sentiment.services.targets import joined, windows_of
from apps.sentiment.services.telling import tell_due
from apps.sentiment.services.topics import change_topic, create_topic, delete_topic
from apps.sentiment.services.understanding import record_scores, record_understanding

__all__ = [
    "MOST_ITEMS",
    "SAMPLE_SHARES",
    "SENTIMENT",
    "Taken",
    "Upserted",
    "acknowledge",
    "add_silence",
    "add_source",
    "assign",
    "back_test",
    "change_entity",
    "change_monitor",
    "change_rule",
    "change_source",
    "change_topic",
    "change_view",
    "claim_articles",
    "claim_source",
    "claim_sources",
    "close",
    "correct_article",
    "create_entity",
    "create_monitor",
    "create_rule",
    "create_topic",
    "delete_entity",
    "delete_monitor",
    "delete_rule",
    "delete_topic",
    "delete_view",
    "end_silence",
    "export_articles",
    "fetch_now",
    "finish_replay",
    "forget_backfill_files",
    "forget_bands",
    "forget_bodies",
    "forget_buckets",
    "forget_hosts",
    "ingest",
    "joined",
    "judge",
    "labels_fit",
    "lexis_of",
    "link_again",
    "link_next",
    "make_lesson",
    "may_change",
    "not_taken",
    "note",
    "note_push",
    "open_with",
    "page_failed",
    "page_was_read",
    "receive_backfill",
    "record_reading",
    "record_scores",
    "record_understanding",
    "remove_source",
    "replay",
    "require_signed",
    "rotate_hook_secret",
    "save_view",
    "score_again",
    "scoring_failed",
    "scoring_waits",
    "start_backfill",
    "take_back",
    "taken_once",
    "tell_due",
    "train_lesson",
    "try_pages_again",
    "try_text",
    "upsert_entities",
    "wait_seconds_of",
    "windows_of",
    "without_waiting",
]

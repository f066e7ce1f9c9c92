"""Articles as rows of a file: what each has, and how it is written as text and as Parquet."""

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from django.db.models import Prefetch, QuerySet

from apps.sentiment.corrected import full_name
from apps.sentiment.models import Article, ArticleEntity, ArticleTopic, Monitor, Score, TargetScore
from core.errors import Refused
from core.parquet_out import pieces
from core.rows_out import lines_of, portions
from core.streaming import releasing
from words import say

ROWS_AT_ONCE = 2_000
TEXTS_AT_ONCE = 200  # rows, where they bring their texts along: of 200,000 characters at most
TEXT = "body"
COLUMNS = (
    "id", "source", "source_name", "story", "url", "title", "author", "language", "published_at", "confidence",
    "received_at", "is_history", "model_version", "sentiment", "probability", "topics", "entities",
)  # fmt: skip
TIMES = ("published_at", "received_at")
OWN = ("url", "title", "author", "language", "confidence", "is_history")


def written(
    monitor: Monitor, rows: QuerySet[Article], form: str, *, with_texts: bool = False
) -> Iterator[str] | Iterator[bytes]:
    """Pieces of a file of articles by ascending id, in `form`: csv, spreadsheet, jsonl or parquet.

    Raises:
        Refused: while it is written, because the monitor was deleted meanwhile; the file has no end then.
    """
    zone, own = ZoneInfo(monitor.time_zone), (*OWN, TEXT) if with_texts else OWN
    columns = (*COLUMNS, TEXT) if with_texts else COLUMNS
    found = _told(rows if with_texts else rows.defer(TEXT))
    parts = _while_there(portions(found, TEXTS_AT_ONCE if with_texts else ROWS_AT_ONCE), monitor)
    if form == "parquet":
        return pieces((_record(row, zone, own) for part in parts for row in part), _schema(monitor, columns))
    return lines_of(parts, form, columns, lambda row: _in_text(_record(row, zone, own), form))


def _told(rows: QuerySet[Article]) -> QuerySet[Article]:
    """With their sources, newest scores, topics and entities, in as many queries however many rows there are.

    What many rows share (a version, a topic, an entity) is fetched once for all of a portion, not joined to each.
    """
    scores = Score.objects.order_by("article", "-id").distinct("article").prefetch_related("model_version__family")
    topics = ArticleTopic.objects.filter(is_current=True).prefetch_related("topic__parent")
    entities = ArticleEntity.objects.prefetch_related("entity").defer("spans").order_by("id")
    targets = TargetScore.objects.order_by("article", "entity", "-is_dedicated", "-id").distinct("article", "entity")
    return rows.defer("search").prefetch_related(
        "source",
        Prefetch("scores", scores.defer("probabilities"), "newest_scores"),
        Prefetch("topics", topics.order_by("-probability", "topic__name", "id")),
        Prefetch("entities", entities),
        Prefetch("target_scores", targets.defer("probabilities"), "spoken"),
    )


def _while_there(parts: Iterator[list[Article]], monitor: Monitor) -> Iterator[list[Article]]:
    """The parts; an error in place of their end where the monitor is gone, so that nobody takes a part for the whole."""
    yield from parts
    if not releasing(Monitor.objects.filter(pk=monitor.pk).exists)():
        said = say("The monitor was deleted meanwhile: the file is not whole.")
        raise Refused("monitor_gone", said, status=410)


def _record(row: Any, zone: ZoneInfo, own: tuple[str, ...]) -> dict[str, Any]:
    """One article in plain values, with these columns of its row; times are those of `zone`."""
    score = next(iter(row.newest_scores), None)
    spoken = {each.entity_id: each for each in row.spoken}
    return {
        **{name: getattr(row, name) for name in own},
        **{name: getattr(row, name).astimezone(zone) for name in TIMES},
        "id": row.pk,
        "source": row.source_id,
        "source_name": row.source.name,
        "story": row.story_id,
        "model_version": str(score.model_version) if score else None,
        "sentiment": score.sentiment if score else None,
        "probability": score.probability if score else None,
        "topics": list(dict.fromkeys(full_name(each.topic) for each in row.topics.all())),
        "entities": [_entity(each.entity, spoken.get(each.entity_id)) for each in row.entities.all()],
    }


def _entity(entity: Any, score: TargetScore | None) -> dict[str, Any]:
    return {
        "name": entity.name,
        "tickers": entity.tickers,
        "sentiment": score.sentiment if score else None,
        "probability": score.probability if score else None,
    }


def _in_text(values: dict[str, Any], form: str) -> Mapping[str, Any]:
    """As a form of text writes it; people who open a spreadsheet read words, not JSON."""
    found = {**values, **{name: values[name].isoformat() for name in TIMES}}
    if form != "jsonl":
        found["is_history"] = str(values["is_history"]).lower()
    if form == "spreadsheet":
        found["entities"] = [_in_words(each) for each in values["entities"]]
    return found


def _in_words(entity: dict[str, Any]) -> str:
    tickers = f" ({', '.join(entity['tickers'])})" if entity["tickers"] else ""
    return f"{entity['name']}{tickers}" + (f": {entity['sentiment']}" if entity["sentiment"] else "")


def _schema(monitor: Monitor, columns: tuple[str, ...]) -> pa.Schema:
    text, number, moment = pa.string(), pa.float64(), pa.timestamp("us", tz=monitor.time_zone)
    entity = [("name", text), ("tickers", pa.list_(text)), ("sentiment", text), ("probability", number)]
    types = {
        **dict.fromkeys(("id", "source", "story"), pa.int64()),
        **dict.fromkeys(TIMES, moment),
        "is_history": pa.bool_(),
        "probability": number,
        "topics": pa.list_(text),
        "entities": pa.list_(pa.struct(entity)),
    }
    return pa.schema([(name, types.get(name, text)) for name in columns])

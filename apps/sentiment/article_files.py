"""Articles as rows of a file: what each has, and how it is written as text and as Parquet."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from django.db.models import QuerySet

from apps.registry.models import ModelVersion
from apps.sentiment.corrected import full_name
from apps.sentiment.models import (
    Article,
    ArticleEntity,
    ArticleTopic,
    Entity,
    Monitor,
    Score,
    Source,
    TargetScore,
    Topic,
)
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
    own, columns = ((*OWN, TEXT), (*COLUMNS, TEXT)) if with_texts else (OWN, COLUMNS)
    found = portions(rows.only("source", "story", *own, *TIMES), TEXTS_AT_ONCE if with_texts else ROWS_AT_ONCE)
    parts = map(releasing(_Teller(monitor, own).told), _while_there(found, monitor))
    if form == "parquet":
        return pieces((record for part in parts for record in part), _schema(monitor, columns))
    return lines_of(parts, form, columns, lambda record: _in_text(record, form))


def _while_there(parts: Iterator[list[Article]], monitor: Monitor) -> Iterator[list[Article]]:
    """The parts; an error in place of their end where the monitor is gone, so that nobody takes a part for the whole."""
    yield from parts
    if not releasing(Monitor.objects.filter(pk=monitor.pk).exists)():
        said = say("The monitor was deleted meanwhile: the file is not whole.")
        raise Refused("monitor_gone", said, status=410)


class _Names:
    """What many rows share by id, asked for when it is first met."""

    def __init__(self, ask: Callable[[set[int]], dict[int, Any]]) -> None:
        self._ask, self._known = ask, dict[int, Any]()

    def of(self, ids: Iterable[int]) -> dict[int, Any]:
        if missing := set(ids) - self._known.keys():
            self._known |= self._ask(missing)
        return self._known


class _Teller:
    """Tells articles in plain values: in as many queries a part however many they are."""

    def __init__(self, monitor: Monitor, own: tuple[str, ...]) -> None:
        self.zone, self.own = ZoneInfo(monitor.time_zone), own
        self.sources = _Names(lambda ids: dict(Source.objects.filter(pk__in=ids).values_list("pk", "name")))
        self.versions = _Names(
            lambda ids: {
                row.pk: str(row)
                for row in ModelVersion.objects.filter(pk__in=ids)
                .select_related("family")
                .only("number", "family__name")
            }
        )
        self.topics = _Names(
            lambda ids: {row.pk: full_name(row) for row in Topic.objects.filter(pk__in=ids).select_related("parent")}
        )
        self.entities = _Names(Entity.objects.only("name", "tickers").in_bulk)

    def told(self, part: Sequence[Article]) -> list[dict[str, Any]]:
        """Columns by name; times are those of the monitor's zone."""
        ids = [row.pk for row in part]
        sources = self.sources.of(row.source_id for row in part)
        scores, topics, entities = self._scores(ids), self._topics(ids), self._entities(ids)
        nothing = dict.fromkeys(("model_version", "sentiment", "probability"))
        return [
            {
                "id": row.pk,
                "source": row.source_id,
                "source_name": sources.get(row.source_id, ""),
                "story": row.story_id,
                **{name: getattr(row, name) for name in self.own},
                **{name: getattr(row, name).astimezone(self.zone) for name in TIMES},
                **scores.get(row.pk, nothing),
                "topics": topics[row.pk],
                "entities": entities[row.pk],
            }
            for row in part
        ]

    def _scores(self, ids: list[int]) -> dict[int, dict[str, Any]]:
        """The newest of each article."""
        rows = Score.objects.filter(article__in=ids).order_by("article", "-id").distinct("article")
        found = list(rows.values_list("article", "model_version", "sentiment", "probability"))
        names = self.versions.of(each[1] for each in found)
        return {
            article: {"model_version": names.get(version), "sentiment": sentiment, "probability": probability}
            for article, version, sentiment, probability in found
        }

    def _topics(self, ids: list[int]) -> dict[int, list[str]]:
        """Names, the surest first; a topic by words and by a version counts once."""
        rows = ArticleTopic.objects.filter(article__in=ids, is_current=True).order_by(
            "-probability", "topic__name", "id"
        )
        found = list(rows.values_list("article", "topic"))
        names, told = self.topics.of(topic for _article, topic in found), defaultdict[int, list[str]](list)
        for article, topic in dict.fromkeys(found):
            if topic in names:
                told[article].append(names[topic])
        return told

    def _entities(self, ids: list[int]) -> dict[int, list[dict[str, Any]]]:
        """With how each is spoken of by the version that goes first."""
        scores = TargetScore.objects.filter(article__in=ids).order_by("article", "entity", "-is_dedicated", "-id")
        scores = scores.distinct("article", "entity")
        spoken = {
            (article, entity): (sentiment, probability)
            for article, entity, sentiment, probability in scores.values_list(
                "article", "entity", "sentiment", "probability"
            )
        }
        links = ArticleEntity.objects.filter(article__in=ids).order_by("id").values_list("article", "entity")
        names, told = (
            self.entities.of({entity for _article, entity in links}),
            defaultdict[int, list[dict[str, Any]]](list),
        )
        for article, entity in links:
            sentiment, probability = spoken.get((article, entity), (None, None))
            if found := names.get(entity):
                told[article].append(
                    {"name": found.name, "tickers": found.tickers, "sentiment": sentiment, "probability": probability}
                )
        return told


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

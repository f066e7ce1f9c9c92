"""Articles on their way with all that is said of them: sentiment, topics, entities and the sentiment towards each.

Two of ten texts speak of two entities, so that their clauses are read apart; four speak of one, four of none. The topic version has
a head of its own on the same encoder.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.utils import timezone

from apps.registry.models import ModelVersion, Task
from apps.registry.services import register_version
from apps.sentiment import services
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.meaning.linking import Known, Name, Reader
from apps.sentiment.models import ArticleEntity, ArticleTopic, Bucket, Entity, Score, Source, TargetScore
from core.access import Actor
from engine.bench.encoders import made_rows, make_model
from workers.bench.measure import Measure, Options
from workers.bench.news import PARTS
from workers.bench.tenant import own_workspace
from workers.memory import Models
from workers.scoring import score_next

ARTICLES, ROUNDS, WORDS = 600, 5, 20
ENTITIES = 2_000  # with two aliases and a ticker each
LABELS = ("card", "loan", "transfer")  # of made_rows
SEED = 18


def measures(options: Options) -> Iterator[Measure]:
    """Rounds in turn: the sentiment model alone, then the whole way of as many other articles; medians."""
    count, rounds = (100, 1) if options.small else (ARTICLES, ROUNDS)
    draw = random.Random(SEED)  # noqa: S311 - texts, not secrets
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        tone, about = (_version(actor, Path(place), name, seed) for name, seed in (("tone", 17), ("about", 19)))
        source, names = _source(actor, tone, about, draw)
        models = Models()
        bare = models.get(tone, Task.CLASSIFICATION)
        bare.predict(_texts(draw, names, 32))
        _way(source, models, _texts(draw, names, 32), "warm")
        alone, whole = [], []
        for at in range(rounds):
            texts = _texts(draw, names, count)
            begun = time.perf_counter()
            bare.predict(texts)
            alone.append(time.perf_counter() - begun)
            whole.append(_way(source, models, _texts(draw, names, count), str(at)))
        ratio = statistics.median(one / other for one, other in zip(alone, whole, strict=True))
        told = f"{rounds} rounds of {count} texts of {WORDS} words, {ENTITIES} entities, seed {SEED}, one thread"
        yield Measure(
            "articles with topics, entities and sentiment towards them, of the bare model's speed",
            ratio,
            "x",
            at_least=0.7,
            detail=told,
        )
        said = f"the bare model {count / statistics.median(alone):.0f}/s; {_stored(source)}"
        yield Measure("articles", count / statistics.median(whole), "/s", at_least=40, detail=said)
        yield Measure("entities that were not counted once", _not_counted(source, tone), "", at_most=0)
        yield _linking(draw, names)


def _version(actor: Actor, place: Path, name: str, seed: int) -> ModelVersion:
    folder = make_model(place / name, made_rows(90, seed), seed)
    return register_version(
        workspace=actor.workspace, folder=folder, name=name, recipe="classify", task="classification", by=actor.user
    )


def _source(actor: Actor, tone: ModelVersion, about: ModelVersion, draw: random.Random) -> tuple[Source, list[str]]:
    names = [f"{draw.choice(PARTS)}{draw.choice(PARTS)}{number} Works" for number in range(ENTITIES)]
    Entity.objects.bulk_create(
        Entity(workspace=actor.workspace, name=name, tickers=[f"{600_000 + at}.SH"]) for at, name in enumerate(names)
    )
    for entity in Entity.objects.filter(workspace=actor.workspace):
        entity.aliases.bulk_create(
            entity.aliases.model(entity=entity, text=text) for text in (entity.name, f"{entity.name} Holdings")
        )
    for label in LABELS:
        services.create_topic(actor=actor, name=label)
    monitor = services.create_monitor(
        actor=actor,
        name="Bench",
        sentiment_model=str(tone.pk),
        topic_models=[str(about.pk)],
        topic_threshold=0.3,
        negative_label="card",
        positive_label="",
    )
    return services.add_source(actor=actor, monitor=monitor, kind="push", name="Bench"), names


def _way(source: Source, models: Models, texts: list[str], number: str) -> float:
    now = timezone.now()
    items = [
        Item(f"{number}.{at}", "", text, "", published_at=now, confidence=Confidence.STATED)
        for at, text in enumerate(texts)
    ]
    begun = time.perf_counter()
    services.ingest(source, items)
    while score_next(models):
        pass
    return time.perf_counter() - begun


def _texts(draw: random.Random, names: list[str], count: int) -> list[str]:
    return [_text(draw, names, (0, 0, 1, 1, 2)[at % 5]) for at in range(count)]


def _text(draw: random.Random, names: list[str], entities: int) -> str:
    words = [f"{draw.choice(PARTS)}{draw.choice(PARTS)}" for _each in range(WORDS - 2 * entities)]
    half = len(words) // 2
    if entities:
        words[0] = draw.choice(names)
    if entities == 2:
        words[half] = f"while {draw.choice(names)}"
    return " ".join(words)


def _stored(source: Source) -> str:
    where = {"article__source": source}
    rows = [("topics", ArticleTopic), ("links", ArticleEntity), ("target scores", TargetScore)]
    return ", ".join(f"{model.objects.filter(**where).count()} {name}" for name, model in rows)  # type: ignore[attr-defined]


def _not_counted(source: Source, tone: ModelVersion) -> int:
    """How far buckets of entities, and the total, are from the rows they count."""
    days = Bucket.objects.filter(monitor=source.monitor_id, clock="received", seconds=86_400, model_version=tone)
    found = {
        dimension: sum(days.filter(dimension=dimension).values_list("article_count", flat=True))
        for dimension in ("entity", "total")
    }
    links = ArticleEntity.objects.filter(article__source=source).count()
    scores = Score.objects.filter(article__source=source).count()
    return abs(found["entity"] - links) + abs(found["total"] - scores)


def _linking(draw: random.Random, names: list[str]) -> Measure:
    """The linker alone, on as many aliases."""
    reader = Reader(
        Known(at, (Name(name), Name(f"{name} Holdings")), (f"{600_000 + at}.SH",)) for at, name in enumerate(names)
    )
    texts = _texts(draw, names, 2_000)
    begun = time.perf_counter()
    for text in texts:
        reader.read(text)
    seconds = (time.perf_counter() - begun) / len(texts)
    return Measure("entities of a text are found in", seconds * 1e6, "µs", detail=f"{2 * len(names)} aliases")

"""Articles on their way: taken in, read by a version, counted; beside the bare model on the same texts."""

import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from django.utils import timezone

from apps.registry.models import Task
from apps.sentiment import services
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.models import Bucket, Score, Source
from core.access import Actor
from workers.bench.measure import Measure, Options
from workers.bench.online import labels_version
from workers.bench.tenant import own_workspace
from workers.memory import Models
from workers.scoring import score_next

ARTICLES, ROUNDS, WORDS = 600, 5, 20
SEED = 17


def measures(options: Options) -> Iterator[Measure]:
    """Rounds in turn: the model alone, then the whole way of as many other articles; medians."""
    count, rounds = (100, 1) if options.small else (ARTICLES, ROUNDS)
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        version = labels_version(actor, Path(place))
        monitor = services.create_monitor(
            actor=actor,
            name="Bench",
            sentiment_model=str(version.pk),
            negative_label="card",
            positive_label="",
        )
        source = services.add_source(actor=actor, monitor=monitor, kind="push", name="Bench")
        models, draw = Models(), random.Random(SEED)  # noqa: S311 - texts, not secrets
        bare = models.get(version, Task.CLASSIFICATION)
        bare.predict(made_texts(draw, 32))
        alone, whole = [], []
        for at in range(rounds):
            texts = made_texts(draw, count)
            begun = time.perf_counter()
            bare.predict(texts)
            alone.append(time.perf_counter() - begun)
            whole.append(_way(actor, source, models, made_texts(draw, count), at))
        scored = Score.objects.filter(article__source=source).count()
        bucket = Bucket.objects.filter(monitor=monitor, clock="received", seconds=86_400, dimension="total")
        counted = sum(bucket.exclude(model_version=None).values_list("article_count", flat=True))
        ratio = statistics.median(one / other for one, other in zip(alone, whole, strict=True))
        told = f"{rounds} rounds of {count} texts of {WORDS} words, seed {SEED}, one thread"
        yield Measure(
            "articles taken in, scored and counted, of the bare model's speed", ratio, "x", at_least=0.7, detail=told
        )
        rate = count / statistics.median(whole)
        yield Measure(
            "articles", rate, "/s", at_least=40, detail=f"the bare model {count / statistics.median(alone):.0f}/s"
        )
        yield Measure(
            "articles that were not counted once", abs(rounds * count - scored) + abs(scored - counted), "", at_most=0
        )


def _way(actor: Actor, source: Source, models: Models, texts: list[str], number: int) -> float:
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


def made_texts(draw: random.Random, count: int) -> list[str]:
    """As many texts of made words."""
    return [" ".join(f"{draw.choice(PARTS)}{draw.choice(PARTS)}" for _each in range(WORDS)) for _text in range(count)]


PARTS = [
    "har",
    "bour",
    "mar",
    "ket",
    "pro",
    "fit",
    "sha",
    "res",
    "bank",
    "rate",
    "new",
    "deal",
    "fall",
    "rise",
    "plan",
    "town",
]

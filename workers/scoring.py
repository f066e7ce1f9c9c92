"""Articles of monitors are read by the versions that are named there, beside single requests and with the same models.

A monitor's versions read a batch of articles and the windows around its entities in one pass: versions on the same encoder
share it (engine.together).
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, close_old_connections

from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import resolve_version
from apps.sentiment import services
from apps.sentiment.models import Article, Monitor
from apps.sentiment.services.scoring import SCORING_CHANNEL, Said
from apps.sentiment.services.targets import Window
from apps.sentiment.services.topics import TopicSaid
from apps.sentiment.services.understanding import Targets
from core.errors import Refused
from words import join, say
from workers.bell import Bell
from workers.memory import Models

logger = logging.getLogger(__name__)

TOGETHER = 128
IDLE_SECONDS = 1.0


@dataclass(frozen=True)
class Reader:
    """A version that is named in a monitor, and its model."""

    version: ModelVersion
    model: Any


@dataclass(frozen=True)
class Readers:
    """All that read the articles of one monitor; `targets` reads windows, and is `sentiment` where none is named for it."""

    sentiment: Reader | None
    topics: tuple[Reader, ...]
    targets: Reader | None
    is_dedicated: bool


def score(stop: threading.Event, models: Models) -> None:
    """Read waiting articles until `stop`."""
    with Bell(SCORING_CHANNEL) as bell:
        while not stop.is_set():
            try:
                close_old_connections()
                if not score_next(models):
                    bell.heard(IDLE_SECONDS)
            except OperationalError as error:
                logger.warning("database unreachable: %s", error)
                stop.wait(IDLE_SECONDS)


def score_next(models: Models) -> bool:
    """Read the next articles of one monitor; False when none waits."""
    from engine.failures import RunFailed

    articles = services.claim_articles(TOGETHER)
    if not articles:
        return False
    try:
        readers = _readers(models, articles[0].monitor)
    except (Refused, RunFailed) as why:
        services.scoring_waits(articles[0].monitor, articles, join([why.message, why.hint]))
        return True
    _record(readers, articles)
    return True


def _readers(models: Models, monitor: Monitor) -> Readers:
    """Refused or RunFailed where one of them cannot be had."""
    sentiment = _reader(models, monitor, monitor.sentiment_model)
    apart = _reader(models, monitor, monitor.target_model)
    topics = [_reader(models, monitor, name) for name in monitor.topic_models]
    return Readers(
        sentiment, tuple(each for each in topics if each), apart or sentiment, is_dedicated=apart is not None
    )


def _reader(models: Models, monitor: Monitor, name: str) -> Reader | None:
    if not name:
        return None
    version = resolve_version(monitor.workspace, name)
    if version.task != Task.CLASSIFICATION:
        raise Refused("not_a_classifier", say("The version “{version}” does not label texts.", version=version))
    return Reader(version, models.get(version, version.task))


def _record(readers: Readers, articles: Sequence[Article]) -> None:
    monitor = articles[0].monitor
    targets = readers.targets
    windows: list[Window] = []
    if targets is not None:
        windows = services.windows_of(articles, targets.version, is_dedicated=readers.is_dedicated)
    asked = [
        (reader.model, [each.text for each in articles]) for reader in (readers.sentiment, *readers.topics) if reader
    ]
    if targets is not None and windows:
        asked.append((targets.model, [each.text for each in windows]))
    try:
        answers = _answers(asked)
    except Exception:
        if len(articles) == 1:
            logger.exception("article %s cannot be read", articles[0].pk)
            services.scoring_failed(articles[0])
            return
        for each in articles:  # the one that cannot be read takes no other with it
            _record(readers, [each])
        return
    towards = answers.pop() if windows else None
    meaning = answers.pop(0) if readers.sentiment else None
    for found in (meaning, towards):
        if found is not None and (reason := services.labels_fit(monitor, found.names)):
            services.scoring_waits(monitor, articles, reason)
            return
    services.record_understanding(
        articles,
        version=readers.sentiment.version if readers.sentiment else None,
        said=[Said(*each) for each in zip(articles, _by_label(meaning), strict=True)] if meaning else [],
        topics=[
            TopicSaid(article, reader.version, probabilities)
            for reader, found in zip(readers.topics, answers, strict=True)
            for article, probabilities in zip(articles, _likely(reader, found), strict=True)
        ],
        targets=Targets(targets.version, services.joined(windows, _by_label(towards)), readers.is_dedicated)
        if targets and towards
        else None,
    )


def _answers(asked: Sequence[tuple[Any, Sequence[str]]]) -> list[Any]:
    from engine.together import predict_together

    return list(predict_together(asked))


def _by_label(found: Any) -> list[dict[str, float]]:
    """Of each text a probability for each label."""
    return [dict(zip(found.names, (float(value) for value in row), strict=True)) for row in found.probabilities]


def _likely(reader: Reader, found: Any) -> list[dict[str, float]]:
    """Labels that can be given: all of a multi-label version, else the likeliest alone."""
    rows = _by_label(found)
    if reader.model.multi_label:
        return rows
    return [dict([max(row.items(), key=lambda label: label[1])]) for row in rows]

"""Articles of monitors are read by the versions that are named there, beside single requests and with the same models."""

import logging
import threading
from collections.abc import Sequence

from django.db import OperationalError, close_old_connections

from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import resolve_version
from apps.sentiment import services
from apps.sentiment.models import Article
from apps.sentiment.services.ingest import SCORING_CHANNEL
from apps.sentiment.services.scoring import Said
from core.errors import Refused
from words import join, say
from workers.bell import Bell
from workers.memory import Models

logger = logging.getLogger(__name__)

TOGETHER = 128
IDLE_SECONDS = 1.0


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
    monitor = articles[0].monitor
    try:
        version = resolve_version(monitor.workspace, monitor.sentiment_model)
        if version.task != Task.CLASSIFICATION:
            raise Refused("not_a_classifier", say("The version “{version}” does not label texts.", version=version))
        model = models.get(version, version.task)
    except (Refused, RunFailed) as why:
        services.scoring_waits(monitor, articles, join([why.message, why.hint]))
        return True
    _record(model, version, articles)
    return True


def _record(model: object, version: ModelVersion, articles: Sequence[Article]) -> None:
    try:
        found = model.predict([each.text for each in articles])  # type: ignore[attr-defined]
    except Exception:
        if len(articles) == 1:
            logger.exception("article %s cannot be read", articles[0].pk)
            services.scoring_failed(articles[0])
            return
        for each in articles:  # the one that cannot be read takes no other with it
            _record(model, version, [each])
        return
    if reason := services.labels_fit(articles[0].monitor, found.names):
        services.scoring_waits(articles[0].monitor, articles, reason)
        return
    said = [
        Said(article, dict(zip(found.names, (float(value) for value in row), strict=True)))
        for article, row in zip(articles, found.probabilities, strict=True)
    ]
    services.record_scores(version, said)

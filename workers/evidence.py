"""The words that sample texts of alerts were found negative by: told by the resident role when nobody waits for a reason."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from apps.inference.models import OnlineKind
from apps.registry.models import ModelVersion
from apps.sentiment.services.evidence import Sample, alert_without_evidence, record_evidence, samples_of
from words import join, say
from workers.memory import Models

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


def attributions(models: Models, version: ModelVersion, texts: Sequence[str], label: str = "") -> list[dict[str, Any]]:
    """For each text what `engine.explain.attribute` tells, by the version in memory; RunFailed where it cannot."""
    found: list[dict[str, Any]] = models.get(version, OnlineKind.ATTRIBUTE).attribute(texts, label)
    return found


class Evidence:
    """Looks for alerts without evidence now and then."""

    def __init__(self, models: Models) -> None:
        self._models, self._looked = models, float("-inf")

    def next(self) -> bool:
        """Tell the evidence of one alert; False when none lacks it, or nobody has looked for long enough."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return False
        found = prove_next(self._models)
        if not found:
            self._looked = time.monotonic()
        return found


def prove_next(models: Models) -> bool:
    """Tell the evidence of the alert that fired last of those without; False when there is none."""
    alert = alert_without_evidence(timezone.now())
    if alert is None:
        return False
    label = alert.monitor.negative_label
    record_evidence(alert, [(sample, _said(models, sample, label)) for sample in samples_of(alert)])
    return True


def _said(models: Models, sample: Sample, label: str) -> dict[str, Any]:
    """What the version tells of a text, or why it cannot; its tokens stay away, words say the same to people."""
    from engine.failures import RunFailed

    if sample.version is None:
        return {"error": say("No version has read this text.")}
    try:
        (told,) = attributions(models, sample.version, [sample.text], label)
    except RunFailed as failure:
        return {"error": join([failure.message, failure.hint])}
    except Exception:
        logger.exception("the words of article %s could not be weighed", sample.article.pk)
        return {"error": say("The words of this text could not be weighed.")}
    return {"told": {name: value for name, value in told.items() if name != "tokens"}}

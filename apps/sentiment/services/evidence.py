"""Which alerts still lack the words that their sample texts were found negative by, and writing these down once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.registry.models import ModelVersion
from apps.sentiment.models import Alert, Article, Score, ScoringState

FORMAT = 1
TEXTS = 3
MOST_CHARACTERS = 500  # of a text: no more tokens than can be explained, and all of it that an alert keeps
LOOKED_THROUGH = 20  # alerts at a time
READ_WITHIN = timedelta(minutes=10)  # after it fired; texts that no version has read by then have no reasons
WITHIN = timedelta(days=1)  # after it fired; what nobody could explain by then stays without


@dataclass(frozen=True)
class Sample:
    """A sample text of an alert, and the version that said last how it is meant (None: none did)."""

    article: Article
    version: ModelVersion | None

    @property
    def text(self) -> str:
        """The beginning of the article, as the version read it."""
        return self.article.text[:MOST_CHARACTERS]


def alert_without_evidence(now: datetime) -> Alert | None:
    """The alert that fired last of those that are explained and lack evidence, where a version says how texts are meant."""
    rows = Alert.objects.filter(fired_at__gt=now - WITHIN, explanation__isnull=False, evidence__isnull=True)
    rows = rows.exclude(monitor__sentiment_model="").select_related("monitor").order_by("-fired_at")
    alerts = list(rows[:LOOKED_THROUGH])
    fresh = {alert.pk: _samples(alert) for alert in alerts if _is_fresh(alert, now)}
    unread = _unread({pk for ids in fresh.values() for pk in ids})
    return next((alert for alert in alerts if unread.isdisjoint(fresh.get(alert.pk, ()))), None)


def _is_fresh(alert: Alert, now: datetime) -> bool:
    """Whether its texts may be read soon: what is told on arrival is told before it is read."""
    return alert.fired_at is not None and alert.fired_at > now - READ_WITHIN


def _unread(articles: set[int]) -> set[int]:
    """Those of these articles that still wait for a version."""
    rows = Article.objects.filter(pk__in=articles, scoring=ScoringState.WAITING)
    return set(rows.values_list("pk", flat=True))


def _samples(alert: Alert) -> list[int]:
    return [each["id"] for each in (alert.explanation or {}).get("samples", [])[:TEXTS]]


def samples_of(alert: Alert) -> list[Sample]:
    """The first texts of its explanation that are still kept."""
    ids = _samples(alert)
    articles = Article.objects.in_bulk(ids)
    rows = Score.objects.filter(article__in=ids).select_related("model_version__family").order_by("id")
    versions = {row.article_id: row.model_version for row in rows}  # the newest of each
    return [Sample(articles[pk], versions.get(pk)) for pk in ids if pk in articles]


def record_evidence(alert: Alert, found: Sequence[tuple[Sample, dict[str, Any]]]) -> bool:
    """Write down what was found of each sample: {"told": ...} or {"error": a sentence}. False where it was already."""
    samples = [
        {
            "id": sample.article.pk,
            "language": sample.article.language,
            "version": {"id": sample.version.pk, "name": str(sample.version)} if sample.version else None,
            "text": sample.text,
            **said,
        }
        for sample, said in found
    ]
    rows = Alert.objects.filter(pk=alert.pk, evidence__isnull=True)
    return bool(rows.update(evidence={"format": FORMAT, "label": alert.monitor.negative_label, "samples": samples}))

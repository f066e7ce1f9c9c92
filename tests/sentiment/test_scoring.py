"""How articles are meant: said by a version, stored once, counted once, never overwritten."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, Bucket, Monitor, Score, Source
from apps.sentiment.services.scoring import Said, meant
from core.access import Actor
from workers.scoring import score_next

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
Written = Callable[..., Item]
Version = Callable[..., ModelVersion]
LABELS: Any = {
    "name": "tone",
    "task": "classification",
    "recipe": "classify",
    "labels": ["negative", "neutral", "positive"],
}


class Tone:
    """A model that hears the word in a text; one text it cannot read at all."""

    names = ("negative", "neutral", "positive")

    def __init__(self) -> None:
        self.read: list[str] = []

    def predict(self, texts: Sequence[str]) -> Any:
        if any("unreadable" in text for text in texts):
            raise RuntimeError("this text ends the model")
        self.read += texts
        rows = [[0.9 if name in text else 0.05 for name in self.names] for text in texts]
        return SimpleNamespace(names=self.names, labels=[()] * len(rows), probabilities=rows)


class Memory:
    """Has one model loaded."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def get(self, _version: Any, _use: str) -> Any:
        return self.model


@pytest.fixture
def tone_version(named_version: Version) -> ModelVersion:
    return named_version(**LABELS)


@pytest.fixture
def scored_source(actor: Actor, pushed_source: Source, tone_version: ModelVersion) -> Source:
    """Its articles are read by the version."""
    monitor = pushed_source.monitor
    pushed_source.monitor = services.change_monitor(actor=actor, monitor=monitor, sentiment_model=str(tone_version.pk))
    return pushed_source


def total(monitor: Monitor, **where: Any) -> Any:
    return Bucket.objects.get(monitor=monitor, clock="published", seconds=3_600, dimension="total", **where)


def test_waiting_articles_are_read_together_and_counted_by_what_was_said(
    scored_source: Source, tone_version: ModelVersion, written: Written
) -> None:
    texts = ["negative news of a", "positive news of b", "neutral news of c", "nothing of d"]
    services.ingest(scored_source, [written(at, text) for at, text in enumerate(texts)], now=AT)
    tone = Tone()

    assert score_next(Memory(tone))  # type: ignore[arg-type]
    assert not score_next(Memory(tone))  # type: ignore[arg-type]

    rows = Score.objects.order_by("article_id").values_list("sentiment", "model_version_id")
    assert list(rows) == [(name, tone_version.pk) for name in ("negative", "positive", "neutral", "abstained")]
    bucket = total(scored_source.monitor, model_version=tone_version)
    assert (bucket.article_count, bucket.negative_count, bucket.positive_count) == (4, 1, 1)
    assert (bucket.neutral_count, bucket.abstained_count) == (1, 1)


def test_what_is_said_twice_is_counted_once(
    scored_source: Source, tone_version: ModelVersion, written: Written
) -> None:
    services.ingest(scored_source, [written(1)], now=AT)
    said = [Said(Article.objects.get(), {"negative": 0.9, "positive": 0.1})]

    assert [services.record_scores(tone_version, said) for _each in range(2)] == [1, 0]
    assert total(scored_source.monitor, model_version=tone_version).negative_count == 1


def test_a_later_version_adds_its_own_scores_and_loses_none(
    actor: Actor, scored_source: Source, tone_version: ModelVersion, named_version: Version, written: Written
) -> None:
    services.ingest(scored_source, [written(1, "negative news")], now=AT)
    score_next(Memory(Tone()))  # type: ignore[arg-type]
    later = named_version(**LABELS)
    monitor = services.change_monitor(actor=actor, monitor=scored_source.monitor, sentiment_model=str(later.pk))

    assert services.score_again(monitor) == 1
    score_next(Memory(Tone()))  # type: ignore[arg-type]

    assert set(Score.objects.values_list("model_version_id", flat=True)) == {tone_version.pk, later.pk}
    assert total(monitor, model_version=tone_version).negative_count == 1
    assert total(monitor, model_version=later).negative_count == 1


def test_a_text_that_cannot_be_read_takes_no_other_with_it(scored_source: Source, written: Written) -> None:
    services.ingest(
        scored_source, [written(1, "negative a"), written(2, "unreadable"), written(3, "positive b")], now=AT
    )

    score_next(Memory(Tone()))  # type: ignore[arg-type]

    assert list(Article.objects.order_by("id").values_list("scoring", flat=True)) == ["done", "failed", "done"]


def test_without_a_version_articles_wait_and_the_monitor_says_why(scored_source: Source, written: Written) -> None:
    Monitor.objects.update(sentiment_model="gone@champion")
    services.ingest(scored_source, [written(1)], now=AT)

    assert score_next(Memory(Tone()))  # type: ignore[arg-type]

    monitor, article = Monitor.objects.get(), Article.objects.get()
    assert "gone@champion" in monitor.scoring_error
    assert article.scoring == "waiting"
    assert article.scoring_until is not None and article.scoring_until > timezone.now() + timedelta(seconds=30)
    assert services.claim_articles(10) == []


def test_a_version_without_the_label_is_refused_with_the_labels_it_has(scored_source: Source, written: Written) -> None:
    Monitor.objects.update(negative_label="bad")
    services.ingest(scored_source, [written(1)], now=AT)

    score_next(Memory(Tone()))  # type: ignore[arg-type]

    assert "bad" in Monitor.objects.get().scoring_error
    assert "neutral" in Monitor.objects.get().scoring_error
    assert not Score.objects.exists()


def test_a_reader_that_dies_loses_its_articles_after_its_lease(scored_source: Source, written: Written) -> None:
    services.ingest(scored_source, [written(1)], now=AT)

    assert len(services.claim_articles(10)) == 1
    assert services.claim_articles(10) == []
    Article.objects.update(scoring_until=timezone.now() - timedelta(seconds=1))
    assert len(services.claim_articles(10)) == 1


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ({"negative": 0.7, "positive": 0.3}, ("negative", 0.7)),
        ({"negative": 0.2, "flat": 0.3, "mixed": 0.3, "positive": 0.2}, ("neutral", 0.6)),
        ({"negative": 0.4, "neutral": 0.3, "positive": 0.3}, ("abstained", 0.4)),
    ],
)
def test_labels_become_a_meaning(
    brand_monitor: Monitor, probabilities: dict[str, float], expected: tuple[str, float]
) -> None:
    found, sure = meant(brand_monitor, probabilities)

    assert (found.value, pytest.approx(sure)) == expected

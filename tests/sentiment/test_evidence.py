"""The words that sample texts of alerts were found negative by, and whom and what an alert's articles speak of."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from apps.sentiment import services
from apps.sentiment.models import Alert, Article, ArticleEntity, ArticleTopic, Source, TargetScore
from apps.sentiment.services.evidence import alert_without_evidence
from apps.sentiment.services.scoring import Said
from core.access import Actor
from workers.evidence import Evidence, prove_next
from workers.memory import Models
from workers.watching import watch_rule

LABELS = ["negative", "neutral", "positive"]


@pytest.fixture
def reading_version(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> ModelVersion:
    return register_version(
        workspace=workspace, name="reader", folder=tiny_classifier(LABELS, 3), recipe="classify", task="classification",
        labels=LABELS, by=alice,
    )  # fmt: skip


@pytest.fixture
def alarmed(actor: Actor, ruled: Any, pushed_source: Source, reading_version: ModelVersion, written: Any) -> Alert:
    """Fired a moment ago, by two articles that the version has read; one of them names a company and a topic."""
    now = timezone.now()
    monitor = services.change_monitor(
        actor=actor, monitor=pushed_source.monitor, sentiment_model=str(reading_version.pk)
    )
    pushed_source.monitor = monitor
    rule = ruled("keyword", since=now - timedelta(minutes=5), options={"words": ["breach"]})
    items = [written(1, "A breach at the bank"), written(2, "Another breach, the harbour says")]
    taken = services.ingest(pushed_source, items, now=now - timedelta(minutes=1))
    first, second = (each.article for each in taken)
    spoken = [Said(each, {"negative": 0.8, "neutral": 0.1, "positive": 0.1}) for each in (first, second)]
    services.record_scores(reading_version, spoken)
    bank = services.create_entity(actor=actor, name="Harbour Bank", aliases=[])
    safety = services.create_topic(actor=actor, name="Safety")
    for article in (first, second):
        ArticleEntity.objects.create(article=article, entity=bank)
    TargetScore.objects.create(
        article=first, entity=bank, model_version=reading_version, sentiment="positive", probability=0.7
    )
    ArticleTopic.objects.create(article=first, topic=safety)
    watch_rule(rule.pk, now)
    return Alert.objects.get()


def test_an_alert_tells_whom_and_what_its_articles_speak_of(alarmed: Alert) -> None:
    (entity,) = alarmed.explanation["entities"]
    (topic,) = alarmed.explanation["topics"]

    assert (entity["name"], entity["count"], entity["negative"]) == ("Harbour Bank", 2, 1)
    assert (topic["name"], topic["count"], topic["negative"]) == ("Safety", 1, 1)


def test_sample_texts_get_their_words_once(alarmed: Alert, page: Any, alice: Any, workspace: Any) -> None:
    address = f"/w/{workspace.slug}/monitors/alerts/{alarmed.pk}"
    before = page(alice).get(address).content.decode()

    assert prove_next(Models())
    assert not prove_next(Models())

    alarmed.refresh_from_db()
    samples = alarmed.evidence["samples"]
    assert len(samples) == 2
    for sample in samples:
        assert sample["told"]["label"] == "negative" and "tokens" not in sample["told"]
        assert all(sample["text"][word["start"] : word["end"]] == word["surface"] for word in sample["told"]["words"])
    after = page(alice).get(address).content.decode()
    assert ("data-speaks" in before, "data-speaks" in after) == (False, True)
    with pytest.raises(DatabaseError), transaction.atomic():
        Alert.objects.filter(pk=alarmed.pk).update(evidence={})


def test_why_there_are_no_words_is_written_down(
    alarmed: Alert, actor: Actor, page: Any, alice: Any, workspace: Any
) -> None:
    services.change_monitor(actor=actor, monitor=alarmed.monitor, negative_label="gloomy")

    assert prove_next(Models())

    alarmed.refresh_from_db()
    assert all("“gloomy”" in str(each["error"]) for each in alarmed.evidence["samples"])
    shown = page(alice).get(f"/w/{workspace.slug}/monitors/alerts/{alarmed.pk}").content.decode()
    assert "“gloomy”" in shown


def test_texts_that_no_version_has_read_yet_are_waited_for_a_while(alarmed: Alert) -> None:
    texts = Article.objects.filter(pk__in=[each["id"] for each in alarmed.explanation["samples"]])
    texts.update(scoring="waiting")
    assert not prove_next(Models())

    Alert.objects.filter(pk=alarmed.pk).update(fired_at=timezone.now() - timedelta(minutes=11))

    assert prove_next(Models())


def test_many_alerts_whose_texts_wait_are_looked_through_by_one_query(alarmed: Alert) -> None:
    first, second = (each["id"] for each in alarmed.explanation["samples"])
    Article.objects.filter(pk=first).update(scoring="waiting")
    waiting, ready = ({"samples": [{"id": pk}]} for pk in (first, second))
    found, now = Alert.objects.values().get(), timezone.now()
    rows = [
        Alert(**{**found, "id": None, "key": str(at), "explanation": waiting, "fired_at": now - timedelta(seconds=at)})
        for at in range(10)
    ]
    Alert.objects.bulk_create(rows)
    Alert.objects.create(
        **{**found, "id": None, "key": "x", "explanation": ready, "fired_at": now - timedelta(minutes=2)}
    )

    with CaptureQueriesContext(connection) as caught:
        chosen = alert_without_evidence(now)

    assert chosen is not None and chosen.key == "x"
    assert len(caught) == 2


def test_old_alerts_and_those_of_monitors_without_a_version_stay_as_they_are(alarmed: Alert, actor: Actor) -> None:
    Alert.objects.filter(pk=alarmed.pk).update(fired_at=timezone.now() - timedelta(days=2))
    assert not prove_next(Models())
    Alert.objects.filter(pk=alarmed.pk).update(fired_at=timezone.now())
    services.change_monitor(actor=actor, monitor=alarmed.monitor, sentiment_model="")

    assert not prove_next(Models())


def test_after_a_look_in_vain_the_next_is_not_at_once(alarmed: Alert) -> None:
    evidence = Evidence(Models())

    assert [evidence.next(), evidence.next(), evidence.next()] == [True, False, False]

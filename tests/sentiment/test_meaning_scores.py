"""Articles are linked as they come and anew when tables change; versions say topics and how entities are spoken of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import (
    Alias,
    Article,
    ArticleEntity,
    ArticleTopic,
    Bucket,
    Entity,
    Monitor,
    Source,
    TargetScore,
    Topic,
)
from core.access import Actor
from core.errors import Refused
from tests.fixtures.meaning import TONES, HearingModel, HearingModels
from workers.scoring import score_next

AT = datetime(2026, 3, 2, 8, 1, tzinfo=UTC)
Written = Callable[..., Item]
Version = Callable[..., ModelVersion]


def counts(source: Source, dimension: str, key: object = "", version: Any = None) -> tuple[int, ...] | None:
    rows = Bucket.objects.filter(monitor=source.monitor, clock="received", seconds=3_600, model_version=version)
    rows = rows.filter(dimension=dimension, key=str(key))
    return rows.values_list("article_count", "negative_count", "neutral_count", "positive_count").first()


def relink(actor: Actor) -> None:
    services.link_again(workspace=actor.workspace)
    while services.link_next(now=AT):
        pass


def read_all(source: Source, *others: tuple[ModelVersion, HearingModel]) -> HearingModel:
    tone = ModelVersion.objects.get(pk=int(source.monitor.sentiment_model))
    model = HearingModel(TONES)
    while score_next(HearingModels({tone.pk: model, **{version.pk: each for version, each in others}})):  # type: ignore[arg-type]
        pass
    return model


def test_an_article_is_linked_and_counted_as_it_comes(
    pushed_source: Source, moutai: Entity, recall_topic: Topic, written: Written
) -> None:
    services.ingest(pushed_source, [written(1, "公告", body="贵州茅台（600519）召回产品, Moutai said")], now=AT)

    link = ArticleEntity.objects.get()
    text = Article.objects.get().text
    assert [text[start:end] for start, end in link.spans] == ["贵州茅台", "600519", "Moutai"]
    assert (link.entity, link.mention_count, link.in_title) == (moutai, 3, False)
    assert ArticleTopic.objects.get().topic == recall_topic
    assert counts(pushed_source, "entity", moutai.pk) == counts(pushed_source, "topic", recall_topic.pk) == (1, 0, 0, 0)


def test_earlier_articles_are_linked_anew_and_counts_follow_both_ways(
    actor: Actor, pushed_source: Source, moutai: Entity, written: Written
) -> None:
    texts = ["Moutai rises", "Acme falls", "Moutai and Acme meet"]
    services.ingest(pushed_source, [written(at, text) for at, text in enumerate(texts)], now=AT)
    acme = services.create_entity(actor=actor, name="Acme")

    for _twice in range(2):
        relink(actor)
    assert counts(pushed_source, "entity", acme.pk) == (2, 0, 0, 0)

    services.change_entity(actor=actor, entity=moutai, aliases=[{"text": "贵州茅台"}])
    relink(actor)
    assert counts(pushed_source, "entity", moutai.pk) == (0, 0, 0, 0)
    assert Monitor.objects.get().linking_below is None
    assert not services.link_next(now=AT)


def test_articles_without_their_texts_keep_their_links(
    actor: Actor, pushed_source: Source, acme: Entity, written: Written
) -> None:
    services.ingest(pushed_source, [written(1, "Acme falls")], now=AT)
    services.change_entity(actor=actor, entity=acme, is_enabled=False)

    services.link_again(workspace=actor.workspace)
    while services.link_next(now=AT + timedelta(days=400)):
        pass

    assert ArticleEntity.objects.exists()


def test_windows_and_articles_are_one_call_and_each_entity_gets_its_own_sentiment(
    heard_source: Source, moutai: Entity, acme: Entity, written: Written
) -> None:
    services.ingest(heard_source, [written(1, "negative: Acme falls, positive for Moutai")], now=AT)

    model = read_all(heard_source)

    assert len(model.calls) == 1
    towards = dict(TargetScore.objects.values_list("entity", "sentiment"))
    assert towards == {acme.pk: "negative", moutai.pk: "positive"}
    tone = TargetScore.objects.values_list("model_version", flat=True)[0]
    assert counts(heard_source, "entity", acme.pk, tone) == (1, 1, 0, 0)
    assert counts(heard_source, "entity", moutai.pk, tone) == (1, 0, 0, 1)


def test_an_entity_that_is_linked_after_the_article_was_scored_is_read_and_counted_once(
    actor: Actor, heard_source: Source, written: Written
) -> None:
    services.ingest(heard_source, [written(1, "Acme falls: negative"), written(2, "positive day")], now=AT)
    read_all(heard_source)
    acme = services.create_entity(actor=actor, name="Acme")

    relink(actor)
    model = read_all(heard_source)

    assert model.calls == [["Acme falls: negative", "Acme falls: negative"]]
    tone = heard_source.monitor.sentiment_model
    assert counts(heard_source, "entity", acme.pk, tone) == (1, 1, 0, 0)
    assert counts(heard_source, "total", "", tone) == (2, 1, 0, 1)


def test_a_version_named_for_entities_reads_the_name_before_the_window(
    actor: Actor, heard_source: Source, acme: Entity, hearing_version: Version, written: Written
) -> None:
    apart = hearing_version("towards")
    services.change_monitor(actor=actor, monitor=heard_source.monitor, target_model=str(apart.pk))
    services.ingest(heard_source, [written(1, "Acme falls. All is positive")], now=AT)
    towards = HearingModel(TONES)

    read_all(heard_source, (apart, towards))

    assert towards.calls == [["Acme | Acme falls."]]
    assert TargetScore.objects.get().is_dedicated
    assert counts(heard_source, "entity", acme.pk, heard_source.monitor.sentiment_model) == (1, 0, 0, 0)


@pytest.mark.parametrize(("multi_label", "expected"), [(True, ["prices", "recall"]), (False, ["recall"])])
def test_labels_of_topic_versions_become_topics(
    actor: Actor,
    heard_source: Source,
    recall_topic: Topic,
    hearing_version: Version,
    written: Written,
    multi_label: bool,
    expected: list[str],
) -> None:
    services.create_topic(actor=actor, name="Prices", key="prices")
    version = hearing_version("about", ["product recall", "PRICES", "weather"])
    services.change_monitor(actor=actor, monitor=heard_source.monitor, topic_models=[str(version.pk)])
    services.ingest(heard_source, [written(1, "negative: a product recall and PRICES and weather")], now=AT)

    read_all(heard_source, (version, HearingModel(["product recall", "PRICES", "weather"], multi_label=multi_label)))

    given = ArticleTopic.objects.order_by("topic__key").values_list("topic__key", "model_version", "probability")
    assert [tuple(row) for row in given] == [(key, version.pk, 0.9) for key in expected]
    tone = heard_source.monitor.sentiment_model
    assert counts(heard_source, "topic", recall_topic.pk, tone) == (1, 1, 0, 0)
    assert counts(heard_source, "total", "", tone) == (1, 1, 0, 0)


def test_a_later_topic_version_decides_and_what_the_earlier_one_said_stays(
    actor: Actor, heard_source: Source, recall_topic: Topic, hearing_version: Version, written: Written
) -> None:
    services.ingest(heard_source, [written(1, "recall of a thing")], now=AT)
    hears, deaf = hearing_version("hears", ["recall"]), hearing_version("deaf", ["nothing"])
    for version, labels in ((hears, ["recall"]), (deaf, ["nothing"])):
        monitor = services.change_monitor(actor=actor, monitor=heard_source.monitor, topic_models=[str(version.pk)])
        services.score_again(monitor)
        read_all(heard_source, (version, HearingModel(labels)))

    assert [(row.model_version, row.is_current) for row in ArticleTopic.objects.all()] == [(hears, False)]
    assert counts(heard_source, "topic", recall_topic.pk) == (0, 0, 0, 0)


def test_a_monitor_may_have_topic_versions_alone(
    actor: Actor, pushed_source: Source, recall_topic: Topic, hearing_version: Version, written: Written
) -> None:
    version = hearing_version("about", ["recall"])
    monitor = pushed_source.monitor
    pushed_source.monitor = services.change_monitor(actor=actor, monitor=monitor, topic_models=[str(version.pk)])
    services.ingest(pushed_source, [written(1, "recall of a thing")], now=AT)

    score_next(HearingModels({version.pk: HearingModel(["recall"])}))  # type: ignore[arg-type]

    assert Article.objects.get().scoring == "done"
    assert ArticleTopic.objects.get().topic == recall_topic


def test_a_topic_of_another_monitor_is_not_looked_for(
    actor: Actor, pushed_source: Source, recall_topic: Topic, written: Written
) -> None:
    other = services.create_monitor(actor=actor, name="Other")
    services.change_topic(actor=actor, topic=recall_topic, monitor=other)

    services.ingest(pushed_source, [written(1, "产品召回")], now=AT)

    assert not ArticleTopic.objects.exists()


def test_what_is_deleted_takes_its_figures(actor: Actor, pushed_source: Source, acme: Entity, written: Written) -> None:
    services.ingest(pushed_source, [written(1, "Acme falls")], now=AT)

    services.delete_entity(actor=actor, entity=acme)

    assert counts(pushed_source, "entity", acme.pk) is None
    services.ingest(pushed_source, [written(2, "Acme rises")], now=AT)
    assert not ArticleEntity.objects.exists()


def test_an_entity_deleted_while_it_is_read_takes_nothing_with_it(
    actor: Actor, heard_source: Source, acme: Entity, written: Written
) -> None:
    services.ingest(heard_source, [written(1, "Acme falls: negative")], now=AT)
    tone = ModelVersion.objects.get(pk=int(heard_source.monitor.sentiment_model))

    class Deleting(HearingModel):
        def predict(self, texts: Any) -> Any:
            services.delete_entity(actor=actor, entity=Entity.objects.get(pk=acme.pk))
            return super().predict(texts)

    score_next(HearingModels({tone.pk: Deleting(TONES)}))  # type: ignore[arg-type]

    assert Article.objects.get().scoring == "done"
    assert counts(heard_source, "total", "", tone) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"name": " "}, "no_name"),
        ({"name": "x" * 121}, "long_name"),
        ({"name": "A", "tickers": ["no ticker at all"]}, "bad_ticker"),
        ({"name": "A", "kind": "planet"}, "unknown_kind"),
        ({"name": "A", "aliases": [{"text": "a", "required": ["w" * 101]}]}, "long_word"),
        ({"name": "acme"}, "name_taken"),
    ],
)
def test_an_entity_that_makes_no_sense_is_refused(
    actor: Actor, acme: Entity, columns: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as refused:
        services.create_entity(actor=actor, **columns)

    assert refused.value.code == code
    assert Entity.objects.count() == 1


def test_a_topic_cannot_stand_below_itself(actor: Actor, recall_topic: Topic) -> None:
    below = services.create_topic(actor=actor, name="Below", parent=recall_topic)

    with pytest.raises(Refused) as refused:
        services.change_topic(actor=actor, topic=recall_topic, parent=below)

    assert refused.value.code == "own_parent"


def test_many_entities_are_made_changed_or_refused_each_by_itself(actor: Actor, acme: Entity) -> None:
    items = [
        {"name": "ACME", "tickers": ["AAPL"]},
        {"name": "Beta", "aliases": [{"text": "Beta"}, {"text": "B", "is_ambiguous": True}]},
        {"name": "Bad", "tickers": ["?"]},
        {"name": "Acme", "tickers": ["AAPL"]},
    ]

    found = services.upsert_entities(actor=actor, items=items)

    assert [each.state for each in found] == ["changed", "created", "refused", "unchanged"]
    acme.refresh_from_db()
    assert (acme.tickers, acme.aliases.count()) == (["AAPL"], 1)


def test_hundreds_of_entities_take_a_few_queries_and_keep_their_aliases(
    actor: Actor, acme: Entity, django_assert_max_num_queries: Any
) -> None:
    items = [{"name": f"Company {at}", "aliases": [{"text": f"C{at}"}, {"text": f"公司{at}号"}]} for at in range(300)]
    with django_assert_max_num_queries(20):
        made = services.upsert_entities(actor=actor, items=items)
    kept = dict(Alias.objects.filter(text="C7").values_list("text", "pk"))
    changed = [{**item, "aliases": [item["aliases"][0], {"text": "Co", "is_ambiguous": True}]} for item in items]

    with django_assert_max_num_queries(20):
        found = services.upsert_entities(actor=actor, items=[*changed, {"name": "company 7", "tickers": ["AAPL"]}])

    assert {each.state for each in made} == {"created"} and {each.state for each in found} == {"changed"}
    seven = Entity.objects.get(name="Company 7")
    assert seven.tickers == ["AAPL"] and found[-1].entity == seven
    assert list(seven.aliases.order_by("id").values_list("text", "is_ambiguous")) == [("C7", False), ("Co", True)]
    assert dict(Alias.objects.filter(text="C7").values_list("text", "pk")) == kept
    trail = AuditEntry.objects.filter(object_id=str(seven.pk), object_type="entity").order_by("id")
    assert [entry.action for entry in trail] == ["entity.create", "entity.change"]
    assert {each.state for each in services.upsert_entities(actor=actor, items=changed)} == {"unchanged"}

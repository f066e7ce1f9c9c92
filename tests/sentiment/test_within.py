"""Trends, rules and alerts of some articles alone: those of one topic, entity, source or language."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from rest_framework.test import APIClient

from apps.registry.models import ModelVersion
from apps.sentiment import alert_files, services
from apps.sentiment.collecting.items import Item
from apps.sentiment.forms_saved import kept_of, opened
from apps.sentiment.models import Alert, Article, Entity, Expectation, Rule, SavedView, Source, Topic
from apps.sentiment.selectors_trends import expectations_of, terms_of, trend_of
from apps.sentiment.services.scoring import Said
from apps.sentiment.trends import Asked
from apps.sentiment.within import Within
from core.access import Actor
from core.errors import Refused
from workers.replaying import replayed
from workers.watching import watch, watch_rule

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Written = Callable[..., Item]


@pytest.fixture
def signed_in(client: Client, actor: Actor) -> Client:
    client.force_login(actor.user)
    return client


@pytest.fixture
def second_source(pushed_source: Source, actor: Actor) -> Source:
    return services.add_source(actor=actor, monitor=pushed_source.monitor, kind="push", name="Second")


@pytest.fixture
def news(
    pushed_source: Source, second_source: Source, acme: Entity, moutai: Entity, recall_topic: Topic, written: Written
) -> Source:
    """In the last hour three of Acme's recalls (one of the second source), one of Moutai's, two of Acme without a recall."""
    titles = [
        (pushed_source, "Acme 今天宣布召回三万台空气炸锅"),
        (pushed_source, "监管部门要求 Acme 召回问题插座"),
        (second_source, "消费者组织说 Acme 的召回来得太晚"),
        (pushed_source, "贵州茅台召回一批包装有误的礼盒"),
        (pushed_source, "Acme opens a new plant near the harbour"),
        (second_source, "Acme names a finance chief from a rival"),
    ]
    for number, (source, title) in enumerate(titles):
        at = NOON - timedelta(minutes=30)
        services.ingest(source, [written(number, title, published_at=at)], now=at + timedelta(minutes=1))
    return pushed_source


def asked(hours: int = 2, **columns: Any) -> Asked:
    return Asked(NOON - hours * HOUR, NOON, **columns)


def counts(source: Source, **columns: Any) -> dict[str, int]:
    found = trend_of(source.monitor, asked(**columns))
    return {each.name: each.totals.article_count for each in found.series}


def test_a_trend_is_split_within_a_topic_an_entity_a_source_and_a_language(
    news: Source, second_source: Source, acme: Entity, recall_topic: Topic
) -> None:
    recalls = Within(topic=recall_topic.pk)

    assert counts(news, dimension="entity", within=recalls) == {"Acme": 3, "贵州茅台": 1}
    assert counts(news, dimension="source", within=recalls) == {"Crawler": 3, "Second": 1}
    assert counts(news, dimension="topic", within=Within(entity=acme.pk)) == {"Recall": 3}
    assert counts(news, dimension="language", within=Within(entity=acme.pk)) == {"zh-Hans": 3, "en": 2}
    assert counts(news, within=Within(entity=acme.pk, topic=recall_topic.pk)) == {"All": 3}
    assert counts(news, within=Within(entity=acme.pk, source=second_source.pk)) == {"All": 2}
    assert counts(news, within=Within(entity=acme.pk, source=second_source.pk, language="en")) == {"All": 1}
    assert counts(news, seconds=86_400, within=Within(entity=acme.pk, language="zh")) == {"All": 3}
    assert counts(news, seconds=300, clock="received", within=recalls) == {"All": 4}
    key = str(acme.pk)
    assert counts(news, dimension="entity", keys=(key,), within=recalls) == {"Acme": 3}


def test_its_figures_are_those_of_the_version_that_read_them(
    news: Source, acme: Entity, recall_topic: Topic, hearing_version: Callable[..., ModelVersion]
) -> None:
    said = [
        Said(each, {"negative": 0.9, "positive": 0.1} if "插座" in each.title else {"negative": 0.1, "positive": 0.9})
        for each in Article.objects.order_by("id")
    ]
    services.record_scores(hearing_version("tone"), said)

    (line,) = trend_of(news.monitor, asked(within=Within(topic=recall_topic.pk, entity=acme.pk))).series

    assert (line.totals.scored_count, line.totals.negative_count, line.totals.positive_count) == (3, 1, 2)


def test_where_somebody_looked_nothing_within_is_zero_and_else_a_gap(news: Source, recall_topic: Topic) -> None:
    Source.objects.update(kind="feed")  # no source of which every moment is known

    found = trend_of(news.monitor, asked(within=Within(topic=recall_topic.pk, language="en")))

    assert [found.values(each) for each in found.series] == [[None, 0]]


def test_terms_and_points_lead_to_the_articles_that_are_counted(
    news: Source, acme: Entity, recall_topic: Topic, signed_in: Client
) -> None:
    page = f"/w/harbour/monitors/{news.monitor_id}/trends"
    query = f"span=dates&since=2026-03-04&until=2026-03-04&topic={recall_topic.pk}&entity=acme&seconds=3600"

    shown = signed_in.get(f"{page}?{query}")

    (row,) = shown.context["rows"]
    listed = signed_in.get(row["url"]).context["page"].rows
    assert len(listed) == row["series"].totals.article_count == 3
    assert shown.context["limits"] == ["Recall", "Acme"]
    terms = terms_of(news.monitor, asked(within=Within(topic=recall_topic.pk)))
    assert terms.text_count == 4
    said = signed_in.get(f"{page}/terms?{query}").content.decode()
    assert "3" in said


def test_a_point_of_a_topic_leads_to_what_it_counts_and_not_to_topics_below(
    news: Source, actor: Actor, recall_topic: Topic, signed_in: Client, api: Callable[..., APIClient]
) -> None:
    above = services.create_topic(actor=actor, name="Trouble", key="trouble", words=["监管"])
    services.change_topic(actor=actor, topic=recall_topic, parent=above)
    services.link_again(workspace=actor.workspace)
    while services.link_next(now=NOON):
        pass
    page = f"/w/harbour/monitors/{news.monitor_id}"

    rows = signed_in.get(f"{page}/trends?span=dates&since=2026-03-04&until=2026-03-04&dimension=topic").context["rows"]

    counted = {row["series"].name: row["series"].totals.article_count for row in rows}
    assert counted == {"Recall": 4, "Trouble": 1}
    for row in rows:
        listed = signed_in.get(row["url"]).context["page"].rows
        assert len(listed) == row["series"].totals.article_count
    assert len(signed_in.get(f"{page}/articles?topic={above.pk}").context["page"].rows) == 4
    url = f"/api/v1/monitors/{news.monitor_id}/articles"
    assert len(api(actor).get(url, {"topic": above.pk, "alone": "true"}).json()["results"]) == 1
    kept = kept_of(news.monitor, "articles", QueryDict(f"topic={above.pk}&alone=true"))
    assert kept.values == {"topic": str(above.pk), "alone": "True"}


def test_what_is_expected_of_one_topic_is_expected_within_it(news: Source, acme: Entity, recall_topic: Topic) -> None:
    Expectation.objects.create(
        monitor=news.monitor, dimension="topic", key=str(recall_topic.pk), seconds=3_600, measure="article_count",
        start_at=NOON - HOUR, expected=2.5, low=0, high=6,
    )  # fmt: skip

    def expected(**columns: Any) -> list[float | None]:
        found = expectations_of(news.monitor, asked(clock="received", **columns), "")
        return [each.expected for each in found.values()]

    assert expected(within=Within(topic=recall_topic.pk)) == [2.5]
    assert expected(within=Within(topic=recall_topic.pk, entity=acme.pk)) == []
    assert expected(within=Within(topic=recall_topic.pk), dimension="entity") == []


def test_the_api_limits_a_trend_and_refuses_what_makes_no_sense(
    news: Source, acme: Entity, recall_topic: Topic, api: Callable[..., APIClient], actor: Actor, stranger: Actor
) -> None:
    url = f"/api/v1/monitors/{news.monitor_id}/trend"
    theirs = services.create_topic(actor=stranger, name="Theirs", key="theirs")
    span = {"span": "dates", "since": "2026-03-04", "until": "2026-03-04"}
    caller = api(actor)

    found = caller.get(url, {**span, "dimension": "entity", "topic": recall_topic.pk, "language": "zh"}).json()

    assert found["within"] == {"topic": recall_topic.pk, "language": "zh"}
    assert [(each["name"], each["totals"]["article_count"]) for each in found["series"]] == [
        ("Acme", 3),
        ("贵州茅台", 1),
    ]
    for wrong in (
        {"topic": theirs.pk},
        {"topic": "x"},
        {"entity": "Nobody"},
        {"source": 999_999},
        {"dimension": "entity", "entity": "Acme"},
        {"dimension": "topic", "topic": recall_topic.pk},
        {"language": "x" * 11},
    ):
        assert caller.get(url, {**span, **wrong}).status_code == 422, wrong


def test_a_view_keeps_the_limits_and_tells_which_are_gone(
    news: Source, actor: Actor, recall_topic: Topic, acme: Entity
) -> None:
    kept = kept_of(news.monitor, "trends", QueryDict(f"topic={recall_topic.pk}&entity=Acme&language=zh"))
    given = {"monitor": news.monitor, "kind": "trends", "filters": kept.values, "names": kept.names}
    view = services.save_view(actor=actor, name="Recalls", **given)
    assert {name: view.filters[name] for name in ("topic", "entity", "language")} == {
        "topic": str(recall_topic.pk),
        "entity": "Acme",
        "language": "zh",
    }

    services.delete_topic(actor=actor, topic=recall_topic)
    services.delete_entity(actor=actor, entity=acme)

    found = opened(SavedView.objects.get())
    assert {(each.field, each.name) for each in found.gone} == {("topic", "Recall"), ("entity", "Acme")}
    assert found.data.get("language") == "zh"


STATIC = {"threshold": 3, "least_count": 0}


def made(actor: Actor, source: Source, **columns: Any) -> Rule:
    given = {"name": "Recalls", "kind": "static", "measure": "article_count", "options": STATIC, **columns}
    rule = services.create_rule(actor=actor, monitor=source.monitor, **given)
    Rule.objects.filter(pk=rule.pk).update(evaluated_until=NOON - HOUR, created_at=NOON - 2 * HOUR, seen_article=0)
    return rule


def test_a_rule_counts_only_what_it_is_limited_to_and_its_alert_is_explained_by_that(
    news: Source, actor: Actor, acme: Entity, recall_topic: Topic
) -> None:
    rule = made(actor, news, dimension="entity", within={"topic": recall_topic.pk})

    watch_rule(rule.pk, NOON + timedelta(minutes=1))

    alert = Alert.objects.get()  # Moutai's one recall and Acme's five articles raise none
    assert (alert.series, alert.within) == ("Acme", {"topic": recall_topic.pk})
    said = alert.explanation
    assert said["verdict"]["observed"] == said["article_count"] == 3
    assert said["within"] == {"topic": "Recall"}
    (line,) = "".join(alert_files.written(Alert.objects.all(), "jsonl")).splitlines()
    assert json.loads(line)["within"] == {"topic": "Recall"}
    assert all("召回" in each["title"] for each in said["samples"])
    again = replayed(Rule.objects.get(pk=rule.pk), NOON - HOUR, NOON)
    assert [(each.series, each.verdict["observed"]) for each in again] == [("Acme", 3.0)]


@pytest.mark.parametrize("seconds", [300, 3_600, 86_400])
def test_negative_ones_are_counted_in_buckets_of_every_size(
    news: Source,
    actor: Actor,
    acme: Entity,
    recall_topic: Topic,
    hearing_version: Callable[..., ModelVersion],
    seconds: int,
) -> None:
    version = hearing_version("tone")
    services.record_scores(version, [Said(each, {"negative": 0.9, "positive": 0.1}) for each in Article.objects.all()])
    limits = {"topic": recall_topic.pk, "entity": acme.pk}
    rule = made(actor, news, measure="negative_count", seconds=seconds, within=limits)
    midnight = NOON + 12 * HOUR
    Rule.objects.filter(pk=rule.pk).update(evaluated_until=NOON - 12 * HOUR)

    watch(midnight + timedelta(minutes=1))
    watch(midnight + timedelta(minutes=2))

    assert [each.explanation["verdict"]["observed"] for each in Alert.objects.all()] == [3]


def test_words_are_looked_for_only_in_what_a_rule_is_limited_to(
    news: Source, second_source: Source, actor: Actor, acme: Entity
) -> None:
    options = {"words": ["召回"]}
    rule = made(actor, news, kind="keyword", options=options, within={"entity": acme.pk, "source": second_source.pk})

    watch_rule(rule.pk, NOON)

    assert [each["title"] for each in Alert.objects.get().explanation["samples"]] == [
        "消费者组织说 Acme 的召回来得太晚"
    ]


def test_a_rule_whose_limit_is_gone_says_so_and_raises_nothing(news: Source, actor: Actor, recall_topic: Topic) -> None:
    rule = made(actor, news, within={"topic": recall_topic.pk})
    services.delete_topic(actor=actor, topic=recall_topic)

    watch(NOON + timedelta(minutes=1))

    rule.refresh_from_db()
    assert "not there any more" in rule.error
    assert not Alert.objects.exists()


def test_limits_that_cannot_be_are_refused(news: Source, actor: Actor, recall_topic: Topic, stranger: Actor) -> None:
    theirs = services.create_topic(actor=stranger, name="Theirs", key="theirs")
    topic = {"topic": recall_topic.pk}
    for columns in (
        {"within": {"topic": theirs.pk}},
        {"within": {"topic": "1"}},
        {"within": {"topic": True}},
        {"within": {"other": 1}},
        {"within": {"language": "x" * 11}},
        {"within": {"source": -1}},
        {"within": [1]},
        {"within": topic, "dimension": "topic"},
        {"within": topic, "kind": "keyword", "options": {"words": ["x"]}},
        {"within": {"language": "zh"}, "kind": "no_data", "options": {"minutes": 5}},
    ):
        with pytest.raises(Refused) as refused:
            made(actor, news, **columns)
        assert [each.field for each in refused.value.problems] == ["within"], columns
    assert not Rule.objects.exists()


def test_a_rule_is_limited_by_the_api_and_by_its_page(
    news: Source, acme: Entity, recall_topic: Topic, api: Callable[..., APIClient], actor: Actor, signed_in: Client
) -> None:
    body = {"name": "Recalls", "kind": "static", "options": STATIC, "within": {"topic": recall_topic.pk}}
    answer = api(actor).post(f"/api/v1/monitors/{news.monitor_id}/rules", body, format="json")
    assert answer.json()["within"] == {"topic": recall_topic.pk}
    page = f"/w/harbour/monitors/rules/{answer.json()['id']}"

    shown = signed_in.get(page)
    form = shown.context["form"]
    assert form["topic"].value() == recall_topic.pk
    given = {name: form[name].value() for name in form.fields if str(form[name].value()) not in ("", "None", "False")}
    stored = signed_in.post(page, {**given, "entity": "acme", "series": "source:"})

    assert stored.status_code == 302, stored.context["form"].errors
    rule = Rule.objects.get()
    assert (rule.dimension, rule.within) == ("source", {"topic": recall_topic.pk, "entity": acme.pk})
    assert signed_in.get(page).context["form"]["entity"].value() == "Acme"
    refused = signed_in.post(page, {**given, "entity": "Nobody"})
    assert refused.status_code == 422
    assert "entity" in refused.context["form"].errors

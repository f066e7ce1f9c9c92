"""What people say of topics and entities of an article: per topic, per entity, by click and by API, with what had been said."""

from collections.abc import Callable

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.datasets import selectors as kept
from apps.datasets.models import Correction
from apps.registry.models import ModelVersion
from apps.sentiment import corrected, services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, Bucket, Entity, Source, Topic
from apps.sentiment.selectors_meaning import spoken_of
from core.access import Actor
from core.errors import Refused
from tests.fixtures.meaning import TONES, HearingModel, HearingModels
from workers.scoring import score_next

Api = Callable[..., APIClient]
HTMX = {"HX-Request": "true"}


@pytest.fixture
def prices(actor: Actor) -> Topic:
    """A topic that only a version gives."""
    return services.create_topic(actor=actor, name="Prices", key="prices")


@pytest.fixture
def weather(actor: Actor) -> Topic:
    """A topic that nothing gives."""
    return services.create_topic(actor=actor, name="Weather", key="weather")


@pytest.fixture
def article(
    actor: Actor,
    heard_source: Source,
    acme: Entity,
    recall_topic: Topic,
    prices: Topic,
    weather: Topic,
    hearing_version: Callable[..., ModelVersion],
    written: Callable[..., Item],
) -> Article:
    """About prices, by a version, and a recall, by words; Acme is spoken of badly."""
    version = hearing_version("about", ["prices", "weather report"])
    services.change_monitor(actor=actor, monitor=heard_source.monitor, topic_models=[str(version.pk)])
    services.ingest(heard_source, [written(1, "negative: Acme 召回, prices rise")])
    models = {
        int(heard_source.monitor.sentiment_model): HearingModel(TONES),
        version.pk: HearingModel(["prices", "weather report"], multi_label=True),
    }
    score_next(HearingModels(models))  # type: ignore[arg-type]
    return Article.objects.select_related("monitor").get()


@pytest.fixture
def click(client: Client, actor: Actor, article: Article) -> Callable[..., str]:
    """Alice clicks on the article's page; what comes again."""
    client.force_login(actor.user)

    def post(**form: str) -> str:
        place = f"/w/{actor.workspace.slug}/monitors/articles/{article.pk}/correct"
        return client.post(place, form, headers=HTMX).content.decode()

    return post


def told(correction: Correction) -> tuple[str, str, str, str]:
    return correction.aspect, correction.label, correction.previous_label, correction.model_version


def test_each_topic_and_entity_is_corrected_by_itself_and_keeps_what_had_been_said(
    actor: Actor, article: Article, prices: Topic, weather: Topic, recall_topic: Topic, acme: Entity
) -> None:
    before = list(Bucket.objects.order_by("pk").values())

    said = [
        services.correct_article(actor=actor, article=article, aspect=aspect, label=label)
        for aspect, label in (
            ("topic:Prices", "no"),
            ("topic:recall", "yes"),
            (f"topic:{weather.pk}", "yes"),
            ("target:acme", "positive"),
        )
    ]

    assert [told(each) for each in said] == [
        (f"topic:{prices.pk}", "no", "yes", "about v1"),
        (f"topic:{recall_topic.pk}", "yes", "yes", "words"),
        (f"topic:{weather.pk}", "yes", "", ""),
        (f"target:{acme.pk}", "positive", "negative", "tone v1"),
    ]
    standing = {each.aspect.value: each for each in corrected.standings_of(article.monitor)}
    assert (standing["topic"].count, standing["topic"].otherwise_count, standing["topic"].confirmed_count) == (3, 1, 1)
    assert (standing["target"].count, standing["sentiment"].count) == (1, 0)
    assert list(Bucket.objects.order_by("pk").values()) == before


def test_what_a_version_or_words_looked_for_in_vain_was_said_not_to_be_there(
    actor: Actor, heard_source: Source, article: Article, recall_topic: Topic, written: Callable[..., Item]
) -> None:
    services.create_topic(actor=actor, name="Storms", key="storms", labels=["Weather Report"])
    services.ingest(heard_source, [written(2, "nothing of note")])
    unread = Article.objects.order_by("-id").select_related("monitor")[0]

    by_version = services.correct_article(actor=actor, article=article, aspect="topic:storms", label="yes")
    by_words = services.correct_article(actor=actor, article=unread, aspect="topic:recall", label="yes")
    by_nobody = services.correct_article(actor=actor, article=unread, aspect="topic:storms", label="yes")

    assert told(by_version)[2:] == ("no", "about v1")
    assert told(by_words)[2:] == ("no", "words")
    assert told(by_nobody)[2:] == ("", "")


def test_a_label_is_one_of_its_aspect_and_a_topic_one_of_the_monitor(
    actor: Actor, article: Article, acme: Entity
) -> None:
    other = services.create_monitor(actor=actor, name="Another")
    services.create_topic(actor=actor, name="Theirs", key="theirs", monitor=other)

    for aspect, label, code in (
        ("topic:prices", "positive", "unknown_value"),
        ("target:Acme", "yes", "unknown_value"),
        ("topic:theirs", "yes", "unknown_topic"),
        ("target:Nobody", "negative", "unknown_entity"),
    ):
        with pytest.raises(Refused) as refused:
            services.correct_article(actor=actor, article=article, aspect=aspect, label=label)
        assert refused.value.code == code


def test_a_new_name_changes_nothing_and_what_is_deleted_counts_no_more(
    actor: Actor, article: Article, prices: Topic, acme: Entity
) -> None:
    services.correct_article(actor=actor, article=article, aspect="topic:prices", label="no")
    services.correct_article(actor=actor, article=article, aspect="target:Acme", label="neutral")

    services.change_topic(actor=actor, topic=prices, name="Dearness", key="dear")
    services.change_entity(actor=actor, entity=acme, name="Acme Group")
    rows = corrected.with_subjects(article.monitor, corrected.corrections_of(article.monitor))
    assert [row.subject for row in rows] == ["Acme Group", "Dearness"]  # type: ignore[attr-defined]

    aspect = rows[1].aspect
    services.delete_topic(actor=actor, topic=prices)
    services.delete_entity(actor=actor, entity=acme)
    services.take_back(actor=actor, article=article, aspect=aspect)
    assert not corrected.corrections_of(article.monitor).exists()
    assert kept.correction_history(actor.workspace, article.text_hash).count() == 2


def test_one_click_says_that_it_is_not_about_a_topic_and_another_takes_it_back(
    click: Callable[..., str], prices: Topic
) -> None:
    said = click(aspect=f"topic:{prices.pk}", label="no")
    back = click(aspect=f"topic:{prices.pk}", undo="1")

    assert "Not about it, says alice@example.org" in said and said.count('aria-pressed="true"') == 1
    assert 'class="badge lx-struck"' in said
    assert 'aria-pressed="true"' not in back and "says" not in back and "lx-struck" not in back


def test_another_topic_is_chosen_from_those_of_the_monitor_it_has_not_got(
    click: Callable[..., str], client: Client, actor: Actor, article: Article, weather: Topic
) -> None:
    whole = client.get(f"/w/{actor.workspace.slug}/monitors/articles/{article.pk}").content.decode()
    said = click(aspect=f"topic:{weather.pk}", label="yes")
    back = click(aspect=f"topic:{weather.pk}", undo="1")

    options = [part.split("<")[0] for part in whole.split("<option ")[1:]]
    assert [each for each in options if "topic:" in each] == [f'value="topic:{weather.pk}">Weather']
    assert "About it, says alice@example.org" in said and 'id="another-topic"' not in said
    assert 'id="another-topic"' in back and "says" not in back


def test_the_faces_say_how_an_entity_is_spoken_of(click: Callable[..., str], acme: Entity, article: Article) -> None:
    said = click(aspect=f"target:{acme.pk}", label="positive")

    assert "Positive, says alice@example.org" in said
    assert f'id="correct-{article.pk}-target-{acme.pk}-positive" aria-pressed="true"' in said
    assert spoken_of(article)[0].score.sentiment == "negative"  # type: ignore[union-attr]


def test_a_form_without_javascript_leads_back_to_the_article(
    client: Client, actor: Actor, article: Article, weather: Topic
) -> None:
    client.force_login(actor.user)
    place = f"/w/{actor.workspace.slug}/monitors/articles/{article.pk}"

    answer = client.post(f"{place}/correct", {"aspect": f"topic:{weather.pk}", "label": "yes"}, follow=True)

    assert answer.redirect_chain == [(place, 302)]
    assert "About it, says alice@example.org" in answer.content.decode()


def test_the_page_of_corrections_tells_all_aspects_apart(
    client: Client, actor: Actor, article: Article, click: Callable[..., str], prices: Topic, acme: Entity
) -> None:
    click(aspect=f"topic:{prices.pk}", label="no")
    click(aspect=f"target:{acme.pk}", label="positive")
    click(label="negative")
    base = f"/w/{actor.workspace.slug}/monitors/{article.monitor_id}/corrections"

    whole = client.get(base).content.decode()
    topics = client.get(f"{base}?aspect=topic").content.decode()
    by_label = client.get(f"{base}?label=no").content.decode()

    for text in ("Prices</span>", "Acme</span>", "Not about it", "about v1", "tone v1"):
        assert text in whole
    for text in (topics, by_label):
        assert "Prices</span>" in text and "Acme</span>" not in text
    assert whole.count('name="sample_share" value="1"') == 3


def test_programs_correct_topics_and_entities(
    api: Api, actor: Actor, stranger: Actor, article: Article, prices: Topic, acme: Entity
) -> None:
    client, place = api(actor), f"/api/v1/articles/{article.pk}/corrections"

    topic = client.post(place, {"aspect": "topic:prices", "label": "no"})
    target = client.post(place, {"aspect": "target:Acme", "label": "neutral"})
    again = client.post(place, {"aspect": f"topic:{prices.pk}", "label": "no"})
    wrong = client.post(place, {"aspect": "topic", "label": "prices"})
    listed = client.get(f"/api/v1/monitors/{article.monitor_id}/corrections?aspect=target").json()["results"]
    gone = client.delete(f"{place}?aspect=topic:prices")

    made = topic.json()
    assert (made["aspect"], made["subject"], made["previous_label"]) == (f"topic:{prices.pk}", "Prices", "yes")
    assert (again.json()["id"], wrong.status_code) == (made["id"], 422)
    assert [(row["subject"], row["label"]) for row in listed] == [("Acme", "neutral")]
    assert (target.status_code, gone.status_code) == (201, 204)
    assert api(stranger).post(place, {"aspect": f"topic:{prices.pk}", "label": "no"}).status_code == 404

"""What was said of topics and entities becomes rows as the version that gives them reads them, and that version learns."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from apps.datasets.models import DatasetVersion, Example
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from apps.sentiment import corrected, services
from apps.sentiment.models import Article, Entity, Lesson, Source, Topic
from apps.sentiment.services.lesson_splits import divided
from apps.sentiment.services.targets import TargetSaid
from apps.sentiment.services.topics import TopicSaid
from apps.sentiment.services.understanding import Targets, record_understanding
from apps.training.models import TrainingJob
from core.access import Actor
from core.errors import Refused
from workers.loop import run_next

ABOUT = ("cards", "loans", "product recall")
WORDS = ("card", "loan", "refund")


@pytest.fixture
def classifier(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> Callable[..., ModelVersion]:
    """A version with weights, by name and labels; several labels to a text where asked for."""

    def made(name: str, labels: Sequence[str], *, multi_label: bool = False) -> ModelVersion:
        folder = tiny_classifier(tuple(labels), 3)
        config = json.loads((folder / "config.json").read_text())
        kind = "multi_label_classification" if multi_label else "single_label_classification"
        (folder / "config.json").write_text(json.dumps({**config, "problem_type": kind}))
        return register_version(
            workspace=workspace, name=name, folder=folder, recipe="classify", task="classification", labels=list(labels),
            multi_label=multi_label, by=alice,
        )  # fmt: skip

    return made


@pytest.fixture
def topics(actor: Actor, recall_topic: Topic) -> dict[str, Topic]:
    """By key; recall is known to the version as product recall, storms to nobody."""
    made = [services.create_topic(actor=actor, name=key.title(), key=key) for key in ("cards", "loans", "storms")]
    return {topic.key: topic for topic in (recall_topic, *made)}


@pytest.fixture
def about(actor: Actor, pushed_source: Source, topics: Any, classifier: Callable[..., ModelVersion]) -> ModelVersion:
    """Gives several topics to a text of the monitor."""
    version = classifier("about", ABOUT, multi_label=True)
    pushed_source.monitor = services.change_monitor(actor=actor, monitor=pushed_source.monitor, topic_models=["about"])
    return version


@pytest.fixture
def read(pushed_source: Source, written: Any) -> Callable[..., list[Article]]:
    """Articles to which a version gave topics: in turn cards, loans, and both."""

    def make(version: ModelVersion | None, count: int, sure: float = 0.95, start: int = 0) -> list[Article]:
        places = range(start, start + count)
        taken = services.ingest(pushed_source, [written(at, f"the {WORDS[at % 3]} {at} is lost") for at in places])
        articles = [each.article for each in taken if each.article is not None]
        given = [
            {"cards": sure, "loans": sure if at % 3 == 2 else 0.1} if at % 3 != 1 else {"loans": sure} for at in places
        ]
        said = [TopicSaid(*each) for each in zip(articles, [version] * count, given, strict=True)] if version else []
        record_understanding(articles, topics=said)
        return articles

    return make


def labels_of(lesson: Lesson, **meta: Any) -> dict[str, list[str]]:
    """Text -> labels of the rows."""
    rows = Example.objects.filter(dataset=lesson.dataset_version.dataset_id, deleted_at=None)
    return {row.text: sorted(row.record["labels"]) for row in rows if meta.items() <= row.meta.items()}


def correct(actor: Actor, article: Article, aspect: str, label: str) -> None:
    services.correct_article(actor=actor, article=article, aspect=aspect, label=label)


def test_a_row_has_what_was_said_and_of_other_topics_what_had_been_given(
    actor: Actor, about: ModelVersion, read: Any, no_beats: None
) -> None:
    articles = read(about, 9)
    correct(actor, articles[0], "topic:cards", "no")
    correct(actor, articles[0], "topic:recall", "yes")
    correct(actor, articles[2], "topic:loans", "no")
    correct(actor, articles[1], "topic:storms", "yes")

    lesson = services.make_lesson(actor=actor, monitor=articles[0].monitor, aspect="topic", sample_share=1)

    assert labels_of(lesson, corrected=True) == {
        articles[0].text: ["product recall"],
        articles[1].text: ["loans", "storms"],
        articles[2].text: ["cards"],
    }
    assert sorted(labels_of(lesson, corrected=False).values()) == [
        ["cards"],
        ["cards", "loans"],
        ["cards", "loans"],
        ["loans"],
    ]
    assert (lesson.model, lesson.correction_count, lesson.left_count, lesson.sample_count) == ("about", 4, 0, 4)
    assert lesson.dataset_version.dataset.multi_label


def test_of_an_article_that_is_gone_nobody_knows_what_else_it_is_about(
    actor: Actor, about: ModelVersion, read: Any
) -> None:
    articles = read(about, 2)
    for article in articles:
        correct(actor, article, "topic:recall", "yes")
    articles[0].delete()

    lesson = services.make_lesson(actor=actor, monitor=articles[1].monitor, aspect="topic", sample_share=0)

    assert labels_of(lesson) == {articles[1].text: ["loans", "product recall"]}
    assert (lesson.correction_count, lesson.left_count) == (1, 1)


def test_a_version_of_one_label_learns_from_texts_about_one_of_its_topics(
    actor: Actor, pushed_source: Source, topics: Any, classifier: Any, read: Any
) -> None:
    version = classifier("single", ABOUT)
    services.change_monitor(actor=actor, monitor=pushed_source.monitor, topic_models=["single"])
    articles = read(version, 3)
    monitor = articles[0].monitor
    correct(actor, articles[2], "topic:recall", "yes")
    with pytest.raises(Refused) as refused:
        services.make_lesson(actor=actor, monitor=monitor, aspect="topic")
    correct(actor, articles[0], "topic:cards", "yes")

    lesson = services.make_lesson(actor=actor, monitor=monitor, aspect="topic", sample_share=0)

    assert refused.value.code == "nothing_to_learn"
    assert labels_of(lesson) == {articles[0].text: ["cards"]}
    assert (lesson.correction_count, lesson.left_count) == (1, 1)


def test_topics_by_words_alone_become_rows_that_no_version_can_go_on_from(
    actor: Actor, topics: Any, read: Any, page: Any, alice: Any, no_beats: None
) -> None:
    articles = read(None, 4)
    for article in articles[:2]:
        correct(actor, article, "topic:storms", "yes")
    correct(actor, articles[2], "topic:storms", "no")
    monitor = articles[0].monitor

    lesson = services.make_lesson(actor=actor, monitor=monitor, aspect="topic")
    run_next("io")
    with pytest.raises(Refused) as refused:
        services.train_lesson(actor=actor, lesson=lesson)
    shown = page(alice).get(f"/w/{actor.workspace.slug}/monitors/{monitor.pk}/corrections").content.decode()

    assert sorted(labels_of(lesson).values()) == [[], ["storms"], ["storms"]]
    assert (lesson.model, refused.value.code) == ("", "no_version")
    assert "Words alone give topics here" in shown and "Start training" not in shown
    assert not TrainingJob.objects.exists()


def test_each_topic_version_has_a_dataset_of_its_own_and_another_name_is_refused(
    actor: Actor, about: ModelVersion, read: Any, classifier: Any
) -> None:
    articles = read(about, 4)
    monitor = articles[0].monitor
    classifier("storms", ["storms", "floods"], multi_label=True)
    services.change_monitor(actor=actor, monitor=monitor, topic_models=["about", "storms"])
    correct(actor, articles[0], "topic:storms", "yes")
    correct(actor, articles[1], "topic:loans", "no")

    first = services.make_lesson(actor=actor, monitor=monitor, aspect="topic", sample_share=0)
    second = services.make_lesson(actor=actor, monitor=monitor, aspect="topic", model="storms", sample_share=0)
    with pytest.raises(Refused) as refused:
        services.make_lesson(actor=actor, monitor=monitor, aspect="topic", model="tone")
    services.change_monitor(actor=actor, monitor=monitor, topic_models=["storms"])
    run_next("io")
    with pytest.raises(Refused) as other:
        services.train_lesson(actor=actor, lesson=Lesson.objects.select_related("monitor").get(pk=first.pk))

    assert labels_of(first) == {articles[1].text: []}
    assert labels_of(second) == {articles[0].text: ["storms"]}
    assert (refused.value.code, other.value.code) == ("unknown_value", "other_version")


def test_a_topic_version_goes_on_learning_from_what_was_said(
    actor: Actor, about: ModelVersion, read: Any, no_beats: None
) -> None:
    articles = read(about, 24)
    for article in articles[:8]:
        correct(actor, article, "topic:storms", "yes")
    for article in articles[8:11]:
        correct(actor, article, "topic:cards", "no")

    lesson = services.make_lesson(actor=actor, monitor=articles[0].monitor, aspect="topic")
    run_next("io")
    job = services.train_lesson(actor=actor, lesson=lesson)
    again = services.train_lesson(actor=actor, lesson=lesson)
    run_next("train")

    job.job.refresh_from_db()
    job.refresh_from_db()
    assert job.job.state == "succeeded", job.job.error_message
    learnt = job.model_version
    assert learnt is not None and (job.pk, learnt.parent, learnt.family) == (again.pk, about, about.family)
    assert (learnt.labels, learnt.multi_label) == ([*ABOUT, "storms"], True)
    assert learnt.dataset_version == DatasetVersion.objects.get()
    [learning] = [each for each in corrected.learnings_of(articles[0].monitor) if each.aspect == "topic"]
    assert (learning.fresh_count, learning.lesson) == (0, lesson)


def spoken(
    source: Source, written: Any, version: ModelVersion, entities: Sequence[Entity], count: int
) -> list[Article]:
    """Articles with a sentence about each entity, spoken of well by a dedicated version that is sure."""
    texts = [" ".join(f"{each.name} is lost {at}." for each in entities) for at in range(count)]
    taken = services.ingest(source, [written(at, text) for at, text in enumerate(texts)])
    articles = [each.article for each in taken if each.article is not None]
    sure = {"bad": 0.02, "good": 0.96, "so-so": 0.02}
    said = [TargetSaid(article, entity.pk, sure) for article in articles for entity in entities]
    record_understanding(articles, targets=Targets(version, said, is_dedicated=True))
    return articles


@pytest.fixture
def towards(actor: Actor, pushed_source: Source, classifier: Callable[..., ModelVersion]) -> ModelVersion:
    """Says of the monitor's articles how entities are spoken of."""
    version = classifier("towards", ["bad", "good", "so-so"])
    pushed_source.monitor = services.change_monitor(
        actor=actor, monitor=pushed_source.monitor, target_model="towards", negative_label="bad", positive_label="good"
    )
    return version


def test_an_entity_version_goes_on_learning_from_what_it_reads(
    actor: Actor,
    pushed_source: Source,
    towards: ModelVersion,
    acme: Entity,
    moutai: Entity,
    written: Any,
    no_beats: None,
) -> None:
    articles = spoken(pushed_source, written, towards, [acme, moutai], 14)
    services.create_entity(actor=actor, name="Nobody")
    for at, article in enumerate(articles[:9]):
        correct(actor, article, "target:Acme", ("negative", "neutral", "positive")[at % 3])
    correct(actor, articles[0], "target:Nobody", "negative")

    lesson = services.make_lesson(actor=actor, monitor=pushed_source.monitor, aspect="target")
    run_next("io")
    job = services.train_lesson(actor=actor, lesson=lesson)
    run_next("train")

    rows = labels_of(lesson, corrected=True)
    assert rows["Acme | Acme is lost 0."] == ["bad"] and rows["Acme | Acme is lost 1."] == ["so-so"]
    assert len(rows) == 9 and list(labels_of(lesson, corrected=False).values()) == [["good"]] * 4
    assert (lesson.correction_count, lesson.left_count, lesson.model) == (9, 1, "towards")
    job.job.refresh_from_db()
    job.refresh_from_db()
    assert job.job.state == "succeeded", job.job.error_message
    assert job.model_version is not None and job.model_version.parent == towards
    assert job.model_version.labels == ["bad", "good", "so-so"]


def test_without_a_version_for_entities_the_one_for_articles_learns_the_windows_as_it_reads_them(
    actor: Actor, pushed_source: Source, classifier: Any, acme: Entity, written: Any
) -> None:
    classifier("tone", ["negative", "neutral", "positive"])
    services.change_monitor(actor=actor, monitor=pushed_source.monitor, sentiment_model="tone")
    services.ingest(pushed_source, [written(1, "All is well. Acme falls. Rain")])
    [article] = Article.objects.select_related("monitor")
    correct(actor, article, "target:Acme", "negative")

    lesson = services.make_lesson(actor=actor, monitor=article.monitor, aspect="target", sample_share=2)

    assert labels_of(lesson) == {"Acme falls.": ["negative"]}
    assert (lesson.model, lesson.sample_count) == ("tone", 0)


def test_programs_make_lessons_of_each_aspect(
    api: Any, actor: Actor, stranger: Actor, about: ModelVersion, read: Any, no_beats: None
) -> None:
    articles = read(about, 12)
    client, place = api(actor), f"/api/v1/monitors/{articles[0].monitor_id}/lessons"
    for article in articles[:6]:
        correct(actor, article, "topic:recall", "yes")

    nothing = client.post(place, {"aspect": "target"})
    unknown = client.post(place, {"aspect": "topic", "model": "tone"})
    made = client.post(place, {"aspect": "topic", "model": "about"})
    twice = client.post(place, {"aspect": "topic"})
    run_next("io")
    trained = client.post(f"/api/v1/lessons/{made.json()['id']}/train")

    assert (nothing.status_code, unknown.status_code, made.status_code, trained.status_code) == (409, 422, 202, 202)
    told = made.json()
    assert (told["aspect"], told["model"], told["correction_count"], told["left_count"]) == ("topic", "about", 6, 0)
    assert twice.json()["id"] == told["id"]
    assert TrainingJob.objects.get().spec["multi_label"] is True
    assert api(stranger).post(place, {"aspect": "topic"}).status_code == 404


def test_two_clicks_lead_from_corrected_topics_to_a_training(
    page: Any, alice: Any, actor: Actor, about: ModelVersion, read: Any, no_beats: None
) -> None:
    articles = read(about, 12)
    for article in articles[:6]:
        correct(actor, article, "topic:recall", "yes")
    browser, base = page(alice), f"/w/{actor.workspace.slug}/monitors/{articles[0].monitor_id}/corrections"

    made = browser.post(f"{base}/lessons", {"aspect": "topic", "model": "about", "sample_share": "1"})
    waiting = browser.get(f"{base}/lesson?aspect=topic&model=about").content.decode()
    run_next("io")
    ready = browser.get(f"{base}/lesson?aspect=topic&model=about").content.decode()
    lesson = Lesson.objects.get()
    started = browser.post(f"/w/{actor.workspace.slug}/monitors/lessons/{lesson.pk}/train")

    assert made.status_code == 302 and "being frozen" in waiting
    assert f"lessons/{lesson.pk}/train" in ready and "about goes on learning" in ready
    assert started["Location"] == f"/w/{actor.workspace.slug}/training/{TrainingJob.objects.get().pk}"
    assert browser.get(f"{base}/lesson?aspect=mood").status_code == 404
    assert browser.get(f"{base}/lesson?aspect=topic&model=tone").status_code == 404


def named(*labels: Sequence[str], texts: int = 0) -> dict[str, dict[str, Any]]:
    """Rows by their labels; of one text `texts` rows each."""
    return {f"text:{at // (texts or 1):04}:{at}": {"labels": list(each)} for at, each in enumerate(labels)}


def test_a_label_keeps_two_rows_to_learn_from_and_dev_tells_labels_apart() -> None:
    found = divided(named(*[["a"]] * 12, *[["b"]] * 3, ["c"]), {})

    by_label = {label: [split for name, split in found.items() if int(name.split(":")[2]) in places]
                for label, places in (("a", range(12)), ("b", range(12, 15)), ("c", range(15, 16)))}  # fmt: skip
    assert (by_label["a"].count("dev"), by_label["b"].count("dev"), by_label["c"]) == (2, 1, [""])
    assert "dev" not in divided(named(*[["a"]] * 12, *[["b"]] * 2), {}).values()
    assert list(divided(named(*[["a"]] * 5), {}).values()).count("dev") == 1


def test_rows_of_one_text_stay_together_and_a_row_keeps_its_split() -> None:
    rows = named(*[["a"], ["a"], ["b"], ["b"]] * 5, texts=2)

    first = divided(rows, {})
    more = divided({**rows, **{f"text:9{at:03}:1": {"labels": ["ab"[at % 2]]} for at in range(20)}}, first)

    by_text: dict[str, set[str]] = {}
    for name, split in first.items():
        by_text.setdefault(name.split(":")[1], set()).add(split)
    assert all(len(splits) == 1 for splits in by_text.values()) and list(first.values()).count("dev") == 4
    assert {name: more[name] for name in rows} == first and list(more.values()).count("dev") == 8

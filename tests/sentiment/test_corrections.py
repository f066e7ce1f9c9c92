"""Corrections of articles: said and taken back, kept as history, and learnt in two steps."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import close_old_connections

from apps.datasets import selectors as kept
from apps.datasets.models import Correction, Dataset, DatasetVersion, Example
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from apps.sentiment import corrected, services
from apps.sentiment.models import Article, Bucket, Lesson, Monitor, Source
from apps.sentiment.services.scoring import Said
from apps.training.models import TrainingJob
from core.errors import Refused
from workers.loop import run_next

LABELS = ["bad", "good", "so-so"]


@pytest.fixture
def tone(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> ModelVersion:
    return register_version(
        workspace=workspace, name="tone", folder=tiny_classifier(LABELS, 3), recipe="classify", task="classification",
        labels=LABELS, by=alice,
    )  # fmt: skip


@pytest.fixture
def watched(actor: Any, pushed_source: Source, tone: ModelVersion) -> Source:
    """Its articles are read by a version with labels of its own."""
    pushed_source.monitor = services.change_monitor(
        actor=actor, monitor=pushed_source.monitor, sentiment_model="tone", negative_label="bad", positive_label="good"
    )
    return pushed_source


@pytest.fixture
def scored(watched: Source, tone: ModelVersion, written: Any) -> Callable[..., list[Article]]:
    """Articles that the version is sure about: in turn bad, good, so-so."""

    def make(count: int, sure: float = 0.95, start: int = 0) -> list[Article]:
        taken = services.ingest(watched, [written(at) for at in range(start, start + count)])
        articles = [each.article for each in taken if each.article is not None]
        rest = (1 - sure) / 2
        said = [
            Said(article, {name: sure if at % 3 == place else rest for place, name in enumerate(LABELS)})
            for at, article in enumerate(articles)
        ]
        services.record_scores(tone, said)
        return articles

    return make


def test_the_newest_word_counts_and_nothing_is_lost(actor: Any, scored: Any, tone: ModelVersion) -> None:
    [article] = scored(1)

    first = services.correct_article(actor=actor, article=article, label="neutral", note="irony")
    again = services.correct_article(actor=actor, article=article, label="neutral")
    second = services.correct_article(actor=actor, article=article, label="positive")
    services.take_back(actor=actor, article=article)

    rows = list(kept.correction_history(actor.workspace, article.text_hash))
    assert (first.pk, first.previous_label, first.model_version, first.note) == (
        again.pk,
        "negative",
        "tone v1",
        "irony",
    )
    assert [(row.label, row.is_current) for row in rows] == [("", True), ("positive", False), ("neutral", False)]
    assert (second.model_version_id, second.author, second.source) == (tone.pk, str(actor), "sentiment")
    assert corrected.shown(actor.workspace, [article])[article.pk].correction is None
    assert corrected.standings_of(article.monitor)[0].count == 0


def test_scores_and_buckets_stay_as_the_version_made_them(actor: Any, scored: Any) -> None:
    articles = scored(3)
    before = list(Bucket.objects.order_by("pk").values())

    services.correct_article(actor=actor, article=articles[0], label="positive")
    services.correct_article(actor=actor, article=articles[1], label="positive")

    found = corrected.standings_of(articles[0].monitor)[0]
    assert list(Bucket.objects.order_by("pk").values()) == before
    assert (found.count, found.otherwise_count, found.confirmed_count) == (2, 1, 1)


def test_the_same_text_elsewhere_is_corrected_too(actor: Any, scored: Any, watched: Source, written: Any) -> None:
    [article] = scored(1)
    other = services.add_source(actor=actor, monitor=watched.monitor, kind="push", name="Second")
    [taken] = services.ingest(other, [written(0)])
    assert taken.article is not None

    services.correct_article(actor=actor, article=article, label="positive")

    found = corrected.shown(actor.workspace, [taken.article])[taken.article.pk]
    assert found.correction is not None and found.name == "Positive"


def test_what_cannot_be_said_is_refused(actor: Any, scored: Any) -> None:
    [article] = scored(1)

    for label, aspect, code in (
        ("abstained", "sentiment", "unknown_value"),
        ("negative", "mood", "unknown_value"),
        ("negative", "target:", "unknown_value"),
        ("yes", "topic", "unknown_value"),
        ("negative", "sentiment:1", "unknown_value"),
        ("yes", "topic:harbours\0", "unknown_value"),
        ("yes", "topic:harbours", "unknown_topic"),
        ("yes", f"topic:{9**18}", "unknown_topic"),
        ("negative", "target:Acme", "unknown_entity"),
    ):
        with pytest.raises(Refused) as refused:
            services.correct_article(actor=actor, article=article, label=label, aspect=aspect)
        assert refused.value.code == code
    Article.objects.filter(pk=article.pk).update(title="let go")
    article.refresh_from_db()
    with pytest.raises(Refused) as refused:
        services.correct_article(actor=actor, article=article, label="negative")
    assert refused.value.code == "text_gone"
    assert not Correction.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_people_at_once_leave_one_word_that_counts(actor: Any, scored: Any) -> None:
    [article] = scored(1)

    def say(label: str) -> None:
        try:
            services.correct_article(actor=actor, article=article, label=label)
        finally:
            close_old_connections()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(say, ["negative", "neutral", "positive", "negative"]))

    assert Correction.objects.filter(is_current=True).count() == 1


def test_corrections_become_a_dataset_version_and_a_training_job_with_their_lineage(
    actor: Any, scored: Any, tone: ModelVersion, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    articles = scored(30)
    for article in articles[:9]:
        services.correct_article(actor=actor, article=article, label="positive")
    monitor = articles[0].monitor

    lesson = services.make_lesson(actor=actor, monitor=monitor, sample_share=1)
    twice = services.make_lesson(actor=actor, monitor=monitor, sample_share=1)
    with pytest.raises(Refused) as early:
        services.train_lesson(actor=actor, lesson=lesson)
    run_next("io")
    job = services.train_lesson(actor=actor, lesson=lesson)
    again = services.train_lesson(actor=actor, lesson=lesson)

    version = DatasetVersion.objects.get()
    rows = Example.objects.filter(dataset=version.dataset, deleted_at=None)
    right = rows.filter(meta__corrected=True)
    assert (lesson.pk, early.value.code, job.pk) == (twice.pk, "not_frozen", again.pk)
    assert (right.count(), set(right.values_list("labels__0", flat=True))) == (9, {"good"})
    sampled = list(rows.filter(meta__corrected=False).values_list("labels__0", flat=True))
    assert sorted(sampled) == ["bad"] * 3 + ["good"] * 3 + ["so-so"] * 3
    assert (version.counts["splits"], version.row_count) == ({"dev": 3, "train": 15}, 18)
    assert (TrainingJob.objects.count(), job.dataset_version, job.base_version) == (1, version, tone)
    assert (job.recipe, job.family_name, job.job.state) == ("classify", "tone", "queued")
    assert (job.spec["base_model"]["name"], job.spec["known_labels"], job.spec["keep"]) == (
        str(tone.pk),
        "keep",
        "l2_sp",
    )
    assert corrected.learnings_of(monitor)[0].fresh_count == 0


def test_what_is_new_makes_the_next_version_and_what_was_taken_back_is_in_it_no_more(
    actor: Any, scored: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    articles = scored(6, sure=0.6)
    monitor = articles[0].monitor
    for article in articles[:4]:
        services.correct_article(actor=actor, article=article, label="negative")
    first = services.make_lesson(actor=actor, monitor=monitor)
    run_next("io")
    same = services.make_lesson(actor=actor, monitor=monitor)
    services.take_back(actor=actor, article=articles[0])
    services.correct_article(actor=actor, article=articles[1], label="positive")

    second = services.make_lesson(actor=actor, monitor=monitor)
    run_next("io")

    rows = Example.objects.filter(dataset=Dataset.objects.get(), deleted_at=None)
    assert (first.pk, first.sample_count) == (same.pk, 0)  # nobody was sure
    splits = [version.counts["splits"] for version in DatasetVersion.objects.order_by("number")]
    assert splits == [{"dev": 1, "train": 3}, {"none": 1, "train": 2}]  # one good text alone teaches nothing yet
    assert second.dataset_version.dataset_id == first.dataset_version.dataset_id
    assert [version.row_count for version in DatasetVersion.objects.order_by("number")] == [4, 3]
    assert sorted(rows.values_list("labels__0", flat=True)) == ["bad", "bad", "good"]


def test_a_click_corrects_and_another_takes_back(
    page: Any, alice: Any, charlie: Any, workspace: Any, scored: Any, brand_monitor: Monitor
) -> None:
    [article] = scored(1)
    browser, base = page(alice), f"/w/{workspace.slug}/monitors"
    empty = browser.get(f"{base}/{brand_monitor.pk}/corrections").content.decode()

    click = f"{base}/articles/{article.pk}/correct"
    said = browser.post(click, {"label": "positive"}, headers={"HX-Request": "true"}).content.decode()
    listed = browser.get(f"{base}/{brand_monitor.pk}/articles").content.decode()
    one = browser.get(f"{base}/articles/{article.pk}").content.decode()
    told = browser.get(f"{base}/{brand_monitor.pk}/corrections?otherwise=yes").content.decode()
    back = browser.post(click, {"undo": "1"}, headers={"HX-Request": "true"}).content.decode()
    plain = browser.post(click, {"label": "negative"})

    assert "No correction yet" in empty
    for text in (said, listed, one):
        assert "Positive, says alice@example.org" in text and 'aria-pressed="true" data-said="positive"' in text
    assert "1 correction is in no dataset version yet." in told and "no accuracy" in told
    assert 'aria-pressed="true"' not in back and "says" not in back
    assert (plain.status_code, plain["Location"]) == (302, f"{base}/articles/{article.pk}")
    stranger = page(charlie)
    assert stranger.post(f"{base}/articles/{article.pk}/correct", {"label": "positive"}).status_code == 404


def test_two_clicks_lead_from_corrections_to_a_training(
    page: Any, alice: Any, actor: Any, workspace: Any, scored: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    articles = scored(12)
    for article in articles:
        services.correct_article(actor=actor, article=article, label="neutral")
    browser, base = page(alice), f"/w/{workspace.slug}/monitors/{articles[0].monitor_id}/corrections"

    made = browser.post(f"{base}/lessons", {"sample_share": "0"})
    waiting = browser.get(f"{base}/lesson").content.decode()
    run_next("io")
    ready = browser.get(f"{base}/lesson").content.decode()
    lesson = Lesson.objects.get()
    started = browser.post(f"/w/{workspace.slug}/monitors/lessons/{lesson.pk}/train")
    done = browser.get(base).content.decode()

    job = TrainingJob.objects.get()
    assert (made.status_code, "being frozen" in waiting, "hx-get" in waiting, "hx-get" in ready) == (
        302,
        True,
        True,
        False,
    )
    assert f"lessons/{lesson.pk}/train" in ready
    assert (started.status_code, started["Location"]) == (302, f"/w/{workspace.slug}/training/{job.pk}")
    assert job.name in done and "is in no dataset version" not in done


def test_programs_correct_and_teach_the_same_way(
    api: Any, actor: Any, stranger: Any, scored: Any, settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    articles = scored(12)
    client, monitor = api(actor), articles[0].monitor_id
    for article in articles:
        made = client.post(f"/api/v1/articles/{article.pk}/corrections", {"label": "negative", "note": "checked"})
        assert (made.status_code, made.json()["article"]) == (201, str(article.pk))
    gone = client.delete(f"/api/v1/articles/{articles[0].pk}/corrections")
    listed = client.get(f"/api/v1/monitors/{monitor}/corrections?otherwise=yes").json()["results"]

    lesson = client.post(f"/api/v1/monitors/{monitor}/lessons", {"sample_share": 0})
    run_next("io")
    trained = client.post(f"/api/v1/lessons/{lesson.json()['id']}/train")

    assert (gone.status_code, len(listed), lesson.status_code, trained.status_code) == (204, 8, 202, 202)
    assert (lesson.json()["is_frozen"], trained.json()["is_frozen"]) == (False, True)
    assert trained.json()["training_job"] == TrainingJob.objects.get().pk
    assert client.get(f"/api/v1/monitors/{monitor}/lessons").json()["results"][0]["correction_count"] == 11
    assert api(stranger).post(f"/api/v1/lessons/{lesson.json()['id']}/train").status_code == 404
    reading = api(actor, scopes=["sentiment.write", "sentiment.read"])
    assert reading.post(f"/api/v1/monitors/{monitor}/lessons").status_code == 403

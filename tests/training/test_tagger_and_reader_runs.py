"""Taggers and readers trained by jobs: curves, figures, samples, card and page."""

from typing import Any

import pytest

from apps.training import services
from apps.training.models import TrainingJob
from core.errors import Refused
from core.jobs.states import State
from workers.loop import run_next

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def spec(tiny_tagger: Any) -> dict[str, Any]:
    return {
        "base_model": {"kind": "folder", "name": str(tiny_tagger())},
        "epochs": 2,
        "batch_size": 8,
        "max_length_tokens": 16,
        "stride_tokens": 4,
        "seed": 5,
    }


def test_a_run_registers_a_tagger_with_figures_curves_and_marked_samples(
    actor: Any, span_data: Any, spec: dict[str, Any], settings: Any, page: Any, alice: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    training_job = services.start(
        actor=actor, recipe="tag", spec=spec, version=span_data, name="Run", family_name="Names"
    )

    run_next("train")

    done = TrainingJob.objects.select_related("job", "model_version__family").get(pk=training_job.pk)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None
    assert (str(version), version.task, version.labels) == ("Names v1", "tagging", ["city", "name"])
    assert set(version.metrics) == {"dev", "test"} and len(version.samples) == 18
    assert {"start", "end", "label"} == set(version.samples[0]["gold"][0])
    assert {"train_loss", "dev_entity_f1"} <= set(done.points.values_list("name", flat=True))
    card = version.card_revisions.get().generated
    assert "Entity F1" in card and "processed " in card and "Missed" in card
    browser = page(alice)
    shown = browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()
    assert "lx-span" in shown and "Report in the form of CoNLL" in shown and "Span tagging" in shown
    assert "Dev entity F1" in browser.get(f"/w/harbour/training/{done.pk}").content.decode()
    listed = browser.get("/w/harbour/models/").content.decode()
    assert "Entity F1" in listed


def test_labelled_texts_and_texts_without_labels_cannot_be_learnt_from(
    actor: Any, span_data: Any, chat_data: Any, spec: dict[str, Any]
) -> None:
    def codes(data: Any) -> set[str]:
        with pytest.raises(Refused) as refused:
            services.start(actor=actor, recipe="tag", spec=spec, version=data)
        return {problem.code for problem in refused.value.problems}

    assert codes(chat_data) == {"wrong_kind"}
    span_data.labels = []
    assert codes(span_data) == {"too_few_labels"}


def test_the_form_offers_taggers_marked_data_and_their_options(
    span_data: Any, frozen: Any, page: Any, alice: Any
) -> None:
    shown = page(alice).get("/w/harbour/training/new?recipe=tag").content.decode()

    assert "Names v1" in shown and "Questions v1" not in shown
    assert "Case features" in shown and "What carries a tag" in shown


def test_a_reader_is_trained_by_a_job(
    actor: Any, qa_data: Any, tiny_reader: Any, settings: Any, page: Any, alice: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    spec = {
        "base_model": {"kind": "folder", "name": str(tiny_reader())},
        "epochs": 2,
        "batch_size": 8,
        "max_length_tokens": 32,
        "stride_tokens": 8,
    }
    training_job = services.start(
        actor=actor, recipe="extract", spec=spec, version=qa_data, name="Run", family_name="Reader"
    )

    run_next("train")

    done = TrainingJob.objects.select_related("job", "model_version__family").get(pk=training_job.pk)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None and (version.task, len(version.samples)) == ("extraction", 9)
    assert {"train_loss", "dev_f1", "dev_exact_match"} <= set(done.points.values_list("name", flat=True))
    browser = page(alice)
    shown = browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()
    assert "Found answer" in shown and "F1 of the words" in shown and "&lt;i&gt;" in shown
    assert "Dev F1 of the words" in browser.get(f"/w/harbour/training/{done.pk}").content.decode()
    assert "Longest answer in tokens" in browser.get("/w/harbour/training/new?recipe=extract").content.decode()

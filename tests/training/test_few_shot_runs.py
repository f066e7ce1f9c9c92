"""A few-shot run by a job: learning curve on page, card and API, both ways, and bases it may start from."""

from typing import Any

import pytest

from apps.registry.services import register_version
from apps.training import services
from apps.training.bases import base_choices, base_problems
from apps.training.models import TrainingJob
from apps.training.selectors import file_places, newest_checkpoint
from core import storage
from core.jobs.states import State
from engine.specs import BaseModel
from engine.specs.few_shot import FewShotSpec
from workers.loop import run_next

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_learning_curve_is_trained_registered_and_shown(
    actor: Any, frozen: Any, spec: dict[str, Any], settings: Any, page: Any, alice: Any, api: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    options = {**spec, "epochs": 2, "curve": "4,8", "shots": 12}
    training_job = services.start(
        actor=actor, recipe="few_shot", spec=options, version=frozen, name="Run", family_name="Few"
    )

    run_next("train")

    done = TrainingJob.objects.select_related("job", "model_version__family").get(pk=training_job.pk)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None and (str(version), version.task) == ("Few v1", "classification")
    points = version.metrics["dev"]["curve"]
    assert [(point["count"], point["rows"]) for point in points] == [(4, 12), (8, 24), (12, 36)]
    assert points[-1]["headline"] == version.metrics["dev"]["headline"]
    card = version.card_revisions.get().generated
    assert "Learning curve on dev" in card and "| 8 | 24 | " in card
    checkpoint = newest_checkpoint(done)
    assert checkpoint is not None and (storage.home() / checkpoint.path).is_dir()
    browser = page(alice)
    title = "Learning curve: dev accuracy by texts a class"
    shown = browser.get(f"/w/harbour/training/{done.pk}").content.decode()
    assert title in shown and "Few-shot" in shown and "pulled together" in shown
    assert title in browser.get(f"/w/harbour/models/versions/{version.pk}").content.decode()
    told = api(actor).get(f"/api/v1/training-jobs/{done.pk}/curves").json()["curves"]
    assert [count for count, _ in told["shots_accuracy"]] == [4, 8, 12]
    assert {"shots_accuracy_low", "shots_macro_f1_high"} <= set(told)


def test_the_checkpoints_of_every_count_keep_the_attempts_folder(
    actor: Any, frozen: Any, spec: dict[str, Any], settings: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    options = {**spec, "epochs": 2, "curve": "4,8"}
    training_job = services.start(actor=actor, recipe="few_shot", spec=options, version=frozen, name="Run")

    run_next("train")

    checkpoint = newest_checkpoint(training_job)
    assert checkpoint is not None and "/shots-" in checkpoint.path
    attempts = next(named for pattern, named in file_places() if pattern == "*/runs/*/*")()
    assert checkpoint.path.split("/shots-")[0] in attempts


def test_words_that_stand_for_labels_are_learnt_by_a_version_that_writes(
    actor: Any, frozen: Any, tiny_chat: Any, settings: Any, page: Any, alice: Any
) -> None:
    settings.JOB_BEAT_SECONDS = 3600
    writer = register_version(
        workspace=actor.workspace, name="Writer", folder=tiny_chat(), recipe="sft", task="generation", labels=[],
        by=actor.user,
    )  # fmt: skip
    options = {
        "way": "verbaliser", "base_model": f"version:{writer.pk}", "epochs": 1, "shots": 4, "batch_size": 8,
        "max_length_tokens": 32, "pattern": "{text} is {label}",
    }  # fmt: skip
    training_job = services.start(actor=actor, recipe="few_shot", spec=options, version=frozen, family_name="Few")

    run_next("train")

    done = TrainingJob.objects.select_related("job", "model_version__family").get(pk=training_job.pk)
    assert done.job.state == State.SUCCEEDED, done.job.error_message
    version = done.model_version
    assert version is not None and version.parent == writer
    assert (version.task, version.labels) == ("classification", ["card", "loan", "refund"])
    shown = page(alice).get(f"/w/harbour/training/{done.pk}").content.decode()
    assert "a word stands for the label" in shown and "Verbaliser" in shown


def test_the_form_offers_encoders_and_models_that_write(
    actor: Any, frozen: Any, tiny_chat: Any, tiny_classifier: Any, page: Any, alice: Any
) -> None:
    made = {
        task: register_version(
            workspace=actor.workspace, name=task, folder=folder, recipe=recipe, task=task, labels=labels, by=actor.user
        )
        for task, recipe, folder, labels in (
            ("generation", "sft", tiny_chat(), []),
            ("classification", "classify", tiny_classifier(("a", "b"), 1), ["a", "b"]),
        )
    }  # fmt: skip

    offered = dict(base_choices(recipe="few_shot", default=FewShotSpec().base_model, workspace=actor.workspace))
    shown = page(alice).get("/w/harbour/training/new?recipe=few_shot").content.decode()

    assert {f"version:{version.pk}" for version in made.values()} <= set(offered)
    assert next(iter(offered)).startswith("package:")
    assert "Texts a class" in shown and "Learning curve" in shown and "Words of the labels" in shown
    named = FewShotSpec(base_model=BaseModel("version", str(made["generation"].pk)), way="verbaliser")
    assert base_problems("few_shot", named, actor.workspace) == []

"""Pretraining by page, API and worker: a version that is read, tried, measured and compared like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.urls import reverse

from apps.datasets.models import Dataset, DatasetVersion
from apps.evaluation.models import Comparison, EvaluationJob
from apps.evaluation.services import start_comparison, start_evaluation
from apps.evaluation.tasks import measuring_of
from apps.registry.cards import generated_card
from apps.registry.model_folders import check_model_folder
from apps.registry.selectors import version_folder
from apps.training import services
from apps.training.models import TrainingJob
from core.errors import Refused
from engine.chat_model import load_chat_model
from workers.loop import run_next

pytestmark = pytest.mark.django_db(transaction=True)

TINY = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context_tokens": 32,
    "vocabulary": "byte",
    "max_tokens": 600,
    "batch_size": 2,
    "evaluate_every_steps": 3,
    "sample_count": 2,
    "sample_tokens": 5,
}


@pytest.fixture
def texts(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> DatasetVersion:
    """40 frozen documents: 24 to learn from, 8 dev, 8 test."""
    dataset = Dataset.objects.create(workspace=workspace, name="Letters", kind="corpus")
    splits = ["train"] * 3 + ["dev", "test"]
    rows = [
        {
            "example_id": 900 + at,
            "external_id": f"d{at}",
            "split": splits[at % 5],
            "meta": "{}",
            "text": f"<b>{at}</b> the quick brown fox jumps over the lazy dog {'and again ' * (at % 6)}",
        }
        for at in range(40)
    ]
    counts = {"splits": {"train": 24, "dev": 8, "test": 8}}
    return freeze_rows(dataset, pa.Table.from_pylist(rows), content_hash="e" * 64, counts=counts)


@pytest.fixture
def made(actor: Any, texts: DatasetVersion, settings: Any, monkeypatch: pytest.MonkeyPatch) -> TrainingJob:
    """A finished run."""
    settings.JOB_BEAT_SECONDS = 3600
    job = services.start(actor=actor, recipe="pretrain", spec=TINY, version=texts, family_name="Letters")
    run_next("train")
    done = TrainingJob.objects.select_related("job", "model_version").get(pk=job.pk)
    assert done.job.state == "succeeded", done.job.error_message
    return done


def measured(actor: Any, version: Any, data: DatasetVersion) -> EvaluationJob:
    run = start_evaluation(actor=actor, model_version=version, dataset_version=data)
    run_next("infer")
    found = EvaluationJob.objects.select_related("job").get(pk=run.pk)
    assert found.job.state == "succeeded", found.job.error_message
    return found


def test_a_run_becomes_a_version_that_is_read_measured_and_shown(
    made: TrainingJob, actor: Any, alice: Any, texts: DatasetVersion, page: Any
) -> None:
    version = made.model_version
    assert version is not None and version.task == "generation" and version.parameter_count
    assert {"train_loss", "dev_loss", "dev_bits_per_byte"} <= set(made.points.values_list("name", flat=True))
    assert len(version.samples) == 2 and set(version.metrics) == {"dev", "test"}
    assert "Bits per byte" in generated_card(version)
    assert check_model_folder(Path(version_folder(version))).task == "generation"
    assert made.seen["rows"][0]["learnt_count"] == made.seen["rows"][0]["token_count"] - 1
    assert not (services.run_folder(made) / "cache").exists()  # the version stands; tokens are no longer needed

    run = measured(actor, version, texts)
    wanted = version.metrics["test"]["headline"]
    assert run.headline["bits_per_byte"]["value"] == pytest.approx(wanted["bits_per_byte"]["value"], rel=1e-4)

    client = page(alice)
    shown = client.get(reverse("evaluation:detail", args=["harbour", run.pk])).content.decode()
    assert "Bits per byte" in shown and "&lt;b&gt;4&lt;/b&gt; the quick" in shown
    assert "Written answer" not in shown and "Exact answers" not in shown
    model = client.get(reverse("registry:detail", args=["harbour", version.pk])).content.decode()
    assert "Bits per byte" in model and "Continued by the model" in model
    job = client.get(reverse("training:detail", args=["harbour", made.pk])).content.decode()
    assert "Dev bits per byte" in job or "dev_bits_per_byte" in job

    answer = load_chat_model(Path(version_folder(version))).answers(
        [[{"role": "user", "content": "the quick"}]], max_new_tokens=4
    )[0]
    assert answer.tokens > 0


def test_two_versions_are_compared_by_the_loss_of_each_document(
    made: TrainingJob, actor: Any, alice: Any, texts: DatasetVersion, page: Any, chat_version: Any
) -> None:
    first, second = measured(actor, made.model_version, texts), measured(actor, chat_version("own", 1), texts)
    compared = start_comparison(actor=actor, first=first, second=second)
    run_next("io")
    found = Comparison.objects.select_related("job", "first").get(pk=compared.pk)

    assert found.figures["unit"] == "answer" and found.figures["rows"] == 8
    assert measuring_of(found.first).flip_names == ("first_likelier", "second_likelier")
    shown = page(alice).get(reverse("evaluation:comparison", args=["harbour", found.pk])).content.decode()
    assert "Loss of a whole document" in shown and "Exact answers, second" not in shown


def test_one_long_text_is_enough_and_other_data_is_refused(
    actor: Any, workspace: Any, freeze_rows: Callable[..., DatasetVersion], chat_data: DatasetVersion
) -> None:
    dataset = Dataset.objects.create(workspace=workspace, name="Book", kind="corpus")
    row = {"example_id": 1, "external_id": None, "split": "train", "meta": "{}", "text": "word " * 400}
    single = freeze_rows(dataset, pa.Table.from_pylist([row]), content_hash="d" * 64, counts={"splits": {"train": 1}})

    parsed, problems = services.check(recipe="pretrain", spec=TINY, version=single)
    assert parsed is not None and problems == []

    with pytest.raises(Refused) as refused:
        services.start(actor=actor, recipe="pretrain", spec=TINY, version=chat_data)
    assert [problem.code for problem in refused.value.problems] == ["wrong_kind"]


def test_the_form_offers_every_option_and_the_api_says_them(
    actor: Any, alice: Any, texts: DatasetVersion, page: Any, api: Any
) -> None:
    shown = page(alice).get(reverse("training:new", args=["harbour"]), {"recipe": "pretrain"}).content.decode()
    for name in ("vocabulary", "layout", "max_tokens", "evaluate_every_steps", "sample_prompt", "shape"):
        assert f'name="spec-{name}"' in shown

    found = api(actor).get("/api/v1/recipes").json()
    recipe = next(entry for entry in found if entry["name"] == "pretrain")
    assert recipe["data_kinds"] == ["corpus"] and recipe["task"] == "generation"

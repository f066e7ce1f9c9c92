"""A registered tiny classifier and a frozen dataset version for the evaluation tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from apps.datasets.models import Dataset, DatasetVersion
from apps.evaluation.models import EvaluationJob, Suite
from apps.evaluation.services import CheckPlan, create_suite, start_evaluation
from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from core.access import Actor
from tests.fixtures.jobs import in_process
from workers.loop import run_next

LABELS = ("refund", "card", "loan")
WORDS = (
    "where is my card",
    "refund my money please",
    "loan rate",
    "my card is lost",
    "pay back the loan",
    "help 我 的 卡",
)


@pytest.fixture
def version(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> Callable[..., ModelVersion]:
    """Registers a tiny classifier with weights of a seed."""

    def make(seed: int = 1, **columns: Any) -> ModelVersion:
        given: dict[str, Any] = {
            "workspace": workspace,
            "name": "intents",
            "folder": tiny_classifier(LABELS, seed),
            "recipe": "classify",
            "task": "classification",
            "labels": LABELS,
            "by": alice,
        }
        return register_version(**{**given, **columns})

    return make


@pytest.fixture
def data(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> DatasetVersion:
    """60 labelled texts, 40 of them in the test split."""
    dataset = Dataset.objects.create(workspace=workspace, name="Questions", kind="classification", labels=list(LABELS))
    rows = [
        {
            "example_id": 100 + at,
            "external_id": f"q{at}",
            "split": "test" if at % 3 else "train",
            "meta": "{}",
            "text": f"{WORDS[at % len(WORDS)]} {'the ' * (at % 7)}<b>{at}</b>",
            "labels": [LABELS[at % 3]],
        }
        for at in range(60)
    ]
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("external_id", pa.string()),
            ("split", pa.string()),
            ("meta", pa.string()),
            ("text", pa.string()),
            ("labels", pa.list_(pa.string())),
        ]
    )
    return freeze_rows(
        dataset,
        pa.Table.from_pylist(rows, schema=schema),
        content_hash="d" * 64,
        counts={"splits": {"train": 20, "test": 40}},
        labels=list(LABELS),
    )


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def evaluated(actor: Actor, data: DatasetVersion, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EvaluationJob]:
    """Evaluates a version on the test split with the real engine, by default in this process."""

    def run(version: ModelVersion, *, in_child: bool = False) -> EvaluationJob:
        if not in_child:
            monkeypatch.setattr("workers.evaluation.run_engine", in_process)
        made = start_evaluation(actor=actor, model_version=version, dataset_version=data, split="test")
        assert run_next("infer") == made.job.pk
        found = EvaluationJob.objects.select_related("job").get(pk=made.pk)
        assert found.job.state == "succeeded", found.job.error_message
        return found

    return run


@pytest.fixture
def suite(actor: Actor, data: DatasetVersion) -> Callable[..., Suite]:
    """Makes a draft with the given checks, by default two that every classifier passes."""

    def make(*checks: CheckPlan, name: str = "Release") -> Suite:
        usual = (CheckPlan(data, "accuracy", 0.0), CheckPlan(data, "macro_f1", 0.0))
        return create_suite(actor=actor, name=name, task="classification", checks=checks or usual)

    return make

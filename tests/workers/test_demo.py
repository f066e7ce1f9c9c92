"""The demo keeps to its own rows, whatever people start while it runs."""

from typing import Any

import pyarrow as pa

from apps.datasets.models import Dataset
from apps.training import services
from workers.demo import MODEL, QUESTIONS, RUN, demo_training


def test_the_demo_goes_on_with_its_own_training_job(
    actor: Any, workspace: Any, chat_version: Any, chat_data: Any, freeze_rows: Any
) -> None:
    dataset = Dataset.objects.create(workspace=workspace, name=QUESTIONS, kind="classification")
    rows = [{"example_id": at, "text": "x", "labels": ["a"], "split": "train"} for at in range(8)]
    counts = {"splits": {"train": 8}}
    frozen = freeze_rows(dataset, pa.Table.from_pylist(rows), content_hash="d" * 64, counts=counts, labels=["a", "b"])
    own = services.start(actor=actor, recipe="classify", spec={}, version=frozen, name=RUN, family_name=MODEL)
    services.start(actor=actor, recipe="sft", spec={}, version=chat_data, name="Mine")

    assert demo_training(actor) == own

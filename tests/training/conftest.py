"""A frozen dataset version and a tiny encoder to start from, for the training tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from apps.datasets.models import Dataset, DatasetVersion

WORDS = {"card": "my card is lost", "refund": "refund my money please", "loan": "what is the loan rate"}


@pytest.fixture
def frozen(workspace: Any, freeze_rows: Callable[..., DatasetVersion]) -> DatasetVersion:
    """120 labelled texts, frozen: 84 to learn from, 18 dev, 18 test."""
    dataset = Dataset.objects.create(
        workspace=workspace, name="Questions", kind="classification", labels=sorted(WORDS), example_count=120
    )
    labels = sorted(WORDS)
    splits = ["train"] * 14 + ["dev"] * 3 + ["test"] * 3
    rows = [
        {
            "example_id": 500 + at,
            "external_id": f"q{at}",
            "split": splits[at // 6],
            "meta": "{}",
            "text": f"{WORDS[labels[at % 3]]} number {at} {'please ' * (at % 5)}",
            "labels": [labels[at % 3]],
        }
        for at in range(120)
    ]
    return freeze_rows(
        dataset,
        pa.Table.from_pylist(rows),
        content_hash="f" * 64,
        counts={"splits": {"train": 84, "dev": 18, "test": 18}, "labels": dict.fromkeys(labels, 40)},
        labels=labels,
    )


@pytest.fixture
def spec(tiny_classifier: Callable[..., Path]) -> dict[str, Any]:
    """A short run from a tiny encoder, with a checkpoint at every second step."""
    return {
        "base_model": {"kind": "folder", "name": str(tiny_classifier(("a", "b"), 3))},
        "epochs": 3,
        "batch_size": 8,
        "learning_rate": 0.001,
        "checkpoint_every_steps": 2,
        "seed": 5,
    }

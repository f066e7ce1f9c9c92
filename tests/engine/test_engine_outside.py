"""A classifier that turns away texts about none of its labels, from rows to served version."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.data import TextRows
from engine.evaluate import evaluate
from engine.model_folder import open_classifier
from engine.predict import load_classifier
from engine.preflight import preflight
from engine.recipes import classify
from engine.recipes.classify_setup import aims
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, parse_spec


@pytest.fixture
def data(text_file: Any, labelled: Any, tmp_path: Path) -> Path:
    """Sentences of three labels, and others of words no label has."""
    splits = ["train"] * 60 + ["dev"] * 24 + ["test"] * 24
    rows = [(text, [label], split) for (text, label), split in zip(labelled(108), splits, strict=True)]
    others = [
        (f"why {'is it ' * (at % 4)}not {'a ' * (at % 3)}where today {'the ' * at}", ["other"]) for at in range(24)
    ]
    parts = ["train"] * 8 + ["dev"] * 8 + ["test"] * 8
    rows += [(text, label, part) for (text, label), part in zip(others, parts, strict=True)]
    return text_file(tmp_path / "rows.parquet", rows)


def spec_of(encoder: Path, **options: Any) -> ClassifySpec:
    settings: dict[str, Any] = {
        "max_length_tokens": 32, "epochs": 6, "learning_rate": 5e-3, "average_decay": 0.0,
        "outside_label": "other", "outside_share": 0.1,
    }  # fmt: skip
    return ClassifySpec(base_model=BaseModel("folder", str(encoder)), **(settings | options))


def test_the_version_gives_the_label_below_its_bound_and_is_measured_so(
    encoder: Path, data: Path, tmp_path: Path
) -> None:
    made = classify.train(spec_of(encoder), data, tmp_path / "run", Silent())

    dev = made["evaluations"]["dev"]["headline"]
    assert made["labels"] == ["card", "loan", "transfer", "other"]
    assert {"in_scope_accuracy", "outside_recall", "outside_auroc"} <= set(dev)
    model, _, description = open_classifier(Path(made["model"]))
    assert model.head.out_features == 3 and description["outside"]["label"] == "other"
    classifier = load_classifier(Path(made["model"]))
    parts = classify.read_texts(data)
    found = classifier.predict(parts["dev"].texts)
    assert found.names == ("card", "loan", "transfer", "other") and found.probabilities.shape == (32, 4)
    measured, _ = evaluate(found.probabilities, parts["dev"].labels, parts["dev"].ids, found.names, turns_away=True)
    assert measured["headline"] == dev
    inside = [labels != ("other",) for labels in parts["dev"].labels]
    turned_away = [labels == ("other",) for labels in found.labels]
    assert np.mean([away for away, within in zip(turned_away, inside, strict=True) if within]) <= 0.1 + 1 / 24


def test_rows_about_none_of_the_labels_teach_not_to_be_sure() -> None:
    rows = TextRows([1, 2], ["a", "b"], [("card",), ("other",)])

    targets, inside = aims(rows, ["card", "loan"], "other")

    assert torch.equal(targets, torch.tensor([[1.0, 0.0], [0.5, 0.5]])) and inside == [0]


def test_the_preflight_counts_and_refuses(encoder: Path, data: Path, text_file: Any, tmp_path: Path) -> None:
    good = preflight(spec_of(encoder), data, Silent())
    assert [row["label"] for row in good["labels"]] == ["card", "loan", "transfer"]
    assert [problem for problem in good["problems"] if problem["severity"] == "error"] == []

    rows = [(f"card {at}", ["card" if at % 2 else "loan"], "train") for at in range(12)]
    bare = text_file(tmp_path / "bare.parquet", [*rows, ("what else", ["other"], "dev")])
    found = preflight(spec_of(encoder), bare, Silent())["problems"]
    assert ("no_dev", "outside_label") in [(problem["code"], problem["field"]) for problem in found]

    _, problems = parse_spec("classify", {"outside_label": "other", "multi_label": True})
    assert [problem.field for problem in problems] == ["outside_label"]

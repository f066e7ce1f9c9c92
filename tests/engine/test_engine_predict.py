"""Labelling texts: the same label in any company, in order, window by window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from engine import base_models
from engine.encoder import TextClassifier
from engine.failures import RunFailed, Stopped
from engine.model_folder import save_classifier
from engine.predict import Classifier, batches_by_tokens, load_classifier


@pytest.fixture(params=["mean", "native"])
def folder(request: pytest.FixtureRequest, encoder: Path, tmp_path: Path) -> Path:
    """A saved classifier with random weights."""
    torch.manual_seed(2)
    network = base_models.load_network(str(encoder), 3)
    model = TextClassifier(network, 3, pooling=request.param)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    description = {"recipe": "classify", "multi_label": False, "decision_threshold": 0.5, "max_length_tokens": 12}
    save_classifier(tmp_path / "model", model, base_models.load_tokenizer(str(encoder)), ["a", "b", "c"], description)
    return tmp_path / "model"


@pytest.fixture
def lines(labelled: Any) -> list[str]:
    found = [text for text, _ in labelled(40)]
    return [*found, found[3], "", "unseen words only", "please " * 50, found[0]]


def test_batched_equals_single(folder: Path, lines: list[str]) -> None:
    classifier = load_classifier(folder)

    together = classifier.predict(lines)
    alone = [classifier.predict([line]) for line in lines]

    assert together.labels == [found.labels[0] for found in alone]
    assert np.allclose(together.probabilities, np.concatenate([found.probabilities for found in alone]), atol=1e-6)
    assert np.allclose(together.probabilities.sum(1), 1, atol=1e-6)


def test_predictions_equal_the_transformers_pipeline(folder: Path, lines: list[str]) -> None:
    judge = pipeline("text-classification", model=str(folder), device="cpu")

    wanted = judge(lines, truncation=True, max_length=12)

    found = load_classifier(folder).predict(lines)
    assert [labels[0] for labels in found.labels] == [row["label"] for row in wanted]
    assert np.allclose(found.probabilities.max(1), [row["score"] for row in wanted], atol=1e-4)


def test_windows_come_in_order_and_make_no_difference(folder: Path, lines: list[str]) -> None:
    classifier = load_classifier(folder)

    windows = list(classifier.stream(iter(lines), window=7, start=1000))

    assert [start for start, _ in windows] == list(range(1000, 1000 + len(lines), 7))
    assert [labels for _, part in windows for labels in part.labels] == classifier.predict(lines).labels


def test_no_texts_give_no_predictions(folder: Path) -> None:
    assert load_classifier(folder).predict([]).probabilities.shape == (0, 3)


def test_prediction_stops_when_asked(folder: Path, told: Any) -> None:
    report = told(stop_after=1)
    report.steps = 1

    with pytest.raises(Stopped):
        load_classifier(folder).predict(["a"], report)


def test_a_foreign_folder_is_served_with_its_own_labels(folder: Path, lines: list[str]) -> None:
    wanted = load_classifier(folder).predict(lines[:30])
    (folder / "lingxi.json").unlink()

    found: Classifier = load_classifier(folder)

    assert found.names == ("a", "b", "c")
    assert np.allclose(found.predict(lines[:30]).probabilities, wanted.probabilities, atol=1e-2)


def test_a_missing_folder_is_a_typed_failure(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as failure:
        load_classifier(tmp_path / "nowhere")

    assert failure.value.code == "model_missing"


def test_batches_hold_so_many_tokens_and_every_text_once() -> None:
    lengths = [5, 900, 3, 40, 40, 7, 2000]

    batches = batches_by_tokens(lengths, 1000)

    assert sorted(at for batch in batches for at in batch) == list(range(7))
    assert all(len(batch) == 1 or sum(lengths[at] for at in batch) <= 1000 for batch in batches)

"""Classifiers on one encoder read each text once; others read for themselves."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import together
from engine.encoder import TextClassifier
from engine.fused import quick
from engine.model_folder import save_classifier
from engine.predict import Classifier, load_classifier
from engine.together import encoder_key, predict_together

TEXTS = ["my card is lost", "where is my refund please", "a loan", "help"]


@pytest.fixture
def heads_on_one_encoder(tiny_classifier: Callable[..., Path], tmp_path: Path) -> list[Path]:
    """Two versions with heads of their own on the same untrained encoder: one of single, one of several labels."""
    from engine.base_models import load_network, load_tokenizer

    base, made = tiny_classifier(), []
    for number, (labels, multi) in enumerate([(["bad", "good"], False), (["price", "loan", "card"], True)]):
        torch.manual_seed(number)
        network = load_network(str(base), len(labels), keep_head=False)
        model = TextClassifier(network, len(labels), pooling="mean").eval()
        torch.nn.init.normal_(model.head.weight, std=1.0)
        description: dict[str, Any] = {"multi_label": multi, "decision_threshold": 0.5, "max_length_tokens": 32}
        save_classifier(tmp_path / str(number), model, load_tokenizer(str(base)), labels, description)
        made.append(tmp_path / str(number))
    return made


def counting(model: Classifier) -> list[int]:
    """How many texts the encoder of a model was given, call by call."""
    seen: list[int] = []
    embedded = model.model.base.embeddings.word_embeddings  # type: ignore[union-attr]
    embedded.register_forward_hook(lambda _module, given, _out: seen.append(len(given[0])))
    return seen


def test_two_heads_on_one_encoder_read_each_text_once_and_say_what_they_say_alone(
    heads_on_one_encoder: list[Path],
) -> None:
    one, other = (quick(load_classifier(folder)) for folder in heads_on_one_encoder)
    alone = [one.predict(TEXTS), other.predict(TEXTS[1:])]
    seen = [counting(one), counting(other)]

    found = predict_together([(one, TEXTS), (other, TEXTS[1:])])

    assert [len(calls) for calls in seen] == [1, 0]
    for said, expected in zip(found, alone, strict=True):
        assert said.names == expected.names
        assert said.labels == expected.labels
        np.testing.assert_allclose(said.probabilities, expected.probabilities, atol=2e-6)


def test_one_version_that_is_asked_twice_is_called_once(heads_on_one_encoder: list[Path]) -> None:
    model = load_classifier(heads_on_one_encoder[0])
    seen = counting(model)

    first, second = predict_together([(model, TEXTS), (model, TEXTS[:1])])

    assert len(seen) == 1
    np.testing.assert_allclose(first.probabilities[:1], second.probabilities, atol=2e-6)


@pytest.mark.parametrize("changed", ["weight", "length", "shape"])
def test_encoders_that_differ_in_anything_are_not_shared(
    heads_on_one_encoder: list[Path], tmp_path: Path, changed: str
) -> None:
    folder = Path(copytree(heads_on_one_encoder[0], tmp_path / "changed"))
    if changed == "weight":
        weights = load_file(folder / "model.safetensors")
        weights["bert.embeddings.word_embeddings.weight"][5, 3] += 1e-3
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        file, name, value = {
            "length": (folder / "lingxi.json", "max_length_tokens", 16),
            "shape": (folder / "config.json", "layer_norm_eps", 1e-3),
        }[changed]
        file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    one, other = load_classifier(heads_on_one_encoder[0]), load_classifier(folder)

    assert encoder_key(one) == encoder_key(load_classifier(heads_on_one_encoder[1])) != encoder_key(other)
    said = predict_together([(one, TEXTS), (other, TEXTS)])
    np.testing.assert_allclose(said[1].probabilities, other.predict(TEXTS).probabilities, atol=2e-6)


def test_heads_that_are_not_on_text_vectors_are_asked_alone(tiny_classifier: Callable[..., Path]) -> None:
    one, other = (load_classifier(tiny_classifier(seed=seed)) for seed in (1, 1))

    assert encoder_key(one) == ""
    found = predict_together([(one, TEXTS), (other, TEXTS)])
    np.testing.assert_allclose(found[0].probabilities, found[1].probabilities, atol=2e-6)


def test_a_key_is_read_from_the_files_once(heads_on_one_encoder: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_classifier(heads_on_one_encoder[0])
    first = encoder_key(model)
    monkeypatch.setattr(together, "_key_of", lambda _model: pytest.fail("it is known"))

    assert encoder_key(model) == first != ""

"""Classifiers on a decoder: trained, saved, opened by transformers, exported."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from engine.data import read_texts
from engine.decoder import DecoderClassifier, ends_texts
from engine.export import WRITERS
from engine.export_parity import measured, served
from engine.model_folder import open_classifier
from engine.predict import load_classifier
from engine.preflight import preflight
from engine.recipes import classify
from engine.recipes.classify_setup import hiding_token
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec

TEXTS = ["where is my card?", "", "the rate is low", "我的卡在哪里 today", "x" * 200]
KINDS = ["own", "llama", "gpt2"]


def spec_of(folder: Path, **options: Any) -> ClassifySpec:
    settings: dict[str, Any] = {"max_length_tokens": 48, "batch_size": 16, "epochs": 1, "average_decay": 0.0}
    return ClassifySpec(base_model=BaseModel("folder", str(folder)), **(settings | options))


def logits_of(folder: Path) -> np.ndarray[Any, Any]:
    model, tokenizer, _description = open_classifier(folder)
    assert isinstance(model, DecoderClassifier)
    with torch.no_grad():
        return model(tokenizer(TEXTS, truncation=True, max_length=48)["input_ids"]).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_gives_the_same_logits_from_the_saved_folder(
    texts: Path, tiny_chat: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    made = classify.train(spec_of(tiny_chat(kind)), texts, tmp_path, Silent())

    judge = AutoModelForSequenceClassification.from_pretrained(made["model"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(made["model"])
    read = [ids or [judge.config.pad_token_id] for ids in tokenizer(TEXTS, truncation=True, max_length=48)["input_ids"]]
    with torch.no_grad():
        theirs = np.concatenate([judge(torch.tensor([ids])).logits.numpy() for ids in read])
    np.testing.assert_allclose(logits_of(Path(made["model"])), theirs, atol=1e-4)
    assert judge.config.id2label[0] == "card"


@pytest.mark.parametrize("method", ["full", "frozen", "lora", "ia3", "prefix", "prompt", "bottleneck"])
def test_a_method_on_a_decoder_is_served_as_it_was_trained(
    texts: Path, tiny_chat: Callable[[str], Path], tmp_path: Path, method: str
) -> None:
    spec = spec_of(tiny_chat("own"), method=method, virtual_tokens=3, bottleneck_width=4, adapter_rank=2, epochs=2)

    made = classify.train(spec, texts, tmp_path, Silent())

    found = made["evaluations"]["test"]["headline"]["accuracy"]["value"]
    classifier = load_classifier(Path(made["model"]))
    test = read_texts(texts)["test"]
    right = [one == two for one, two in zip(classifier.predict(test.texts).labels, test.labels, strict=True)]
    assert np.mean(right) == pytest.approx(found)


def test_a_decoder_learns_a_few_texts_by_heart(
    text_file: Any, labelled: Any, tiny_chat: Callable[[str], Path], tmp_path: Path
) -> None:
    rows = labelled(24)
    data = text_file(tmp_path / "rows.parquet", [(text, [label], "train") for text, label in rows])
    still = {"dropout": 0.0, "token_dropout": 0.0, "layer_decay": 1.0, "holdout_share": 0.0}
    spec = spec_of(tiny_chat("own"), epochs=60, learning_rate=1e-2, batch_size=24, **still)

    made = classify.train(spec, data, tmp_path / "run", Silent())

    found = load_classifier(Path(made["model"])).predict([text for text, _ in rows]).labels
    assert found == [(label,) for _, label in rows]


def test_the_end_token_is_put_behind_a_text_once(tiny_chat: Callable[[str], Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_chat("own"))
    plain = tokenizer("my card")["input_ids"]

    once = ends_texts(tokenizer)("my card")["input_ids"]
    twice = ends_texts(tokenizer)("my card", truncation=True, max_length=4)["input_ids"]

    assert once == [*plain, tokenizer.eos_token_id]
    assert len(twice) == 4 and twice[-1] == tokenizer.eos_token_id and twice[-2] != twice[-1]


@pytest.mark.parametrize(
    ("mask", "unknown", "pad", "hides"), [(7, 3, 1, 7), (None, 3, 1, 3), (None, 0, 1, 0), (None, None, 1, 1)]
)
def test_a_token_is_hidden_behind_mask_unknown_or_padding_also_where_that_is_number_0(
    mask: int | None, unknown: int | None, pad: int, hides: int
) -> None:
    tokenizer = SimpleNamespace(mask_token_id=mask, unk_token_id=unknown, pad_token_id=pad, eos_token_id=2)

    assert hiding_token(tokenizer) == hides


@pytest.mark.parametrize(
    ("kind", "method", "form"),
    [("own", "lora", "adapter"), ("own", "prefix", "adapter"), ("gpt2", "full", "merged")],
)
def test_an_export_is_the_served_model(
    texts: Path, tiny_chat: Callable[[str], Path], tmp_path: Path, kind: str, method: str, form: str
) -> None:
    made = classify.train(spec_of(tiny_chat(kind), method=method), texts, tmp_path / "run", Silent())
    (tmp_path / "out").mkdir()

    by, run, _ = WRITERS[form](Path(made["model"]), tmp_path / "out")

    sequences, reference = served(Path(made["model"]))
    assert measured(reference, run(sequences), by=by)["passed"]


def test_the_preflight_knows_size_and_lengths(texts: Path, tiny_chat: Callable[[str], Path]) -> None:
    found = preflight(spec_of(tiny_chat("llama"), method="lora", max_length_tokens=90), texts, Silent())

    assert 0 < found["parameters"]["trainable"] < found["parameters"]["total"]
    assert found["problems"] == [] and found["estimate"]["seconds"] > 0

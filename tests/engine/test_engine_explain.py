"""Why a version gives a label: the words that decide are found, sums are complete, places are exact, and bounds hold."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from engine import base_models, explain
from engine.decoder import load_decoder_classifier
from engine.encoder import TextClassifier
from engine.explain import attribute, load_attributor
from engine.explain_words import words_of
from engine.failures import RunFailed
from engine.model_folder import save_classifier
from engine.predict import load_classifier
from engine.recipes import few_shot
from engine.report import Silent
from tests.engine.conftest import sentences

DECIDES = ("card", "plastic", "chip", "pin", "transfer", "wire", "send", "iban", "loan", "rate", "credit", "mortgage")
SAID = {"recipe": "classify", "multi_label": False, "decision_threshold": 0.5, "max_length_tokens": 32}


def learnt(encoder: Path, folder: Path) -> Path:
    """A classifier that has learnt which word shows which label."""
    torch.manual_seed(5)
    names, rows = ["card", "loan", "transfer"], sentences(300)
    model = TextClassifier(base_models.load_network(str(encoder), 3), 3, pooling="mean")
    tokenizer = base_models.load_tokenizer(str(encoder))
    sequences = tokenizer([text for text, _ in rows])["input_ids"]
    wanted = torch.tensor([names.index(label) for _, label in rows])
    steps = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(model(sequences), wanted)
        steps.zero_grad()
        loss.backward()
        steps.step()
    save_classifier(folder, model.eval(), tokenizer, names, SAID)
    return folder


@pytest.fixture(scope="module")
def version(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return learnt(encoder, tmp_path_factory.mktemp("learnt") / "model")


def folder_of(encoder: Path, folder: Path, pooling: str) -> Path:
    """A classifier whose large random weights make every way steep."""
    torch.manual_seed(2)
    model = TextClassifier(base_models.load_network(str(encoder), 3), 3, pooling=pooling)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    save_classifier(folder, model.eval(), base_models.load_tokenizer(str(encoder)), ["a", "b", "c"], SAID)
    return folder


def described(version: Path, folder: Path, **said: Any) -> Path:
    """The same network with something else said of it."""
    shutil.copytree(version, folder)
    described = json.loads((folder / "lingxi.json").read_text())
    (folder / "lingxi.json").write_text(json.dumps({**described, **said}))
    return folder


def test_the_word_that_decides_is_found_and_leaving_it_out_says_the_same(version: Path) -> None:
    texts = [text for text, _ in sentences(40, 7)]
    predicted = load_classifier(version).predict(texts)

    found = attribute(version, texts)

    tops = [max(told["words"], key=lambda word: word["attribution"])["surface"] for told in found]
    dropped = [max(told["words"], key=lambda word: word["occlusion"])["surface"] for told in found]
    assert sum(top in DECIDES for top in tops) >= 38
    assert sum(top == without for top, without in zip(tops, dropped, strict=True)) >= 34
    assert [told["label"] for told in found] == [labels[0] for labels in predicted.labels]
    likely = predicted.probabilities.max(1)
    assert np.allclose([told["probability"] for told in found], likely, atol=1e-4)
    for text, told in zip(texts, found, strict=True):
        assert all(text[each["start"] : each["end"]] == each["surface"] for each in told["tokens"] + told["words"])
        if len(told["words"]) >= explain.LEAST_OCCLUDED:
            both = [(word["attribution"], word["occlusion"]) for word in told["words"]]
            assert told["occlusion_correlation"] == pytest.approx(float(spearmanr(both).statistic), abs=1e-4)


def test_attributions_add_up_to_what_the_text_is_worth_beyond_nothing(version: Path) -> None:
    [told] = attribute(version, ["please help with my card, the chip is not a transfer today"])

    gap = told["log_odds"] - told["baseline_log_odds"]
    total = sum(word["attribution"] for word in told["words"])
    assert total == pytest.approx(sum(token["attribution"] for token in told["tokens"]), abs=1e-4)
    assert told["is_complete"] and abs(total - gap) <= explain.TOLERANCE * max(abs(gap), explain.LEAST_GAP) + 1e-4
    assert told["error_share"] == pytest.approx(abs(total - gap) / max(abs(gap), explain.LEAST_GAP), abs=1e-4)


def test_another_label_can_be_asked_for_and_every_run_says_the_same(version: Path) -> None:
    text = "my card is not a loan"

    first, again = (attribute(version, [text], "loan") for _ in range(2))

    worth = {word["surface"]: word["attribution"] for word in first[0]["words"]}
    assert first == again
    assert (first[0]["label"], worth["loan"] > 0 > worth["card"]) == ("loan", True)


@pytest.mark.parametrize("pooling", ["mean", "native"])
def test_the_way_is_cut_until_the_sum_is_complete_or_it_says_that_it_is_not(
    pooling: str, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = folder_of(encoder, tmp_path / "rough", pooling)
    text = ["please my card with chip and pin, not the loan"]
    [grown] = attribute(rough, text)
    monkeypatch.setattr(explain, "MOST_STEPS", explain.NODES)

    [cut] = attribute(rough, text)

    assert grown["steps"] > explain.NODES and grown["is_complete"]
    assert (cut["steps"], cut["is_complete"]) == (explain.NODES, False)
    assert cut["error_share"] > grown["error_share"]


def test_what_cannot_be_explained_is_refused_with_a_reason(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributor = load_attributor(version)
    monkeypatch.setattr(explain, "MOST_TOKENS", 8)

    for text, label, code in (("", "", "empty"), ("card", "weather", "unknown_label"), ("card " * 7, "", "too_long")):
        with pytest.raises(RunFailed) as refused:
            attribute(attributor, [text], label)
        assert refused.value.code == code


def test_what_is_beyond_the_versions_length_has_no_words(version: Path, tmp_path: Path) -> None:
    folder = described(version, tmp_path / "short", max_length_tokens=6)

    [told] = attribute(folder, ["my card please why help today"])

    assert [word["surface"] for word in told["words"]] == ["my", "card", "please", "why"]
    assert (told["token_count"], told["read_characters"]) == (6, len("my card please why"))


def test_a_version_with_several_labels_and_one_that_turns_texts_away(version: Path, tmp_path: Path) -> None:
    outside = {"label": "other", "threshold": 1.0, "scale": 0.5}
    several = described(version, tmp_path / "several", multi_label=True)
    turning = described(version, tmp_path / "turning", outside=outside)
    text = "why is the mortgage not my card"

    for folder, label in ((several, "loan"), (turning, "other"), (turning, "card")):
        [told] = attribute(folder, [text], label)
        classifier = load_classifier(folder)
        found = classifier.predict([text])

        assert told["is_complete"]
        sure = found.probabilities[0][classifier.names.index(label)]
        assert told["probability"] == pytest.approx(float(sure), abs=1e-4)


def test_a_classifier_on_a_decoder_is_explained_and_its_end_token_is_no_evidence(
    writing_base: Path, tmp_path: Path
) -> None:
    torch.manual_seed(6)
    tokenizer, config = (load(str(writing_base)) for load in (base_models.load_tokenizer, base_models.load_config))
    model = load_decoder_classifier(writing_base, config, tokenizer, 3).eval()
    torch.nn.init.normal_(model.head.weight, std=2.0)
    save_classifier(tmp_path / "model", model, tokenizer, ["a", "b", "c"], SAID)

    [told] = attribute(tmp_path / "model", ["my card is not a loan"])

    assert [word["surface"] for word in told["words"]] == ["my", "card", "is", "not", "a", "loan"]
    assert told["is_complete"] and told["token_count"] == 8


@pytest.mark.parametrize("kind", ["masked", "written"])
def test_versions_that_tell_labels_by_words_are_explained_by_the_words_of_the_text(
    kind: str, spec_for: Any, texts: Path, tmp_path: Path
) -> None:
    words = "card: card, chip pin; loan: loan; transfer: transfer wire send, iban pin"
    few_shot.train(spec_for(kind, label_words=words, epochs=1), texts, tmp_path, Silent())
    classifier = load_classifier(tmp_path / "model")

    [told] = attribute(tmp_path / "model", ["please send my iban today"], "transfer")

    sure = classifier.predict(["please send my iban today"]).probabilities[0][classifier.names.index("transfer")]
    assert [word["surface"] for word in told["words"]] == ["please", "send", "my", "iban", "today"]
    assert told["probability"] == pytest.approx(float(sure), abs=1e-4)
    assert told["is_complete"]
    assert told["baseline"] == ("pad" if kind == "masked" else "mask")


def test_words_keep_what_their_tokens_are_worth_in_any_script() -> None:
    text = "股价 fell 12%"
    places = [(0, 0), (0, 2), (3, 5), (5, 7), (8, 11), (11, 11)]

    found = words_of(text, places, np.array([0.5, 1.0, 2.0, 3.0, -4.0, 0.25]))

    assert [(text[word.start : word.end], word.attribution) for word in found] == [
        ("股价", 1.5),
        ("fell", 5.0),
        ("12%", -3.75),
    ]

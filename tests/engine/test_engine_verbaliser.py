"""Labels told by words: a masked model and one that writes, calibration, what such a version is not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    RobertaConfig,
    RobertaForMaskedLM,
)

from engine.export import export
from engine.failures import RunFailed
from engine.gpt.hugging_face import load_gpt
from engine.predict import load_classifier
from engine.recipes import few_shot
from engine.recipes.few_shot_setup import beginning
from engine.report import Silent
from engine.specs import BaseModel
from engine.specs.few_shot import FewShotSpec
from engine.verbaliser import MaskedWords, Reading, WrittenWords
from tests.fixtures.few_shot import COMMON, folder, word_tokenizer


def test_the_slot_of_a_masked_model_gives_the_mean_logit_of_a_words_tokens(masked: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked)
    reading = Reading(tokenizer, "{text} is {label}", 32, is_masked=True)
    words = [[reading.word_ids("card pin")], [reading.word_ids("loan"), reading.word_ids("rate")]]
    network = AutoModelForMaskedLM.from_pretrained(masked).eval()
    model = MaskedWords(network, words, mask_id=tokenizer.mask_token_id).eval()

    with torch.no_grad():
        found = model(reading(["my card", "help"]))

    given = tokenizer("my card is [MASK]", return_tensors="pt")
    with torch.no_grad():
        logits = network(input_ids=given["input_ids"]).logits[0][given["input_ids"][0] == tokenizer.mask_token_id][0]
    at = {word: tokenizer.convert_tokens_to_ids(word) for word in ("card", "pin", "loan", "rate")}
    by_hand = torch.stack([(logits[at["card"]] + logits[at["pin"]]) / 2, (logits[at["loan"]] + logits[at["rate"]]) / 2])
    torch.testing.assert_close(found[0], by_hand, rtol=0, atol=1e-5)


def test_a_writer_scores_words_by_their_mean_log_probability(writing_base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(writing_base)
    reading = Reading(tokenizer, "{text} is {label}", 32, is_masked=False)
    said = {"card pin": 0, "card": 1, "loan rate credit": 2}
    words = [[reading.word_ids(word)] for word in said]
    network: Any = AutoModelForCausalLM.from_pretrained(writing_base).eval()
    model = WrittenWords(load_gpt(writing_base), words).eval()

    with torch.no_grad():
        found = model(reading(["my card", "help with it"]))

    for row, prompt in enumerate(reading(["my card", "help with it"])):
        for word, at in said.items():
            ids = reading.word_ids(word)
            with torch.no_grad():
                logits = network(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
            by_hand = sum(float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(ids)) / len(ids)
            assert float(found[row, at]) == pytest.approx(by_hand, abs=1e-4)
    assert model.heads == [tuple(reading.word_ids("loan rate")), tuple(reading.word_ids("card"))]


@pytest.mark.parametrize("kind", ["masked", "written"])
def test_calibration_prefers_no_label_where_the_text_says_nothing(kind: str, spec_for: Any, texts: Path) -> None:
    start, _ = beginning(spec_for(kind), ["card", "loan", "transfer"])
    assert start is not None
    model: Any = start.model().eval()
    with torch.no_grad():
        empty = torch.softmax(model(start.reading(("N/A", "[MASK]", ""))) - model.bias, -1).mean(0)
        found = torch.softmax(empty.log() + model.bias, -1)

    torch.testing.assert_close(found, torch.full((3,), 1 / 3), rtol=0, atol=1e-5)
    assert not torch.allclose(empty, found, atol=1e-3)


def test_no_epoch_uses_the_model_as_it_is(spec_for: Any, texts: Path, tmp_path: Path, masked: Path) -> None:
    result = few_shot.train(spec_for("masked", epochs=0, shots=4), texts, tmp_path, Silent())

    theirs: Any = AutoModelForMaskedLM.from_pretrained(result["model"])
    base = AutoModelForMaskedLM.from_pretrained(masked)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), base.parameters(), strict=True))
    assert result["steps"] == 0


def test_what_a_person_wrote_is_text_and_long_texts_lose_their_end(masked: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked)
    reading = Reading(tokenizer, "{text} is {label}", 10, is_masked=True)

    written, long = reading(["my [MASK] card", "my " * 30])

    assert written.count(tokenizer.mask_token_id) == 1
    assert len(long) == 10 and long[-2:] == [tokenizer.mask_token_id, tokenizer.sep_token_id]
    assert reading.whole_lengths(["my " * 30]) == [34]


def test_a_roberta_says_words_too(texts: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "base")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=40, max_position_embeddings=66, pad_token_id=0, type_vocab_size=1, **sizes)
    RobertaForMaskedLM(config).save_pretrained(place)
    word_tokenizer(place)
    spec = FewShotSpec(**{**COMMON, "way": "verbaliser", "base_model": BaseModel("folder", str(place)), "epochs": 1})

    result = few_shot.train(spec, texts, tmp_path / "out", Silent())

    theirs: Any = AutoModelForMaskedLM.from_pretrained(result["model"])
    made = load_classifier(Path(result["model"]))
    ids = made.read(["my card"])[0]
    with torch.no_grad():
        logits = theirs(input_ids=torch.tensor([ids])).logits[0, ids.index(4)]
    words = [made.tokenizer.convert_tokens_to_ids(label) for label in made.names]
    said = torch.softmax(logits[words] + torch.tensor(made.description["bias"]), -1)
    torch.testing.assert_close(torch.from_numpy(made.predict(["my card"]).probabilities[0]), said, rtol=0, atol=1e-5)


def test_a_version_that_tells_labels_by_words_is_not_exported(spec_for: Any, texts: Path, tmp_path: Path) -> None:
    result = few_shot.train(spec_for("written", epochs=1, shots=4), texts, tmp_path, Silent())

    with pytest.raises(RunFailed, match="by words"):
        export({"kind": "merged", "model": result["model"]}, folder(tmp_path / "export"), Silent())

"""What "How it works" tells is what the model computes: its tokens, logits, losses and attention weights."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, BloomConfig

from engine.failures import RunFailed
from engine.gpt.explain import load_explainer
from engine.specs import explanation
from engine.specs.explanation import DEFAULT_SENTENCE, Row, head_rows, kept_layers, logsumexp, numbers_of, pack


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2"])
def test_numbers_told_are_those_of_transformers(kind: str, tiny_chat: Callable[..., Path]) -> None:
    folder = tiny_chat(kind)
    found = load_explainer(folder).explain(DEFAULT_SENTENCE)

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.tensor([[token["id"] for token in found["tokens"]]])
    with torch.no_grad():
        wanted = model(ids, labels=ids, output_attentions=True)
    logits, losses = wanted.logits[0], F.cross_entropy(wanted.logits[0, :-1], ids[0, 1:], reduction="none")
    assert "".join(token["text"] for token in found["tokens"]) == DEFAULT_SENTENCE
    assert found["loss"] == pytest.approx(float(wanted.loss), abs=1e-4)
    for at, told in enumerate(found["next"]):
        best = torch.topk(logits[at], 10)
        assert [row["id"] for row in told["top"]] == best.indices.tolist()
        assert [row["logit"] for row in told["top"]] == pytest.approx(best.values.tolist(), abs=1e-3)
        assert told["logsumexp"] == pytest.approx(float(torch.logsumexp(logits[at], -1)), abs=1e-3)
        for row in told["top"]:
            assert row["probability"] == pytest.approx(math.exp(row["logit"] - told["logsumexp"]), rel=1e-3)
        if told["target"] is not None:
            assert told["target"]["id"] == int(ids[0, at + 1])
            assert told["target"]["loss"] == pytest.approx(float(losses[at]), abs=1e-3)
            assert told["target"]["rank"] == 1 + int((logits[at] > logits[at, ids[0, at + 1]]).sum())
    assert found["scores"]["layers"] == [0, 1]
    for layer in (0, 1):
        for head in range(4):
            rows = head_rows(found["scores"]["numbers"], tokens=ids.shape[1], heads=4, place=layer, head=head)
            for t, row in enumerate(rows):
                told_weights = torch.tensor(row.weights)
                torch.testing.assert_close(
                    told_weights, wanted.attentions[layer][0, head, t, : t + 1], atol=1e-5, rtol=0
                )


def test_lengths_of_the_stream_and_norms_are_the_models(tiny_chat: Callable[..., Path]) -> None:
    explainer = load_explainer(tiny_chat("gpt2"))
    seen: list[torch.Tensor] = []
    explainer.model.blocks[1].norm1.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))

    found = explainer.explain("where is my card?")

    [stream] = seen[-1:]
    steps = found["layers"][1]["steps"]
    assert [step["before"] for step in steps] == pytest.approx(stream.norm(dim=-1).tolist(), rel=1e-4)
    assert [step["mean"] for step in steps] == pytest.approx(stream.mean(-1).tolist(), abs=1e-4)
    wanted = (stream.var(-1, unbiased=False) + 1e-5).sqrt()
    assert [step["scale"] for step in steps] == pytest.approx(wanted.tolist(), rel=1e-4)
    assert [step["after"] for step in found["layers"][0]["steps"]] == [step["before"] for step in steps]


def test_the_share_of_the_future_is_what_the_softmax_without_mask_gives_it() -> None:
    scores = torch.tensor([0.3, -1.0, 2.0, 0.7])
    row = Row(scores[:2].tolist(), logsumexp(scores[2:].tolist()))

    assert row.future_share == pytest.approx(float(torch.softmax(scores, -1)[2:].sum()), abs=1e-6)
    assert Row([1.0], -math.inf).future_share == 0.0


def test_any_head_is_cut_out_of_the_packed_numbers() -> None:
    tokens, heads, layers = 5, 3, 4
    size = numbers_of(tokens)
    packed = pack([float(number) for number in range(size * heads * layers)])

    for place in range(layers):
        for head in range(heads):
            rows = head_rows(packed, tokens=tokens, heads=heads, place=place, head=head)
            flat = [number for row in rows for number in (*row.scores, row.hidden)]
            first = size * (place * heads + head)
            assert flat == [float(number) for number in range(first, first + size)]


def test_a_large_model_is_shown_at_fewer_layers_within_the_bound() -> None:
    assert kept_layers(12, 12, 64) == list(range(12))
    kept = kept_layers(32, 32, 64)
    assert (kept[0], kept[-1]) == (0, 31)
    assert len(kept) * 32 * numbers_of(64) <= explanation.MAX_SCORES
    assert kept_layers(80, 128, 64) == [79]


def test_a_piece_of_a_character_is_told_as_its_bytes(tiny_chat: Callable[..., Path]) -> None:
    found = load_explainer(tiny_chat()).explain("汉\n")

    text = "".join(token["text"] for token in found["tokens"])
    assert text == "\\xE6\\xB1\\x89\n"
    json.dumps(found, allow_nan=False)


def test_a_special_token_in_a_sentence_is_text(tiny_chat: Callable[..., Path]) -> None:
    found = load_explainer(tiny_chat()).explain("<|end|>")

    assert len(found["tokens"]) > 1
    assert "".join(token["text"] for token in found["tokens"]) == "<|end|>"


@pytest.mark.parametrize(("text", "code"), [("", "empty"), ("a b " * 60, "too_long")])
def test_a_sentence_without_tokens_or_with_too_many_is_refused(
    text: str, code: str, tiny_chat: Callable[..., Path]
) -> None:
    with pytest.raises(RunFailed) as failed:
        load_explainer(tiny_chat()).explain(text)

    assert failed.value.code == code


def test_another_architecture_is_named(tmp_path: Path) -> None:
    BloomConfig().save_pretrained(tmp_path)

    with pytest.raises(RunFailed) as failed:
        load_explainer(tmp_path)

    assert failed.value.code == "not_explainable"
    assert "bloom" in failed.value.message


def test_numbers_that_are_not_finite_are_refused(tiny_chat: Callable[..., Path]) -> None:
    explainer: Any = load_explainer(tiny_chat())
    with torch.no_grad():
        explainer.model.norm.weight.fill_(math.inf)

    with pytest.raises(RunFailed) as failed:
        explainer.explain("card")

    assert failed.value.code == "numbers_not_finite"

"""bf16 beside fp32 weights, and layers computed again instead of kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification

from engine.encoder import TextClassifier
from engine.gpt import Gpt, GptConfig
from engine.gpt.runs import runs_of
from engine.precision import mixed, prepare
from engine.recipes import classify, pretrain
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, PretrainSpec

SEQUENCES = [[2, 5, 6, 3], [2, 7, 3], [2, 8, 9, 10, 3]]


def gpt(_: Path) -> tuple[nn.Module, Any]:
    config = GptConfig(vocabulary_size=20, context_tokens=16, layers=2, heads=2, width=16, kv_heads=2, dropout=0.3)
    model = Gpt(config)
    return model, lambda: model.head(model.packed(torch.arange(12), runs_of([5, 7])))


def packed(encoder: Path) -> tuple[nn.Module, Any]:
    network = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=3)
    model = TextClassifier(network, 3, pooling="mean", dropout=0.3)
    return model, lambda: model(SEQUENCES)


def padded(_: Path) -> tuple[nn.Module, Any]:
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32, pad_token_id=0, num_labels=3)
    model = TextClassifier(DistilBertForSequenceClassification(config), 3, pooling="native", dropout=0.3)
    return model, lambda: model(SEQUENCES)


def kept_numbers(forward: Any) -> tuple[Tensor, int]:
    """(output, numbers that autograd keeps for the way back)."""
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        return forward(), sum(kept)


@pytest.mark.parametrize("make", [gpt, packed, padded])
def test_layers_computed_again_give_the_same_gradients_and_keep_less(make: Any, encoder: Path) -> None:
    torch.manual_seed(1)
    model, forward = make(encoder)
    model.train()
    found: list[tuple[Sequence[Tensor | None], int]] = []
    for recompute in (False, True):
        prepare(model, "fp32", recompute=recompute)
        model.zero_grad(set_to_none=True)
        torch.manual_seed(2)
        out, kept = kept_numbers(forward)
        out.square().sum().backward()
        found.append(([None if p.grad is None else p.grad.clone() for p in model.parameters()], kept))

    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or torch.equal(one, other)
    assert found[1][1] < found[0][1] / 2


def test_the_forward_pass_is_bf16_only_where_it_was_asked_for(encoder: Path) -> None:
    model, forward = packed(encoder)
    kinds = {}
    for precision in ("auto", "fp32", "bf16"):
        prepare(model, precision, recompute=False)
        with mixed(model):
            kinds[precision] = forward().dtype

    assert kinds == {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}


@pytest.mark.parametrize("recipe", ["classify", "pretrain"])
def test_a_bf16_run_keeps_fp32_weights(recipe: str, encoder: Path, texts: Path, corpus: Path, tmp_path: Path) -> None:
    runs = []
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        if recipe == "classify":
            base = BaseModel("folder", str(encoder))
            spec = ClassifySpec(base_model=base, epochs=1, batch_size=16, precision=precision)
            runs.append(classify.train(spec, texts, out, Silent()))
        else:
            shape = {"layers": 1, "width": 16, "heads": 2, "context_tokens": 32, "vocabulary": "byte"}
            learnt = PretrainSpec(**shape, batch_size=8, sample_count=1, sample_tokens=2, precision=precision)
            runs.append(pretrain.train(learnt, corpus, out, Silent()))

    full, half = (run["history"][0]["dev_loss"] for run in runs)
    assert full != half and half == pytest.approx(full, rel=0.02)
    weights = load_file(tmp_path / "bf16" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}

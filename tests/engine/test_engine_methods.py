"""Adapter methods: peft itself reads what we trained, counts are exact, merged equals unmerged."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    MT5Config,
    MT5ForConditionalGeneration,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
)

from engine.failures import RunFailed
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import gpt2_shape
from engine.gpt.hugging_face import save_gpt
from engine.gpt.runs import runs_of
from engine.methods import added_parameters, attach, plain_weights, read_adapter, write_adapter
from engine.methods.low_rank import inject, peft_config
from engine.specs.methods import ADAPTERS, MERGEABLE, VIRTUAL, MethodOptions

IDS = torch.tensor([5, 9, 2, 11, 3, 7, 8, 1, 30, 4, 6, 2, 19, 20, 33, 9, 1])
RUNS = runs_of([3, 7, 7])
OPTIONS: dict[str, Any] = {"adapter_rank": 4, "virtual_tokens": 5, "bottleneck_width": 4}


def llama(**sizes: Any) -> Gpt:
    torch.manual_seed(0)
    fixed: dict[str, Any] = {"vocabulary_size": 50, "context_tokens": 64, "layers": 2, "heads": 4, "width": 16}
    return Gpt(GptConfig(**{**fixed, "kv_heads": 2, "tied": False, **sizes})).eval()


def gpt2() -> Gpt:
    torch.manual_seed(0)
    return Gpt(gpt2_shape(vocabulary_size=50, context_tokens=64, layers=2, heads=4, width=16)).eval()


def shaken(network: nn.Module) -> None:
    """Give what is trained values it could have after training."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    network.eval()


def logits_of(model: Gpt) -> Tensor:
    with torch.no_grad():
        return model.head(model.packed(IDS, RUNS))


def served(model: Any) -> Tensor:
    """transformers' logits of the same three documents, without what virtual tokens add."""
    with torch.no_grad():
        parts = [(0, 3), (3, 10), (10, 17)]
        return torch.cat([model(input_ids=IDS[a:b][None]).logits[0][a - b :] for a, b in parts])


@pytest.mark.parametrize("shape", [llama, gpt2])
@pytest.mark.parametrize("method", ADAPTERS)
def test_transformers_and_peft_serve_what_was_trained(method: str, shape: Any, tmp_path: Path) -> None:
    model = shape()
    save_gpt(model, tmp_path / "base")
    base = logits_of(model)
    attached = attach(model, MethodOptions(method=method, **OPTIONS))
    shaken(model)
    trained = logits_of(model)

    write_adapter(tmp_path, attached, base_model=str(tmp_path / "base"), task_type="CAUSAL_LM")

    assert (trained - base).abs().max() > 1e-3
    if shape is gpt2 and method in MERGEABLE:
        assert not (tmp_path / "adapter").exists()  # transformers joins query, key and value there
        return
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    if method in MERGEABLE:
        from peft import PeftModel

        theirs = PeftModel.from_pretrained(theirs, tmp_path / "adapter")
    else:
        theirs = read_adapter(theirs, tmp_path)
    torch.testing.assert_close(served(theirs.eval()), trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [llama, gpt2])
@pytest.mark.parametrize("method", MERGEABLE)
def test_merged_equals_unmerged_and_is_plain_again(method: str, shape: Any) -> None:
    model, plain = shape(), set(shape().state_dict())
    attached = attach(model, MethodOptions(method=method, **OPTIONS))
    shaken(model)
    trained = logits_of(model)

    attached.merge()

    torch.testing.assert_close(logits_of(model), trained, rtol=0, atol=1e-5)
    assert set(model.state_dict()) == plain


@pytest.mark.parametrize("method", sorted(set(ADAPTERS) - set(MERGEABLE)))
def test_the_base_weights_come_out_untouched(method: str) -> None:
    before = {name: tensor.clone() for name, tensor in llama().state_dict().items()}
    model = llama()
    attach(model, MethodOptions(method=method, **OPTIONS))
    shaken(model)

    after = plain_weights(model.state_dict())

    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("method", VIRTUAL)
def test_virtual_tokens_do_not_let_documents_see_each_other(method: str) -> None:
    model = llama()
    attach(model, MethodOptions(method=method, **OPTIONS))
    shaken(model)
    before = logits_of(model)

    with torch.no_grad():
        other = IDS.clone()
        other[3:10] = 44  # the second document
        after = model.head(model.packed(other, RUNS))

    torch.testing.assert_close(after[:3], before[:3], rtol=0, atol=1e-6)
    torch.testing.assert_close(after[10:], before[10:], rtol=0, atol=1e-6)


def test_a_prefix_begins_at_what_real_tokens_give() -> None:
    model = llama()
    with torch.no_grad():
        joined = model.head(model.packed(torch.cat((IDS[:5], IDS[3:10])), runs_of([12])))[5:]
    start = model.virtual_start(IDS[:5].tolist(), is_prefix=True)
    attached = attach(model, MethodOptions(method="prefix", virtual_tokens=5))
    assert attached.virtual is not None
    attached.virtual.start(start)

    with torch.no_grad():
        behind = model.head(model.packed(IDS[3:10], runs_of([7])))

    torch.testing.assert_close(behind, joined, rtol=0, atol=1e-5)


def on_meta(make: Any) -> Any:
    with torch.device("meta"):
        return make()


def low_rank_count(network: Any, rank: int, targets: str) -> int:
    config = peft_config(MethodOptions(method="lora", adapter_rank=rank), _only(targets))
    inject(network, config)
    return added_parameters(network)


class _only:
    """An anatomy of one pattern."""

    feed_forward_out = ""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def targets(self, which: str) -> str:
        return self.pattern


def test_lora_counts_are_those_published() -> None:
    gpt2_small = on_meta(lambda: GPT2Model(GPT2Config()))
    gpt2_medium = on_meta(
        lambda: Gpt(gpt2_shape(vocabulary_size=50257, context_tokens=1024, layers=24, heads=16, width=1024))
    )
    roberta = on_meta(lambda: RobertaModel(RobertaConfig()))
    mt0_large = on_meta(
        lambda: MT5ForConditionalGeneration(
            MT5Config(vocab_size=250112, d_model=1024, d_ff=2816, num_layers=24, num_heads=16)
        )
    )
    output = 250112 * 1024  # mt0's output matrix is its own; transformers ties it here
    total = sum(parameter.numel() for parameter in mt0_large.parameters()) + output

    assert low_rank_count(gpt2_small, 8, r".*\.c_attn") == 294_912
    assert low_rank_count(gpt2_medium, 4, r".*attention\.(query|value)") == 393_216
    assert low_rank_count(roberta, 8, r".*self\.(query|value)") == 294_912
    assert (low_rank_count(mt0_large, 8, r".*\.(q|v)"), total) == (2_359_296, 1_231_940_608 - 2_359_296)


def test_heads_prefixes_and_bottlenecks_count_as_published() -> None:
    head = on_meta(lambda: RobertaForSequenceClassification(RobertaConfig(num_labels=2))).classifier
    gpt2_small = on_meta(
        lambda: Gpt(gpt2_shape(vocabulary_size=50257, context_tokens=1024, layers=12, heads=12, width=768))
    )
    bert = on_meta(lambda: BertModel(BertConfig()))
    sizes = sum(parameter.numel() for parameter in gpt2_small.parameters())

    on_meta(lambda: attach(gpt2_small, MethodOptions(method="prefix", virtual_tokens=20)))
    on_meta(lambda: attach(bert, MethodOptions(method="bottleneck", bottleneck_width=64)))

    assert sum(parameter.numel() for parameter in head.parameters()) == 592_130
    assert sizes == 124_439_808
    assert added_parameters(gpt2_small) == 368_640
    assert added_parameters(bert) == 2_379_264


@pytest.mark.parametrize(
    ("layers", "heads", "width", "published"),
    [(24, 16, 1024, 354_823_168), (36, 20, 1280, 774_030_080), (48, 25, 1600, 1_557_611_200)],
)
def test_gpt2_sizes_are_those_published(layers: int, heads: int, width: int, published: int) -> None:
    shape = gpt2_shape(vocabulary_size=50257, context_tokens=1024, layers=layers, heads=heads, width=width)

    assert shape.parameter_count() == published


def test_an_unknown_architecture_is_refused_by_name() -> None:
    network = nn.Linear(2, 2)
    network.config = type("Config", (), {"model_type": "mamba"})()  # type: ignore[assignment]

    with pytest.raises(RunFailed) as failure:
        attach(network, MethodOptions(method="lora"))

    assert failure.value.code == "not_together"
    assert "mamba" in str(failure.value.message)


def test_adalora_keeps_the_rank_it_was_asked_for() -> None:
    model = llama()
    attached = attach(model, MethodOptions(method="adalora", adapter_rank=2))
    attached.begin(20)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(1, 21):
        model.head(model.packed(IDS, RUNS)).square().mean().backward()
        attached.before_step()
        optimiser.step()
        attached.after_step(step)
        optimiser.zero_grad()

    kept = [int((p != 0).sum()) for name, p in model.named_parameters() if "lora_E" in name]
    # start rank 3 in 14 matrices; the budget ends at an average of 2 (ties in the scores may cut one more)
    assert len(kept) == 14
    assert sum(kept) <= 28 < 42

"""Our GPT gives transformers' logits on every shape we read, and transformers reads what we write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

from engine.failures import RunFailed
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import RopeScaling, gpt2_shape
from engine.gpt.hugging_face import load_gpt, save_gpt

SMALL = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
SHAPES: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: GPT2Config(vocab_size=97, n_positions=64, n_embd=48, n_layer=3, n_head=6, initializer_range=0.3),
    "gpt2 untied, inner 100, exact gelu": lambda: GPT2Config(
        vocab_size=97,
        n_positions=64,
        n_embd=48,
        n_layer=2,
        n_head=4,
        n_inner=100,
        activation_function="gelu",
        tie_word_embeddings=False,
        initializer_range=0.3,
    ),
    "llama": lambda: LlamaConfig(**SMALL),
    "llama grouped, tied": lambda: LlamaConfig(**SMALL, num_key_value_heads=2, tie_word_embeddings=True),
    "llama head width 16": lambda: LlamaConfig(**SMALL, num_key_value_heads=3, head_dim=16),
    "llama biases": lambda: LlamaConfig(**SMALL, attention_bias=True, mlp_bias=True),
    "llama linear": lambda: LlamaConfig(
        **SMALL, rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    ),
    "llama 3.1": lambda: LlamaConfig(**SMALL, num_key_value_heads=2, rope_parameters=LLAMA3),
    "mistral": lambda: MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=None),
    "qwen2": lambda: Qwen2Config(**SMALL, num_key_value_heads=2, use_sliding_window=False),
    "qwen3": lambda: Qwen3Config(**SMALL, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True),
}


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_config(SHAPES[request.param]())
    for name, parameter in model.named_parameters():  # biases and norms away from 0 and 1, so that each one counts
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name or "ln_" in name else 0.0, std=0.2)
    model.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def logits(place: Path, ids: torch.Tensor) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(place, dtype="float32", attn_implementation="eager").eval()
    with torch.no_grad():
        return model(input_ids=ids).logits


def tokens(count: int = 3, length: int = 40) -> torch.Tensor:
    return torch.randint(0, 97, (count, length), generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize("folder", SHAPES, indirect=True)
def test_logits_equal_those_of_transformers(folder: Path) -> None:
    ids = tokens()

    with torch.no_grad():
        ours = load_gpt(folder)(ids)

    theirs = logits(folder, ids)
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("folder", SHAPES, indirect=True)
def test_a_folder_written_by_us_is_the_same_model_to_transformers(folder: Path, tmp_path: Path) -> None:
    save_gpt(load_gpt(folder), tmp_path / "ours")

    torch.testing.assert_close(logits(tmp_path / "ours", tokens()), logits(folder, tokens()), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        gpt2_shape(vocabulary_size=50, context_tokens=32, layers=2, heads=2, width=16, positions="sinusoidal"),
        gpt2_shape(vocabulary_size=50, context_tokens=32, layers=2, heads=2, width=16, tied=False),
        GptConfig(50, 32, 2, 4, 16, kv_heads=2, rope_scaling=RopeScaling("llama3", 8.0, 1.0, 4.0, 8)),
        GptConfig(50, 32, 2, 4, 16, query_key_norm=True, head_width=8, tied=False),
        GptConfig(50, 32, 2, 4, 16, qkv_bias=True),
    ],
)
def test_a_model_of_ours_from_scratch_is_read_by_transformers(config: GptConfig, tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = Gpt(config).eval()
    ids = tokens() % 50

    save_gpt(model, tmp_path / "made")

    with torch.no_grad():
        torch.testing.assert_close(logits(tmp_path / "made", ids[:, :32]), model(ids[:, :32]), atol=1e-5, rtol=0)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == config.parameter_count()


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "bloom"},
        {"hidden_act": "relu"},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}},
        {"model_type": "mistral", "sliding_window": 16},
    ],
)
@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_an_architecture_we_do_not_have_is_refused_by_name(folder: Path, change: dict[str, Any]) -> None:
    import json

    found = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(found))

    with pytest.raises(RunFailed) as refused:
        load_gpt(folder)

    assert refused.value.code == "base_model_unusable"


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_a_folder_that_lacks_a_tensor_is_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(RunFailed, match=r"blocks\.1\.feed_forward\.up\.weight"):
        load_gpt(folder)

"""Gpt from and to Hugging Face folders shaped like GPT-2, Llama, Mistral, Qwen2 or Qwen3.

A folder we write is read by transformers unchanged: same names, same config, safetensors only.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from engine.failures import RunFailed
from engine.gpt.config import GptConfig, RopeScaling, gpt2_shape
from engine.gpt.model import Gpt
from words import say

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3")
GPT2_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
_LLAMA_NAMES = {
    "tokens": "model.embed_tokens",
    "norm": "model.norm",
    "head": "lm_head",
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
_GPT2_NAMES = {
    "tokens": "transformer.wte",
    "places": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attention.output": "attn.c_proj",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
_QKV = ("attention.query", "attention.key", "attention.value")


def load_gpt(folder: Path, *, dtype: torch.dtype = torch.float32, dropout: float = 0.0, headless: bool = False) -> Gpt:
    """The model of a folder, in eval mode; RunFailed when its shape is not one of ours or weights are missing.

    `dropout` is what a training run wants, whatever the folder says. A `headless` one has no output layer of its own:
    it gives states, and the folder need not hold that layer.
    """
    found = read_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    config = dataclasses.replace(found, dropout=dropout, tied=found.tied or headless)
    with torch.device("meta"):
        model = Gpt(config)
    weights = _to_ours(config, dict(_read_weights(folder)))
    wanted = {name for name in model.state_dict() if not (config.tied and name == "head.weight")}
    if missing := sorted(wanted - set(weights)):
        raise RunFailed(
            "base_model_unusable",
            say("{count} weights are missing, among them {name}.", count=len(missing), name=missing[0]),
            say("Take the whole folder of the model."),
        )
    model = model.to_empty(device="cpu").to(dtype)
    model.restore()
    with torch.no_grad():
        for name in wanted:
            target = model.get_parameter(name)
            if target.shape != weights[name].shape:
                raise RunFailed(
                    "base_model_unusable",
                    say(
                        "{name} is {found}; its config says {wanted}.",
                        name=name,
                        found=tuple(weights[name].shape),
                        wanted=tuple(target.shape),
                    ),
                    say("Take config.json and weights of the same model."),
                )
            target.copy_(weights[name])
    return model.eval()


def save_gpt(
    model: Gpt,
    folder: Path,
    *,
    special: Mapping[str, Any] | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> None:
    """Write config.json and model.safetensors; `special` holds token ids such as eos_token_id.

    `weights` are the state dict where the module holds more than the model, such as an adapter.
    """
    config = {**write_config(model.config), **(special or {})}
    weights = to_theirs(model.config, dict(weights or model.state_dict()))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")


def read_config(found: Mapping[str, Any]) -> GptConfig:
    """Our config of a Hugging Face config.json; RunFailed("base_model_unusable") names what we do not have."""
    kind = found.get("model_type")
    if kind == "gpt2":
        return _read_gpt2(found)
    if kind in LLAMA_LIKE:
        return _read_llama(found)
    raise _unusable("model_type", kind)


def write_config(config: GptConfig) -> dict[str, Any]:
    """The config.json that lets transformers build the same function."""
    if config.positions != "rotary":
        return _write_gpt2(config)
    return _write_llama(config)


def their_name(config: GptConfig, name: str) -> str:
    """The name of one of our modules in a folder of transformers; KeyError for GPT-2's joint query, key and value."""
    if config.positions == "rotary":
        return _renamed(f"{name}.", _LLAMA_NAMES, r"blocks\.(\d+)\.", "model.layers.{}.").rstrip(".")
    if name.endswith(_QKV):
        raise KeyError(name)
    return _renamed(f"{name}.", _GPT2_NAMES, r"blocks\.(\d+)\.", "transformer.h.{}.").rstrip(".")


def _read_gpt2(found: Mapping[str, Any]) -> GptConfig:
    activation = GPT2_ACTIVATIONS.get(found.get("activation_function", "gelu_new"))
    if activation is None:
        raise _unusable("activation_function", found["activation_function"])
    for name, usual in (("scale_attn_weights", True), ("scale_attn_by_inverse_layer_idx", False)):
        if found.get(name, usual) != usual:
            raise _unusable(name, found[name])
    return gpt2_shape(
        vocabulary_size=found["vocab_size"],
        context_tokens=found["n_positions"],
        layers=found["n_layer"],
        heads=found["n_head"],
        width=found["n_embd"],
        feed_forward=found.get("n_inner") or 4 * found["n_embd"],
        activation=activation,
        norm_epsilon=found.get("layer_norm_epsilon", 1e-5),
        tied=found.get("tie_word_embeddings", True),
    )


def _read_llama(found: Mapping[str, Any]) -> GptConfig:
    kind = found["model_type"]
    if found.get("hidden_act", "silu") != "silu":
        raise _unusable("hidden_act", found["hidden_act"])
    window = found.get("sliding_window") if kind == "mistral" or found.get("use_sliding_window") else None
    if window is not None and window < found["max_position_embeddings"]:
        raise _unusable("sliding_window", window)
    theta, scaling = _read_rope(found)
    heads = found["num_attention_heads"]
    bias = bool(found.get("attention_bias", False))
    return GptConfig(
        vocabulary_size=found["vocab_size"],
        context_tokens=found["max_position_embeddings"],
        layers=found["num_hidden_layers"],
        heads=heads,
        width=found["hidden_size"],
        kv_heads=found.get("num_key_value_heads") or heads,
        head_width=found.get("head_dim") or found["hidden_size"] // heads,
        feed_forward=found["intermediate_size"],
        qkv_bias=bias or kind == "qwen2",
        output_bias=bias,
        feed_forward_bias=bool(found.get("mlp_bias", False)),
        query_key_norm=kind == "qwen3",
        tied=found.get("tie_word_embeddings", False),
        norm_epsilon=found.get("rms_norm_eps", 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
    )


def _read_rope(found: Mapping[str, Any]) -> tuple[float, RopeScaling | None]:
    """(theta, scaling) of either spelling: one mapping in newer folders, two keys in older ones."""
    rope = found.get("rope_parameters") or {**(found.get("rope_scaling") or {}), "rope_theta": found.get("rope_theta")}
    theta = float(rope.get("rope_theta") or 10_000.0)
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise _unusable("partial_rotary_factor", rope["partial_rotary_factor"])
    if kind == "default":
        return theta, None
    if kind == "linear":
        return theta, RopeScaling("linear", float(rope["factor"]))
    if kind == "llama3":
        return theta, RopeScaling(
            "llama3",
            float(rope["factor"]),
            float(rope["low_freq_factor"]),
            float(rope["high_freq_factor"]),
            int(rope.get("original_max_position_embeddings") or found["max_position_embeddings"]),
        )
    raise _unusable("rope_type", kind)


def _write_gpt2(config: GptConfig) -> dict[str, Any]:
    wanted = gpt2_shape(vocabulary_size=1, context_tokens=1, layers=1, heads=1, width=1)
    same = ("norm", "qkv_bias", "output_bias", "feed_forward_bias", "query_key_norm")
    odd = [name for name in same if getattr(config, name) != getattr(wanted, name)]
    odd += ["activation"] if config.activation == "swiglu" else []
    odd += ["kv_heads"] if config.kv_heads != config.heads else []
    odd += ["head_width"] if config.head_width * config.heads != config.width else []
    if odd:
        raise _unsaved("GPT-2", odd)
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": config.vocabulary_size,
        "n_positions": config.context_tokens,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "n_inner": config.feed_forward,
        "activation_function": "gelu_new" if config.activation == "gelu_tanh" else "gelu",
        "layer_norm_epsilon": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": "float32",
    }


def _write_llama(config: GptConfig) -> dict[str, Any]:
    kind = "qwen3" if config.query_key_norm else "qwen2" if config.qkv_bias and not config.output_bias else "llama"
    odd = [name for name, usual in (("norm", "rms"), ("activation", "swiglu")) if getattr(config, name) != usual]
    odd += ["feed_forward_bias"] if config.feed_forward_bias and kind != "llama" else []
    odd += ["qkv_bias"] if config.qkv_bias != config.output_bias and kind == "qwen3" else []
    odd += ["output_bias"] if config.output_bias and not config.qkv_bias else []
    odd += ["head_width"] if kind == "qwen2" and config.head_width * config.heads != config.width else []
    if odd:
        raise _unsaved(kind, odd)
    return {
        "model_type": kind,
        "architectures": [{"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}[kind] + "ForCausalLM"],
        "vocab_size": config.vocabulary_size,
        "max_position_embeddings": config.context_tokens,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "hidden_size": config.width,
        "head_dim": config.head_width,
        "intermediate_size": config.feed_forward,
        "hidden_act": "silu",
        "attention_bias": config.output_bias,
        **({"mlp_bias": config.feed_forward_bias} if kind == "llama" else {"use_sliding_window": False}),
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": _write_rope(config),
        "tie_word_embeddings": config.tied,
        "attention_dropout": config.dropout,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": "float32",
    }


def _write_rope(config: GptConfig) -> dict[str, Any]:
    scaling = config.rope_scaling
    if scaling is None:
        return {"rope_type": "default", "rope_theta": config.rope_theta}
    found: dict[str, Any] = {"rope_type": scaling.kind, "rope_theta": config.rope_theta, "factor": scaling.factor}
    if scaling.kind == "llama3":
        found["low_freq_factor"] = scaling.low_frequency_factor
        found["high_freq_factor"] = scaling.high_frequency_factor
        found["original_max_position_embeddings"] = scaling.original_context_tokens
    return found


def _read_weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise RunFailed(
            "base_model_unusable",
            say("The folder holds no safetensors weights."),
            say("Convert the weights to safetensors first."),
        )
    for path in files:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                yield name, file.get_tensor(name)


def _to_ours(config: GptConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names; Conv1D matrices [in, out] of GPT-2 are turned and its joint QKV is cut in three."""
    if config.positions == "rotary":
        back = {theirs: ours for ours, theirs in _LLAMA_NAMES.items()}
        return {_renamed(name, back, r"model\.layers\.(\d+)\.", "blocks.{}."): t for name, t in weights.items()}
    back = {theirs: ours for ours, theirs in _GPT2_NAMES.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        name = name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"
        ours = _renamed(name, back, r"transformer\.h\.(\d+)\.", "blocks.{}.")
        turned = tensor.T if re.search(r"\.(c_attn|c_proj|c_fc)\.weight$", name) else tensor
        if ".attn.c_attn." in name:
            block, part = re.match(r"transformer\.h\.(\d+)\.attn\.c_attn\.(\w+)", name).groups()  # type: ignore[union-attr]
            for which, piece in zip(_QKV, turned.chunk(3), strict=True):
                found[f"blocks.{block}.{which}.{part}"] = piece
        else:
            found[ours] = turned
    return found


def to_theirs(config: GptConfig, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of ours under the names, and in the matrices, of transformers."""
    if config.tied:
        weights.pop("head.weight")
    if config.positions == "rotary":
        return {_renamed(name, _LLAMA_NAMES, r"blocks\.(\d+)\.", "model.layers.{}."): t for name, t in weights.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if any(f".{part}." in name for part in _QKV[1:]):
            continue
        theirs = _renamed(name, _GPT2_NAMES, r"blocks\.(\d+)\.", "transformer.h.{}.")
        if ".attention.query." in name:
            tensor = torch.cat([weights[name.replace("attention.query", part)] for part in _QKV])
            theirs = re.sub(r"blocks\.(\d+)\.attention\.query", r"transformer.h.\1.attn.c_attn", name)
        turned = re.search(r"\.(c_attn|c_proj|c_fc)\.weight$", theirs)
        found[theirs] = tensor.T if turned else tensor
    return found


def _renamed(name: str, names: Mapping[str, str], pattern: str, block: str) -> str:
    """`name` with its block prefix and its module replaced; unknown modules keep their names."""
    found = re.match(pattern, name)
    prefix, rest = ("", name) if found is None else (block.format(found.group(1)), name[found.end() :])
    module, _, part = rest.rpartition(".")
    return f"{prefix}{names.get(module, module)}.{part}"


def _unusable(name: str, value: Any) -> RunFailed:
    return RunFailed(
        "base_model_unusable",
        say("The base model has {name} = {value}, which this engine does not know.", name=name, value=str(value)),
        say("Choose a model shaped like GPT-2, Llama, Mistral, Qwen2 or Qwen3."),
    )


def _unsaved(kind: str, odd: list[str]) -> RunFailed:
    return RunFailed(
        "bad_model_shape",
        say("transformers has no {kind} with this {names}.", kind=kind, names=", ".join(odd)),
        say("Choose the usual values for them."),
    )

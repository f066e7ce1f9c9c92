"""A chat version as one GGUF file for llama.cpp: shape, weights, byte-level BPE vocabulary and chat template.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Weights stay fp32; llama-quantize makes smaller ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from engine.chat_folder import OpenedChat, open_chat_model
from engine.export_gguf_read import (
    CONTROL,
    NAMES,
    NORMAL,
    PRE_TOKENIZERS,
    UNUSED,
    USER_DEFINED,
    gguf_run,
    same_vocabulary,
)
from engine.export_parity import Run
from engine.failures import RunFailed
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import load_gpt
from engine.gpt.positions import rotary_frequencies
from engine.render import JINJA, ForeignTemplate, Template
from words import say

FILE = "model.gguf"
OURS = {ours: theirs for theirs, ours in NAMES.items()}


def write_gguf(folder: Path, target: Path) -> tuple[str, Run, dict[str, Any]]:
    """model.gguf; read back from the file alone and run by the platform's own transformer."""
    opened = open_chat_model(folder)
    model = load_gpt(folder)
    path = target / FILE
    vocabulary = vocabulary_of(opened)
    write(path, model, vocabulary, name=folder.name, context_tokens=opened.context_tokens)
    return "gguf", gguf_run(path), {"same_vocabulary": same_vocabulary(path, _tokenizer(opened))}


def architecture(config: GptConfig) -> str:
    """What llama.cpp calls the shape; RunFailed("not_for_gguf") names what it does not have."""
    if config.positions == "learned":
        odd = [
            name for name, usual in (("norm", "layer"), ("activation", "gelu_tanh")) if getattr(config, name) != usual
        ]
        kind = "gpt2"
    else:
        odd = [name for name, usual in (("norm", "rms"), ("activation", "swiglu")) if getattr(config, name) != usual]
        kind = "qwen3" if config.query_key_norm else "qwen2" if config.qkv_bias and not config.output_bias else "llama"
    if odd:
        raise _not_for_gguf(say("llama.cpp has no {kind} with another {names}.", kind=kind, names=", ".join(odd)))
    return kind


def write(path: Path, model: Gpt, vocabulary: Mapping[str, Any], *, name: str, context_tokens: int) -> None:
    """Metadata, then tensors under llama.cpp's names."""
    try:
        import gguf
    except ImportError as error:
        raise RunFailed(
            "export_unavailable",
            say("This worker lacks the package {name}.", name="gguf"),
            say("Install requirements/worker.txt."),
        ) from error
    config = model.config
    kind = architecture(config)
    writer = gguf.GGUFWriter(str(path), kind)
    writer.add_name(name)
    writer.add_file_type(0)  # all fp32
    writer.add_context_length(context_tokens)
    writer.add_vocab_size(config.vocabulary_size)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    if kind == "gpt2":
        writer.add_layer_norm_eps(config.norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.norm_epsilon)
        writer.add_key_length(config.head_width)
        writer.add_value_length(config.head_width)
        writer.add_rope_dimension_count(config.head_width)
        writer.add_rope_freq_base(config.rope_theta)
        if config.rope_scaling is not None and config.rope_scaling.kind == "linear":
            writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(config.rope_scaling.factor)
    _add_vocabulary(writer, vocabulary, config.vocabulary_size)
    for tensor_name, tensor in tensors_of(model).items():
        writer.add_tensor(tensor_name, tensor.detach().float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors_of(model: Gpt) -> dict[str, Tensor]:
    """The weights under llama.cpp's names and in its order of rows; a tied head is left out, as it expects."""
    config, weights = model.config, dict(model.state_dict())
    kind = architecture(config)
    if config.tied:
        weights.pop("head.weight")
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        prefix, module, part = _split(name)
        if kind == "gpt2" and module in ("attention.query", "attention.key", "attention.value"):
            if module == "attention.query":
                joint = [weights[name.replace("query", which)] for which in ("query", "key", "value")]
                found[f"{prefix}attn_qkv.{part}"] = torch.cat(joint)
            continue
        if kind == "llama" and module in ("attention.query", "attention.key"):
            tensor = interleaved(tensor, config.heads if module == "attention.query" else config.kv_heads)
        found[f"{prefix}{OURS[module]}.{part}"] = tensor
    if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
        plain = 1.0 / config.rope_theta ** (torch.arange(0, config.head_width, 2).float() / config.head_width)
        found["rope_freqs.weight"] = plain / rotary_frequencies(config)
    return found


def interleaved(rows: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys [H d, ...] in the order of llama.cpp's Llama, which turns neighbours (2i, 2i + 1).

    Ours and transformers' turn (i, i + d/2): row i + s d/2 of a head becomes row 2i + s.
    """
    return rows.view(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def vocabulary_of(opened: OpenedChat) -> dict[str, Any]:
    """Tokens with their types, merges, splitting rule, special ids and template of a byte-level BPE.

    RunFailed("not_for_gguf") for other tokenizers: llama.cpp would cut texts in other places.
    """
    tokenizer = _tokenizer(opened)
    found = json.loads(tokenizer.to_str())
    model = found["model"]
    if model["type"] != "BPE" or model.get("byte_fallback") or model.get("continuing_subword_prefix"):
        raise _not_for_gguf(say("Its tokenizer is not a byte-level BPE."))
    if found.get("normalizer") not in (None, {"type": "NFC"}):
        raise _not_for_gguf(say("Its tokenizer changes texts before it cuts them."))
    rule = _rule(found.get("pre_tokenizer"), ignores_merges=bool(model.get("ignore_merges")))
    added = {token["id"]: token for token in found.get("added_tokens", [])}
    tokens = {number: token for token, number in tokenizer.get_vocab(with_added_tokens=True).items()}
    own = isinstance(opened.template, Template)
    bos = None if own else opened.template.tokenizer.bos_token_id  # type: ignore[union-attr]
    starts = isinstance(opened.template, ForeignTemplate) and bool(opened.template.start)
    return {
        "tokens": tokens,
        "types": {
            number: (CONTROL if added[number]["special"] else USER_DEFINED) if number in added else NORMAL
            for number in tokens
        },
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        "rule": rule,
        "template": JINJA if own else _template_text(opened),
        "bos": bos,
        "eos": opened.ends[0] if opened.ends else None,
        "pad": opened.pad,
        "starts_with_bos": starts,
    }


def _add_vocabulary(writer: Any, vocabulary: Mapping[str, Any], size: int) -> None:
    tokens, types = vocabulary["tokens"], vocabulary["types"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary["rule"])
    writer.add_token_list([tokens.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([types.get(number, UNUSED) for number in range(size)])
    writer.add_token_merges(vocabulary["merges"])
    for name in ("bos", "eos", "pad"):
        if vocabulary[name] is not None:
            getattr(writer, f"add_{name}_token_id")(vocabulary[name])
    writer.add_add_bos_token(vocabulary["starts_with_bos"])
    if vocabulary["template"]:
        writer.add_chat_template(vocabulary["template"])


def _tokenizer(opened: OpenedChat) -> Tokenizer:
    template = opened.template
    return template.tokenizer if isinstance(template, Template) else template.tokenizer.backend_tokenizer


def _template_text(opened: OpenedChat) -> str:
    """The folder's own template; a folder without one gets none, llama.cpp then asks for one by name."""
    tokenizer: Any = opened.template.tokenizer
    return str(tokenizer.get_chat_template()) if getattr(tokenizer, "chat_template", None) else ""


def _rule(found: Any, *, ignores_merges: bool) -> str:
    """llama.cpp's name of the way a tokenizer cuts a text before the merges."""
    for name, wanted in PRE_TOKENIZERS.items():
        if found == wanted and ignores_merges == (name == "llama-bpe"):
            return name
    raise _not_for_gguf(say("Its tokenizer cuts texts in a way that llama.cpp does not know."))


def _split(name: str) -> tuple[str, str, str]:
    """("blk.3.", "attention.query", "weight") of "blocks.3.attention.query.weight"."""
    rest, _, part = name.rpartition(".")
    if not rest.startswith("blocks."):
        return "", rest, part
    _, number, module = rest.split(".", 2)
    return f"blk.{number}.", module, part


def _not_for_gguf(message: str) -> RunFailed:
    return RunFailed("not_for_gguf", message, say("Export the merged model instead."))

"""A GGUF file read back from nothing but itself: network, vocabulary and the rule that cuts texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from engine.export_parity import TEXTS, Logits, Run
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import RopeScaling

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # token types of llama.cpp
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split_by(pattern: str) -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _byte_level(use_regex=False)]}


# llama.cpp's name -> the same rule as tokenizer.json writes it
PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "gpt-2": _byte_level(use_regex=True),
    "llama-bpe": _split_by(_WORDS + r"\p{N}{1,3}" + _REST),
    "qwen2": _split_by(_WORDS + r"\p{N}" + _REST),
}
NAMES = {  # llama.cpp's -> ours
    "token_embd": "tokens",
    "position_embd": "places",
    "output_norm": "norm",
    "output": "head",
    "attn_norm": "norm1",
    "ffn_norm": "norm2",
    "attn_q": "attention.query",
    "attn_k": "attention.key",
    "attn_v": "attention.value",
    "attn_output": "attention.output",
    "attn_q_norm": "attention.query_norm",
    "attn_k_norm": "attention.key_norm",
    "ffn_gate": "feed_forward.gate",
    "ffn_up": "feed_forward.up",
    "ffn_down": "feed_forward.down",
}


def gguf_run(path: Path) -> Run:
    """Runs the file by the platform's own transformer."""

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        model = read_gpt(path)
        return [model(torch.tensor([list(ids)]))[0].numpy() for ids in sequences]

    return run


def same_vocabulary(path: Path, tokenizer: Tokenizer) -> bool:
    """Whether the file's vocabulary names the same tokens, and cuts the fixed texts into the same ids."""
    tokens = _fields(path)["tokenizer.ggml.tokens"]
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    named = all(number < len(tokens) and tokens[number] == token for token, number in vocabulary.items())
    back = read_tokenizer(path)
    return named and all(
        back.encode(text, add_special_tokens=False).ids == tokenizer.encode(text, add_special_tokens=False).ids
        for text in TEXTS
    )


def read_tokenizer(path: Path) -> Tokenizer:
    """The byte-level BPE that the file describes."""
    fields = _fields(path)
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    rule = fields["tokenizer.ggml.pre"]
    vocabulary = {token: number for number, token in enumerate(tokens) if types[number] not in (USER_DEFINED, UNUSED)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=rule == "llama-bpe"))
    if rule == "gpt-2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        from tokenizers import Regex

        pattern = PRE_TOKENIZERS[rule]["pretokenizers"][0]["pattern"]["Regex"]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    special = [
        AddedToken(tokens[at], special=True, normalized=False) for at, kind in enumerate(types) if kind == CONTROL
    ]
    tokenizer.add_special_tokens(special)
    return tokenizer


def read_gpt(path: Path) -> Gpt:
    """The network that the file describes, in eval mode."""
    import gguf

    reader = gguf.GGUFReader(str(path))
    tensors = {tensor.name: torch.from_numpy(np.array(tensor.data)) for tensor in reader.tensors}
    fields = _fields(path)
    config = _config(fields, tensors)
    model = Gpt(config)
    stretch = tensors.pop("rope_freqs.weight", None)
    weights = _ours(config, tensors, turned=fields["general.architecture"] == "llama")
    if config.tied:
        weights["head.weight"] = weights["tokens.weight"]
    model.load_state_dict(weights)
    if stretch is not None:
        model.frequency = model.frequency / stretch
    return model.eval()


def _fields(path: Path) -> dict[str, Any]:
    import gguf

    return {name: field.contents() for name, field in gguf.GGUFReader(str(path)).fields.items()}


def _config(fields: dict[str, Any], tensors: dict[str, torch.Tensor]) -> GptConfig:
    kind = fields["general.architecture"]

    def of(name: str) -> Any:
        return fields[f"{kind}.{name}"]

    sizes: dict[str, Any] = {
        "vocabulary_size": len(fields["tokenizer.ggml.tokens"]),
        "context_tokens": of("context_length"),
        "layers": of("block_count"),
        "heads": of("attention.head_count"),
        "kv_heads": of("attention.head_count_kv"),
        "width": of("embedding_length"),
        "feed_forward": of("feed_forward_length"),
        "qkv_bias": "blk.0.attn_q.bias" in tensors or "blk.0.attn_qkv.bias" in tensors,
        "output_bias": "blk.0.attn_output.bias" in tensors,
        "feed_forward_bias": "blk.0.ffn_up.bias" in tensors,
        "query_key_norm": "blk.0.attn_q_norm.weight" in tensors,
        "tied": "output.weight" not in tensors,
    }
    if kind == "gpt2":
        sizes["context_tokens"] = tensors["position_embd.weight"].shape[0]
        epsilon = of("attention.layer_norm_epsilon")
        return GptConfig(**sizes, positions="learned", norm="layer", activation="gelu_tanh", norm_epsilon=epsilon)
    scaling = None
    if fields.get(f"{kind}.rope.scaling.type") == "linear":
        scaling = RopeScaling("linear", of("rope.scaling.factor"))
    return GptConfig(
        **sizes,
        head_width=of("attention.key_length"),
        norm_epsilon=of("attention.layer_norm_rms_epsilon"),
        rope_theta=of("rope.freq_base"),
        rope_scaling=scaling,
    )


def _ours(config: GptConfig, tensors: dict[str, torch.Tensor], *, turned: bool) -> dict[str, torch.Tensor]:
    """Under our names; `turned`: pairs of queries and keys lie beside each other, as llama.cpp's Llama has them."""
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        rest, _, part = name.rpartition(".")
        prefix, _, module = rest.rpartition(".")
        block = prefix.replace("blk.", "blocks.") + "." if prefix else ""
        if module == "attn_qkv":
            for which, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                found[f"{block}attention.{which}.{part}"] = piece
            continue
        if turned and module in ("attn_q", "attn_k"):
            heads = config.heads if module == "attn_q" else config.kv_heads
            tensor = tensor.view(heads, -1, 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)
        found[f"{block}{NAMES[module]}.{part}"] = tensor
    return found

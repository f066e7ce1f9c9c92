"""Where the matrices of a layer are called what, for each architecture an adapter can be put into."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from engine.failures import RunFailed
from engine.gpt import Gpt
from words import say


@dataclass(frozen=True)
class Anatomy:
    """Patterns of module names within a network (whole names, as regular expressions) and its sizes."""

    query: str
    key: str
    value: str
    attention_output: str
    feed_forward_in: str
    feed_forward_out: str
    layers: int
    width: int
    kv_heads: int
    head_width: int
    joint: str = ""  # one matrix that holds query, key and value, as in GPT-2

    def targets(self, which: str) -> str:
        """The pattern of the matrices that `which` ("query_value", "attention", "all") means."""
        attention = [self.joint] if self.joint else [self.query, self.key, self.value]
        groups = {
            "query_value": [self.joint] if self.joint else [self.query, self.value],
            "attention": [*attention, self.attention_output],
            "all": [*attention, self.attention_output, self.feed_forward_in, self.feed_forward_out],
        }
        return any_of(groups[which])

    def rescaled(self) -> str:
        """What IA3 rescales: keys, values and the inputs of the second feed-forward matrix."""
        return any_of([*([self.joint] if self.joint else [self.key, self.value]), self.feed_forward_out])

    def outputs(self) -> str:
        """The matrices that write to the stream; a bottleneck follows each of them."""
        return any_of([self.attention_output, self.feed_forward_out])


def any_of(patterns: list[str]) -> str:
    """One pattern that matches what any of them matches."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)


_BERT = {
    "query": r".*attention\.self\.query",
    "key": r".*attention\.self\.key",
    "value": r".*attention\.self\.value",
    "attention_output": r".*attention\.output\.dense",
    "feed_forward_in": r".*\.intermediate\.dense",
    "feed_forward_out": r".*layer\.\d+\.output\.dense",
}
_OURS = {
    "query": r"blocks\.\d+\.attention\.query",
    "key": r"blocks\.\d+\.attention\.key",
    "value": r"blocks\.\d+\.attention\.value",
    "attention_output": r"blocks\.\d+\.attention\.output",
    "feed_forward_in": r"blocks\.\d+\.feed_forward\.(?:gate|up)",
    "feed_forward_out": r"blocks\.\d+\.feed_forward\.down",
}
_DISTILBERT = {
    "query": r".*attention\.q_lin",
    "key": r".*attention\.k_lin",
    "value": r".*attention\.v_lin",
    "attention_output": r".*attention\.out_lin",
    "feed_forward_in": r".*ffn\.lin1",
    "feed_forward_out": r".*ffn\.lin2",
}
_LLAMA = {
    "query": r".*self_attn\.q_proj",
    "key": r".*self_attn\.k_proj",
    "value": r".*self_attn\.v_proj",
    "attention_output": r".*self_attn\.o_proj",
    "feed_forward_in": r".*mlp\.(?:gate|up)_proj",
    "feed_forward_out": r".*mlp\.down_proj",
}
_GPT2 = {
    "query": "",
    "key": "",
    "value": "",
    "joint": r".*attn\.c_attn",
    "attention_output": r".*attn\.c_proj",
    "feed_forward_in": r".*mlp\.c_fc",
    "feed_forward_out": r".*mlp\.c_proj",
}
NAMES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("bert", "roberta", "xlm-roberta", "camembert", "electra"), _BERT),
    "distilbert": _DISTILBERT,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _LLAMA),
    "gpt2": _GPT2,
}


def anatomy_of(network: nn.Module) -> Anatomy:
    """The anatomy of our GPT or of a transformers network; RunFailed("not_together") for others."""
    config: Any = network.config
    if isinstance(network, Gpt):
        return Anatomy(
            **_OURS,
            layers=config.layers,
            width=config.width,
            kv_heads=config.kv_heads,
            head_width=config.head_width,
        )
    names = NAMES.get(config.model_type)
    if names is None:
        raise RunFailed(
            "not_together",
            say("Where adapters go in {model_type} models is not known.", model_type=config.model_type),
            say("Train the whole model, or choose a base model shaped like BERT, RoBERTa, DistilBERT, Llama or GPT-2."),
        )
    heads = config.num_attention_heads
    return Anatomy(
        **names,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // heads,
    )

"""Virtual tokens before every document: prefix tuning, P-tuning and prompt tuning.

Prefix (Li, Liang 2021): each layer sees V more keys and values, which are learnt; the document's own tokens are as they were.
Prompt (Lester et al. 2021): V vectors stand before the token vectors; P-tuning (Liu et al. 2021) makes them by a small
network. They are read like tokens but predict nothing: neither labels nor logits nor text vectors hold them.
"""

from typing import Any

import torch
from torch import Tensor, nn

from engine.methods.anatomy import Anatomy
from engine.specs.methods import MethodOptions

KeysValues = list[tuple[Tensor, Tensor]]


class VirtualTokens(nn.Module):
    """V learnt tokens; what they are depends on the method."""

    def __init__(self, method: str, count: int, anatomy: Anatomy, *, is_trained: bool = False) -> None:
        super().__init__()
        self.method, self.count, self.anatomy = method, count, anatomy
        self.is_prefix = method == "prefix"
        from peft.tuners import PrefixEncoder, PromptEncoder  # takes seconds; only these methods wait for it

        if method == "p_tuning" and not is_trained:
            self.encoder: nn.Module = PromptEncoder(self._config())
        elif self.is_prefix:
            self.encoder = PrefixEncoder(self._config())
        else:
            self.encoder = nn.Embedding(count, anatomy.width)

    @property
    def inserted(self) -> int:
        """How many tokens stand in the sequence itself."""
        return 0 if self.is_prefix else self.count

    def vectors(self) -> Tensor:
        """[V, D] of a prompt, [V, 2 L G d] of a prefix."""
        numbers = torch.arange(self.count, device=next(self.parameters()).device)
        found: Tensor = self.encoder(numbers[None])[0]
        return found

    def keys_values(self) -> KeysValues:
        """(keys [G, V, d], values [G, V, d]) of each layer, as peft lays a prefix out."""
        shape = self.anatomy
        whole = self.vectors().view(self.count, shape.layers * 2, shape.kv_heads, shape.head_width)
        parts = whole.permute(1, 2, 0, 3)  # [2L, G, V, d]
        return [(parts[2 * at], parts[2 * at + 1]) for at in range(shape.layers)]

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Begin at `vectors` instead of noise; a P-tuning network keeps its own start."""
        if self.method != "p_tuning":
            self.encoder.get_parameter("weight" if not self.is_prefix else "embedding.weight").copy_(vectors)

    def _config(self) -> Any:
        from peft import PrefixTuningConfig, PromptEncoderConfig

        shape = self.anatomy
        common = {"num_virtual_tokens": self.count, "num_layers": shape.layers, "num_transformer_submodules": 1}
        if self.is_prefix:
            width = shape.kv_heads * shape.head_width
            return PrefixTuningConfig(**common, token_dim=width, num_attention_heads=shape.kv_heads)
        return PromptEncoderConfig(**common, token_dim=shape.width, encoder_hidden_size=shape.width)


def adapter_config(options: MethodOptions, anatomy: Anatomy, *, task_type: str) -> Any:
    """peft's configuration of trained virtual tokens, for a folder that peft loads."""
    from peft import PrefixTuningConfig, PromptTuningConfig

    common = {"num_virtual_tokens": options.virtual_tokens, "num_layers": anatomy.layers, "task_type": task_type}
    shared: dict[str, Any] = {**common, "num_transformer_submodules": 1, "inference_mode": True}
    if options.method == "prefix":
        width = anatomy.kv_heads * anatomy.head_width
        return PrefixTuningConfig(**shared, token_dim=width, num_attention_heads=anatomy.kv_heads)
    return PromptTuningConfig(**shared, token_dim=anatomy.width)

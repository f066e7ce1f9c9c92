"""The whole model: embed, add positions, L blocks, norm, and back to the vocabulary.

    x_t = E[token_t] (+ P[t])        logits_t = W norm(x_t^(L))        W = E when tied (Press, Wolf 2017)

Row t of the logits is the distribution of token t + 1.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.attention import Rotation
from engine.gpt.block import Block
from engine.gpt.cache import Cache, positions_after
from engine.gpt.config import GptConfig
from engine.gpt.norms import norm_of
from engine.gpt.positions import rotary_frequencies, rotation, sinusoidal
from engine.gpt.runs import Run, positions_of

INITIAL_DEVIATION = 0.02


class Gpt(nn.Module):
    """Token ids -> logits. Seed torch before making one."""

    frequency: Tensor

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary_size, config.width)
        self.places = _places(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = norm_of(config)
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        self.register_buffer("frequency", rotary_frequencies(config), persistent=False)
        self._start()
        if config.tied:
            self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Logits [B, T, V] of ids [B, T]; with a cache, ids continue what it holds and are added to it.

        ValueError when ids reach beyond context_tokens.
        """
        count, length = ids.shape
        positions = positions_after(cache, length, ids.device)
        hidden = self.hidden(ids.flatten(), positions.repeat(count), [Run(0, count, length)], cache)
        return cast(Tensor, self.head(hidden)).view(count, length, -1)

    def packed(self, ids: Tensor, runs: Sequence[Run]) -> Tensor:
        """Last hidden states [N, D] of documents laid end to end, ids [N]; no document sees another."""
        return self.hidden(ids, positions_of(runs).to(ids.device), runs)

    def hidden(self, ids: Tensor, positions: Tensor, runs: Sequence[Run], cache: Cache | None = None) -> Tensor:
        """Last hidden states [N, D], normed, of ids [N] at positions [N]."""
        if int(positions.max()) >= self.config.context_tokens:
            raise ValueError(f"position {int(positions.max())} is beyond the context of {self.config.context_tokens}")
        hidden, turning = self.embed(ids, positions)
        for number, block in enumerate(self.blocks):
            hidden = block(hidden, runs, turning, cache.layers[number] if cache is not None else None)
        return cast(Tensor, self.norm(hidden))

    def embed(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Rotation | None]:
        """(token and place vectors [N, D], rotation of queries and keys or None)."""
        hidden = self.tokens(ids)
        if self.places is not None:
            hidden = hidden + self.places(positions)
        turning = rotation(self.frequency, positions) if self.config.positions == "rotary" else None
        return F.dropout(hidden, self.config.dropout, self.training), turning

    def empty_cache(self, room: int = 0) -> Cache:
        """A cache with room for `room` tokens, by default the whole context."""
        return Cache(self.config.layers, room or self.config.context_tokens)

    def restore(self) -> None:
        """Tie the head and make the rotary frequencies anew, after the module was moved without its values."""
        self.frequency = rotary_frequencies(self.config)
        if self.config.tied:
            self.head.weight = self.tokens.weight

    def _start(self) -> None:
        """Normal weights of deviation 0.02; what adds to the stream is smaller by sqrt(2L), as in GPT-2."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and module.weight.requires_grad:
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.down.weight")):
                nn.init.normal_(parameter, std=INITIAL_DEVIATION / math.sqrt(2 * self.config.layers))


def _places(config: GptConfig) -> nn.Embedding | None:
    if config.positions == "rotary":
        return None
    places = nn.Embedding(config.context_tokens, config.width)
    if config.positions == "sinusoidal":
        with torch.no_grad():
            places.weight.copy_(sinusoidal(config.context_tokens, config.width))
        places.weight.requires_grad_(False)
    return places

"""The whole model: embed, add positions, L blocks, norm, and back to the vocabulary.

    x_t = E[token_t] (+ P[t])        logits_t = W norm(x_t^(L))        W = E when tied (Press, Wolf 2017)

Row t of the logits is the distribution of token t + 1.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.attention import Rotation
from engine.gpt.block import Block
from engine.gpt.cache import Cache, positions_after
from engine.gpt.config import GptConfig
from engine.gpt.norms import norm_of
from engine.gpt.positions import rotary_frequencies, rotation, sinusoidal
from engine.gpt.runs import Run, joined, positions_of, widened, with_first, without_first
from engine.precision import through

INITIAL_DEVIATION = 0.02


class Gpt(nn.Module):
    """Token ids -> logits. Seed torch before making one."""

    frequency: Tensor
    recomputes: bool  # in training: only what enters each block is kept for the gradients
    virtual: Any  # engine.methods.virtual.VirtualTokens or None: learnt tokens before every packed document

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.recomputes = False
        self.virtual = None
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

        ValueError when ids reach beyond context_tokens, or with virtual tokens, which only `packed` reads.
        """
        if self.virtual is not None:
            raise ValueError("virtual tokens are read by packed() only")
        count, length = ids.shape
        positions = positions_after(cache, length, ids.device)
        hidden = self.hidden(ids.flatten(), positions.repeat(count), [Run(0, count, length)], cache)
        return cast(Tensor, self.head(hidden)).view(count, length, -1)

    def packed(self, ids: Tensor, runs: Sequence[Run]) -> Tensor:
        """Last hidden states [N, D] of documents laid end to end, ids [N]; no document sees another."""
        virtual = self.virtual
        if virtual is None:
            return self.hidden(ids, positions_of(runs).to(ids.device), runs)
        if virtual.is_prefix:
            positions = positions_of(runs).to(ids.device) + virtual.count
            return self.through(*self.embed(self.tokens(ids), positions), runs, prefixes=virtual.keys_values())
        wide = widened(runs, virtual.count)
        vectors = with_first(self.tokens(ids), runs, virtual.vectors())
        hidden = self.through(*self.embed(vectors, positions_of(wide).to(ids.device)), wide)
        return without_first(hidden, wide, virtual.count)

    def hidden(self, ids: Tensor, positions: Tensor, runs: Sequence[Run], cache: Cache | None = None) -> Tensor:
        """Last hidden states [N, D], normed, of ids [N] at positions [N]."""
        return self.through(*self.embed(self.tokens(ids), positions), runs, cache)

    def through(
        self,
        hidden: Tensor,
        turning: Rotation | None,
        runs: Sequence[Run],
        cache: Cache | None = None,
        prefixes: Sequence[tuple[Tensor, Tensor]] = (),
    ) -> Tensor:
        """[N, D] through all blocks and the last norm; `prefixes` are keys and values [G, V, d] each document sees."""
        for number, block in enumerate(self.blocks):
            kept = cache.layers[number] if cache is not None else None
            prefix = prefixes[number] if prefixes else None
            again = self.recomputes and self.training
            hidden = through(block, hidden, runs, turning, kept, prefix, again=again)
        return cast(Tensor, self.norm(hidden))

    def embed(self, vectors: Tensor, positions: Tensor) -> tuple[Tensor, Rotation | None]:
        """(vectors [N, D] with their places, rotation of queries and keys or None); ValueError beyond the context."""
        if int(positions.max()) >= self.config.context_tokens:
            raise ValueError(f"position {int(positions.max())} is beyond the context of {self.config.context_tokens}")
        hidden = vectors if self.places is None else vectors + self.places(positions)
        turning = rotation(self.frequency, positions) if self.config.positions == "rotary" else None
        return F.dropout(hidden, self.config.dropout, self.training), turning

    @torch.no_grad()
    def virtual_start(self, ids: Sequence[int], *, is_prefix: bool) -> Tensor:
        """Where virtual tokens begin: vectors [V, D], or keys and values [V, 2 L G d], of V real tokens."""
        tokens = torch.tensor(ids, device=self.tokens.weight.device)
        if not is_prefix:
            return cast(Tensor, self.tokens(tokens))
        cache = self.empty_cache()
        self(tokens[None], cache)
        filled = (layer.filled() for layer in cache.layers)
        return joined([(keys[0], values[0]) for keys, values in filled])

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

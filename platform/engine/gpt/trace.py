"""Every number between a sentence and its next token, kept for looking at: the model run slowly, by its formulas."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.gpt.attention import Attention, attention_scores, attention_weights
from engine.gpt.model import Gpt
from engine.gpt.runs import Run


@dataclass(frozen=True)
class LayerTrace:
    """What one block did: shapes in the letters of the package, for one sentence (n = 1)."""

    query: Tensor  # [H, T, d], turned to its positions
    key: Tensor  # [G, T, d]
    value: Tensor  # [G, T, d]
    scores: Tensor  # [H, T, T] = Q K^T / sqrt(d), before the mask
    weights: Tensor  # [H, T, T] = softmax(scores + mask)
    attention_added: Tensor  # [T, D]
    feed_forward_added: Tensor  # [T, D]
    stream: Tensor  # [T, D] after the block


@dataclass(frozen=True)
class Trace:
    """One sentence all the way through."""

    ids: Tensor  # [T]
    token_vectors: Tensor  # [T, D]
    place_vectors: Tensor | None  # [T, D]; None with rotary positions
    angles: Tensor | None  # [T, d/2]; None without rotary positions
    layers: tuple[LayerTrace, ...]
    last: Tensor  # [T, D], normed
    logits: Tensor  # [T, V]
    probabilities: Tensor  # [T, V]
    losses: Tensor  # [T - 1], of each token after the first

    @property
    def loss(self) -> float:
        """Mean over the tokens; nan for a single one."""
        return float(self.losses.mean()) if len(self.losses) else math.nan


@torch.no_grad()
def trace(model: Gpt, ids: Tensor) -> Trace:
    """Run ids [T] through the model in eval mode; the logits equal `model(ids)` within float error."""
    if model.training:
        raise ValueError("put the model into eval mode before tracing it")
    runs, positions = [Run(0, 1, len(ids))], torch.arange(len(ids))
    stream, turning = model.embed(model.tokens(ids), positions)
    layers = []
    for block in model.blocks:
        normed = block.norm1(stream)  # type: ignore[operator]
        attention: Attention = block.attention  # type: ignore[assignment]
        query, key, value = (tensor.transpose(0, 1) for tensor in attention.project(normed, turning))
        weights = attention_weights(query[None], key[None])[0]
        scores = attention_scores(query[None], key[None])[0]
        added = attention(normed, runs, turning)
        middle = stream + added
        worked = block.feed_forward(block.norm2(middle))  # type: ignore[operator]
        stream = middle + worked
        layers.append(LayerTrace(query, key, value, scores, weights, added, worked, stream))
    last = model.norm(stream)
    logits = model.head(last)
    chances = torch.log_softmax(logits, dim=-1)
    return Trace(
        ids=ids,
        token_vectors=model.tokens(ids),
        place_vectors=None if model.places is None else model.places(positions),
        angles=positions[:, None] * model.frequency if model.config.positions == "rotary" else None,
        layers=tuple(layers),
        last=last,
        logits=logits,
        probabilities=chances.exp(),
        losses=-chances[:-1].gather(1, ids[1:, None])[:, 0],
    )

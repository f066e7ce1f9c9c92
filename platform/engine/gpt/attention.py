"""Causal self-attention over documents laid end to end.

Scaled dot-product attention (Vaswani et al. 2017, equation 1), for each head:

    A = softmax(Q K^T / sqrt(d) + M)        out = A V        M[t, s] = 0 if s <= t else -inf

Without 1/sqrt(d) the products of d random numbers have variance d, the softmax saturates and its gradient dies.
Without M a token sees its own future and the loss falls to nothing while nothing is learnt.

Grouped queries (Ainslie et al. 2023): H query heads share G <= H heads of keys and values; G = H is plain multi-head.
"""

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.cache import LayerCache
from engine.gpt.config import GptConfig
from engine.gpt.norms import RmsNorm
from engine.gpt.positions import rotate
from engine.gpt.runs import Run

Rotation = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """[N, D] -> [N, D]; tokens see earlier tokens of their own document only."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_width = config.heads, config.kv_heads, config.head_width
        self.dropout = config.dropout
        size, shared = config.heads * config.head_width, config.kv_heads * config.head_width
        self.query = nn.Linear(config.width, size, bias=config.qkv_bias)
        self.key = nn.Linear(config.width, shared, bias=config.qkv_bias)
        self.value = nn.Linear(config.width, shared, bias=config.qkv_bias)
        self.output = nn.Linear(size, config.width, bias=config.output_bias)
        self.joint: nn.Module | None = None  # serving: query, key and value as one product, made once
        self.query_norm = RmsNorm(config.head_width, config.norm_epsilon) if config.query_key_norm else None
        self.key_norm = RmsNorm(config.head_width, config.norm_epsilon) if config.query_key_norm else None

    def forward(
        self,
        hidden: Tensor,
        runs: Sequence[Run],
        rotation: Rotation | None = None,
        cache: LayerCache | None = None,
        prefix: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Attend within each document of `runs`; with a `cache`, the one run continues what the cache holds.

        Every document also sees the keys and values [G, V, d] of a `prefix`.
        """
        query, key, value = self.project(hidden, rotation)
        share = self.dropout if self.training else 0.0
        # Split, not sliced: the gradient of many slices is as many whole tensors, that of a split is one.
        sizes = [run.count * run.length for run in runs]
        mixed = []
        split = (torch.split(tensor, sizes) for tensor in (query, key, value))
        for run, *parts in zip(runs, *split, strict=True):
            q, k, v = (_documents(part, run) for part in parts)  # [n, H or G, t, d]
            if cache is not None:
                k, v = cache.extend(k, v)
            if prefix is not None:
                k = torch.cat((prefix[0].expand(run.count, -1, -1, -1), k), dim=2)
                v = torch.cat((prefix[1].expand(run.count, -1, -1, -1), v), dim=2)
            mixed.append(_tokens(attend(q, k, v, dropout=share)))
        return cast(Tensor, self.output(torch.cat(mixed) if len(mixed) > 1 else mixed[0]))

    def _projected(self, hidden: Tensor) -> Sequence[Tensor]:
        """The three products as one, which is faster; apart where a method has taken the place of one of them."""
        parts = (self.query, self.key, self.value)
        if self.joint is not None:
            return torch.split(self.joint(hidden), [part.out_features for part in parts], dim=-1)
        if any(type(part) is not nn.Linear for part in parts):
            return [part(hidden) for part in parts]
        bias = torch.cat([part.bias for part in parts]) if self.query.bias is not None else None
        joint = F.linear(hidden, torch.cat([part.weight for part in parts]), bias)
        return torch.split(joint, [part.out_features for part in parts], dim=-1)

    def project(self, hidden: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [N, H, d], keys and values [N, G, d], turned to their positions."""
        query, key, value = (part.view(len(part), -1, self.head_width) for part in self._projected(hidden))
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if rotation is not None:
            query, key = rotate(query, *rotation), rotate(key, *rotation)
        return query, key, value


def attend(query: Tensor, key: Tensor, value: Tensor, *, dropout: float = 0.0) -> Tensor:
    """softmax(Q K^T / sqrt(d) + M) V: query [n, H, t, d], key and value [n, G, s, d] -> [n, H, t, d].

    The t queries are the last of the s positions.
    """
    t, s = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if t == s:
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=t > 1, enable_gqa=grouped)
    mask = causal_mask(t, s, query.device) if t > 1 else None
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, enable_gqa=grouped)


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """A by the formula, [n, H, t, s], for looking at; `attend` gives the same without keeping it."""
    mask = causal_mask(query.shape[2], key.shape[2], query.device)
    return torch.softmax(attention_scores(query, key).masked_fill(~mask, -math.inf), dim=-1)


def attention_scores(query: Tensor, key: Tensor) -> Tensor:
    """Q K^T / sqrt(d) before the mask, [n, H, t, s]."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
    return query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])


def causal_mask(t: int, s: int, device: torch.device | None = None) -> Tensor:
    """[t, s]: True where query i, which stands at s - t + i, may look."""
    return torch.ones(t, s, dtype=torch.bool, device=device).tril(s - t)


def _documents(tensor: Tensor, run: Run) -> Tensor:
    """The run's tokens [n * t, H, d] -> its documents [n, H, t, d]."""
    return tensor.view(run.count, run.length, *tensor.shape[1:]).transpose(1, 2)


def _tokens(tensor: Tensor) -> Tensor:
    """[n, H, t, d] -> [n * t, H * d]"""
    return tensor.transpose(1, 2).flatten(2).flatten(0, 1)

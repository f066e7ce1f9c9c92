"""Norms: they keep the scale of a vector fixed, so that depth neither blows it up nor lets it fade.

Layer norm (Ba et al. 2016):   y = (x - mean(x)) / sqrt(var(x) + eps) * g + b      mean and biased variance over D
RMS norm (Zhang, Sennrich 2019):   y = x / sqrt(mean(x^2) + eps) * g
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.config import GptConfig


class RmsNorm(nn.Module):
    """Root-mean-square norm over the last dimension."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., D] -> [..., D]"""
        return F.rms_norm(vectors, vectors.shape[-1:], self.weight, self.epsilon)


class LayerNorm(nn.Module):
    """Layer norm over the last dimension, with gain and shift."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon = epsilon

    def forward(self, vectors: Tensor) -> Tensor:
        """[..., D] -> [..., D]"""
        return F.layer_norm(vectors, vectors.shape[-1:], self.weight, self.bias, self.epsilon)


def norm_of(config: GptConfig) -> nn.Module:
    """The norm a config asks for."""
    made = LayerNorm if config.norm == "layer" else RmsNorm
    return cast(nn.Module, made(config.width, config.norm_epsilon))

"""Bottleneck adapters (Houlsby et al. 2019): a small residual network behind each matrix that writes to the stream.

    y = W x + b        out = y + U gelu(D y + c) + e        D [M, D], U [D, M]

U starts at zero, so the network begins as it was. Each adapter has 2 M D + M + D parameters.
"""

import re
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """[..., D] -> [..., D] through M units, added to what came in."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, inner)
        self.up = nn.Linear(inner, width)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """The formula above."""
        return hidden + cast(Tensor, self.up(F.gelu(self.down(hidden))))


class WithBottleneck(nn.Module):
    """A matrix of the base and the bottleneck behind it."""

    def __init__(self, base: nn.Module, width: int, inner: int) -> None:
        super().__init__()
        self.base = base
        self.bottleneck = Bottleneck(width, inner)

    def forward(self, hidden: Tensor) -> Tensor:
        """The base's output, adapted."""
        return cast(Tensor, self.bottleneck(self.base(hidden)))


def insert_bottlenecks(network: nn.Module, pattern: str, *, width: int, inner: int) -> dict[str, Bottleneck]:
    """Put a bottleneck behind every module whose whole name matches; returns them by the name of that module."""
    found: dict[str, Bottleneck] = {}
    for name, module in list(network.named_modules()):
        if re.fullmatch(pattern, name):
            parent, _, last = name.rpartition(".")
            wrapped = WithBottleneck(module, width, inner)
            setattr(network.get_submodule(parent), last, wrapped)
            found[name] = wrapped.bottleneck
    return found

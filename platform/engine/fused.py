"""Encoders made ready to answer on a CPU: matrices laid out once, with bias, GELU and what is added in the same pass.

oneDNN's product, which torch's own compiler emits for x86: one call reads the tokens, multiplies, adds the bias, applies the GELU or
adds the residual, and writes once. Nothing is rounded that torch does not round, so results differ by the order of sums alone.
Where the operators are missing, or do not give what torch gives, the plain layers stay.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

T = TypeVar("T")
LAID_OUT_FOR = 1024  # tokens; any number of them is multiplied
TRIED_ROWS = (1, 2, 33)


class FusedLinear(nn.Module):
    """x [T, in] -> x W^T + b [T, out], behind it a GELU where `gelu`; nothing is learnt."""

    def __init__(self, *parts: nn.Linear, gelu: bool = False) -> None:
        super().__init__()
        weight = torch.cat([part.weight.detach() for part in parts]).contiguous()
        self.bias = torch.cat([part.bias.detach() for part in parts])
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, LAID_OUT_FOR)
        self.act = ("gelu", "none") if gelu else ("none", "")

    def forward(self, hidden: Tensor) -> Tensor:
        """The product."""
        name, way = self.act
        product = torch.ops.mkldnn._linear_pointwise
        return cast(Tensor, product(hidden.contiguous(), self.weight, self.bias, name, [], way))

    def added(self, hidden: Tensor, other: Tensor) -> Tensor:
        """The product and `other` [T, out] on top of it."""
        product = torch.ops.mkldnn._linear_pointwise.binary
        return cast(Tensor, product(hidden.contiguous(), other.contiguous(), self.weight, self.bias, "add"))


class FusedOutput(nn.Module):
    """LN(x W^T + b + residual), as BERT ends its attention and its feed-forward part."""

    def __init__(self, dense: nn.Linear, norm: nn.Module) -> None:
        super().__init__()
        self.dense, self.norm = FusedLinear(dense), norm

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """[T, D] of [T, in] and [T, D]."""
        return cast(Tensor, self.norm(self.dense.added(hidden, residual)))


def quick(opened: T) -> T:
    """A loaded version that is only asked from now on, with fused layers where that is possible; the same object."""
    model: Any = cast(Any, opened).model
    if getattr(model, "is_packed", False) and not model.training and is_right():
        for layer in model.encoder.encoder.layer:
            _fuse(layer)
    return opened


def _fuse(layer: Any) -> None:
    """Change those parts of a layer that are plain matrices: an adapter that is not merged, or int8 weights, stay."""
    attention = layer.attention.self
    parts = (attention.query, attention.key, attention.value)
    if _are_plain(parts):
        attention.joint = FusedLinear(*parts)
        attention.query = attention.key = attention.value = None
    if _are_plain((layer.attention.output.dense,)):
        layer.attention.output = FusedOutput(layer.attention.output.dense, layer.attention.output.LayerNorm)
    if _are_plain((layer.output.dense,)):
        layer.output = FusedOutput(layer.output.dense, layer.output.LayerNorm)
    if _are_plain((layer.intermediate.dense,)) and _is_gelu(layer.intermediate.intermediate_act_fn):
        layer.intermediate = FusedLinear(layer.intermediate.dense, gelu=True)


def _is_gelu(function: Any) -> bool:
    tried = torch.linspace(-4, 4, 33)
    return torch.equal(function(tried), F.gelu(tried))


def _are_plain(parts: Sequence[nn.Module]) -> bool:
    return all(
        type(part) is nn.Linear
        and part.bias is not None
        and part.weight.dtype == torch.float32
        and part.weight.device.type == "cpu"
        for part in parts
    )


@lru_cache(maxsize=1)
@torch.no_grad()
def is_right() -> bool:
    """Whether this machine has the operators and they give what torch's plain ones give."""
    draw = torch.Generator().manual_seed(17)
    plain = nn.Linear(48, 40)
    plain.weight.copy_(torch.randn(40, 48, generator=draw))
    plain.bias.copy_(torch.randn(40, generator=draw))
    rows, others = torch.randn(33, 48, generator=draw), torch.randn(33, 40, generator=draw)
    wanted = plain(rows)
    try:
        fused, gelu = FusedLinear(plain), FusedLinear(plain, gelu=True)
        return all(
            torch.allclose(fused(rows[:count]), wanted[:count], atol=1e-4)
            and torch.allclose(gelu(rows[:count]), F.gelu(wanted[:count]), atol=1e-4)
            and torch.allclose(fused.added(rows[:count], others[:count]), wanted[:count] + others[:count], atol=1e-4)
            for count in TRIED_ROWS
        )
    except (AttributeError, NotImplementedError, RuntimeError):  # this build of torch does not have them
        return False

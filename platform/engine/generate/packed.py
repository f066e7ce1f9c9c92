"""Matrices in the order in which the processor reads them, for products with few rows.

A product of a few tokens with a matrix spends its time fetching the matrix. MKL's packed form is read once from front to
back, which is up to three times as fast as the plain product, and a row of the result does not depend on how many rows
are multiplied: what an answer says cannot depend on its company. Where MKL is not there, or does not keep that promise, the
plain product stays.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from engine.gpt.attention import Attention

PACKED_FOR = 32  # rows; the packed form serves any number of them
TRIED_ROWS = (1, 2, 3, 8, 33)


class PackedLinear(nn.Module):
    """x [N, in] -> x W^T + b [N, out] with W packed once."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight.detach()
        self.bias = None if linear.bias is None else linear.bias.detach()
        self._packed = torch.ops.mkl._mkl_reorder_linear_weight(self.weight, PACKED_FOR)

    def forward(self, rows: Tensor) -> Tensor:
        """The product; one row is multiplied as two, because MKL has a way of its own for a single one."""
        count = len(rows)
        given = rows.expand(2, -1) if count == 1 else rows
        found = torch.ops.mkl._mkl_linear(given.contiguous(), self._packed, self.weight, self.bias, len(given))
        return cast(Tensor, found[:count])


def can_pack() -> bool:
    """Whether this machine has the packed product and it gives equal rows for any number of them."""
    if not torch._C.has_mkl or not hasattr(torch.ops.mkl, "_mkl_linear"):
        return False
    draw = torch.Generator().manual_seed(17)
    plain = nn.Linear(100, 77)
    rows = torch.randn(64, 100, generator=draw)
    with torch.inference_mode():
        packed = PackedLinear(plain)
        whole = packed(rows)
        is_right = torch.allclose(whole, plain(rows), atol=1e-5)
        return is_right and all(torch.equal(packed(rows[:count]), whole[:count]) for count in TRIED_ROWS)


def pack(network: nn.Module) -> None:
    """Put packed matrices in the place of plain ones that are not trained any more, the three of an attention as one."""
    for module in list(network.modules()):
        if isinstance(module, Attention) and all(_is_plain(part) for part in (module.query, module.key, module.value)):
            module.joint = PackedLinear(_joined([module.query, module.key, module.value]))
            continue_with = {"output"}
        else:
            continue_with = {name for name, _ in module.named_children()}
        for name, child in list(module.named_children()):
            if name in continue_with and _is_plain(child):
                setattr(module, name, PackedLinear(cast(nn.Linear, child)))


def _is_plain(module: nn.Module) -> bool:
    return type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"


def _joined(parts: Sequence[nn.Linear]) -> nn.Linear:
    """One matrix for products that have the same input."""
    has_bias = parts[0].bias is not None
    made = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts), bias=has_bias)
    made.weight = nn.Parameter(torch.cat([part.weight for part in parts]).detach(), requires_grad=False)
    if has_bias:
        made.bias = nn.Parameter(torch.cat([part.bias for part in parts]).detach(), requires_grad=False)
    return made

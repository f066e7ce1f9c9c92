"""Linear layers with int8 weights: the grid they lie on, learning on it, and the kernels that compute with it.

Jacob et al. 2018. Each output channel o of a matrix and each token t that is read has a scale of its own, and whole
numbers of at most 127 in size stand for the values:

    w_oi = s_o q_oi,  s_o = max_i |w_oi| / 127        x_ti = r_t p_ti,  r_t = max_i |x_ti| / 127
    y_to = r_t s_o sum_i p_ti q_oi + b_o

A token's scale is taken as it comes, from nothing but itself, so a text gets the same logits in any company. While a
network learns, weights and tokens are rounded on the way forward and gradients pass as if they were not (Bengio et
al. 2013). What is saved are floats on the grid: the file says what is computed, a kernel only how fast.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 127
LEAST_SCALE = 1e-12  # of a row of zeros
WEIGHTS = "int8"  # what lingxi.json says of such a folder
ROWS_AT_ONCE = 256  # tokens rounded in one go: what lies between stays in the processor's cache
Multiply = Callable[[Tensor], Tensor]  # int8 rows [N, I] -> exact sums times the channels' scales, floats [N, O]


def scales_of(values: Tensor) -> Tensor:
    """The scale of each row (last axis), [..., 1]."""
    return (values.abs().amax(-1, keepdim=True) / LEVELS).clamp_min(LEAST_SCALE)


def on_grid(values: Tensor) -> Tensor:
    """The nearest values of the grid of each row."""
    scales = scales_of(values)
    return (values / scales).round_().mul_(scales)


class _Rounded(torch.autograd.Function):
    """Onto the grid forward, nothing backward."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        return on_grid(values)

    @staticmethod
    def backward(_ctx: Any, *outer: Tensor) -> Tensor:
        return outer[0]


def rounded(values: Tensor) -> Tensor:
    """Values of the grid whose gradients are those of `values`."""
    return cast(Tensor, _Rounded.apply(values))  # type: ignore[no-untyped-call]


class GridLinear(nn.Linear):
    """A linear layer that reads and multiplies on the grid, in floats; its weights are what is learnt."""

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., O] of [..., I]."""
        return F.linear(rounded(hidden), rounded(self.weight), self.bias)


class Rows:
    """Tokens as whole numbers [N, I] int8 and their scales [N, 1], made once for all layers that read them."""

    def __init__(self, hidden: Tensor) -> None:
        self.scales = hidden.new_empty(len(hidden), 1)
        self.numbers = torch.empty_like(hidden, dtype=torch.int8)
        for start in range(0, len(hidden), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            self.scales[rows] = scales_of(hidden[rows])
            self.numbers[rows] = (hidden[rows] / self.scales[rows]).round_()


class Int8Linear(nn.Module):
    """The same layer by a kernel for whole numbers; it holds one byte a weight and learns nothing."""

    def __init__(self, layer: nn.Linear, kernel: str) -> None:
        super().__init__()
        with torch.no_grad():
            scales = scales_of(layer.weight)
            numbers = (layer.weight / scales).round_().to(torch.int8)  # [O, I]
        self.sizes = tuple(numbers.shape)
        self.bias = None if layer.bias is None else layer.bias.detach().clone()
        self.multiply = KERNELS[kernel](numbers, scales[:, 0])

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., O] of [..., I]."""
        found = self.by_rows(Rows(hidden.reshape(-1, hidden.shape[-1])))
        return found.view(*hidden.shape[:-1], -1)

    def by_rows(self, rows: Rows) -> Tensor:
        """[N, O] of rows that are whole numbers already."""
        found = self.multiply(rows.numbers).mul_(rows.scales)
        return found if self.bias is None else found.add_(self.bias)


def _by_onednn(numbers: Tensor, scales: Tensor) -> Multiply:
    packed = torch.ops.onednn.qlinear_prepack(numbers, None)
    zeros = torch.zeros(len(numbers), dtype=torch.long)
    plain: tuple[Any, ...] = (None, 1.0, 0, torch.float32, "none", [], "")

    def multiply(rows: Tensor) -> Tensor:
        return cast(Tensor, torch.ops.onednn.qlinear_pointwise(rows, 1.0, 0, packed, scales, zeros, *plain))

    return multiply


def _by_torch(numbers: Tensor, scales: Tensor) -> Multiply:
    turned = numbers.t()
    return lambda rows: torch._int_mm(rows, turned).float().mul_(scales)


Kernel = Callable[[Tensor, Tensor], Multiply]  # of whole numbers [O, I] and the scales of their channels [O]
KERNELS: dict[str, Kernel] = {"onednn": _by_onednn, "torch": _by_torch}
"""The fastest first (docs/adr/0012-int8-students.md)."""


@lru_cache(maxsize=1)
def known_kernel() -> str:
    """The fastest kernel that this machine has and that adds up exactly; "" when there is none."""
    return next((name for name, make in KERNELS.items() if adds_up(make)), "")


def adds_up(make: Kernel) -> bool:
    """Whether a kernel gives the exact sums, the largest ones included: some processors cut those short."""
    drawn = torch.Generator().manual_seed(0)
    numbers = torch.randint(-LEVELS, LEVELS + 1, (48, 64), generator=drawn, dtype=torch.int8)
    rows = torch.randint(-LEVELS, LEVELS + 1, (33, 64), generator=drawn, dtype=torch.int8)
    numbers[0], rows[0], rows[1] = LEVELS, LEVELS, -LEVELS
    try:
        found = make(numbers, torch.ones(len(numbers)))(rows)
    except (AttributeError, NotImplementedError, RuntimeError):  # this build of torch does not have it
        return False
    return torch.equal(found.long(), rows.long() @ numbers.long().T)


def lay_on_grid(model: Any) -> None:
    """Let every linear layer of the encoder but its pooler read and multiply on the grid; weights stay the same tensors."""

    def changed(layer: nn.Linear) -> nn.Module:
        with torch.device("meta"):
            found = GridLinear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        found.weight, found.bias = layer.weight, layer.bias
        return found.train(layer.training)

    _replace(model.encoder, changed)


@torch.no_grad()
def settle_on_grid(model: nn.Module) -> None:
    """Round the weights themselves, for good; the function stays the same."""
    for module in model.modules():
        if isinstance(module, GridLinear):
            module.weight.copy_(on_grid(module.weight))


def serve_int8(model: Any) -> None:
    """Compute an encoder whose weights lie on the grid in whole numbers on a CPU, or in floats where nothing else adds up."""
    kernel = known_kernel()
    if kernel and next(model.encoder.parameters()).device.type == "cpu":
        _replace(model.encoder, lambda layer: Int8Linear(layer, kernel))
    else:
        lay_on_grid(model)


def _replace(encoder: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> None:
    kinds = (nn.Linear, GridLinear)
    places = [name for name, part in encoder.named_modules() if type(part) in kinds and "pooler" not in name]
    for name in places:
        parent, _, last = name.rpartition(".")
        layer = cast(nn.Linear, encoder.get_submodule(name))
        setattr(encoder.get_submodule(parent), last, make(layer))


def projected(parts: Sequence[nn.Module], hidden: Tensor) -> Tensor:
    """What several layers make of the same tokens [T, I], side by side: by one product, or from tokens rounded once."""
    kinds = {type(part) for part in parts}
    if kinds == {Int8Linear}:
        rows = Rows(hidden)
        return torch.cat([cast(Int8Linear, part).by_rows(rows) for part in parts], dim=-1)
    if kinds not in ({nn.Linear}, {GridLinear}):  # an adapter stands in between
        return torch.cat([part(hidden) for part in parts], dim=-1)
    layers = cast(Sequence[nn.Linear], parts)
    weight, bias = torch.cat([part.weight for part in layers]), torch.cat([part.bias for part in layers])
    if kinds == {GridLinear}:
        hidden, weight = rounded(hidden), rounded(weight)
    return F.linear(hidden, weight, bias)


def weights_of(model: nn.Module) -> tuple[int, int]:
    """(how many weights a loaded network has, the bytes they take)."""
    parts = [part for part in model.modules() if isinstance(part, Int8Linear)]
    whole = sum(part.sizes[0] * part.sizes[1] for part in parts)
    scales = sum(part.sizes[0] for part in parts)
    floats = [*model.parameters(), *(part.bias for part in parts if part.bias is not None)]
    count = whole + sum(tensor.numel() for tensor in floats)
    return count, whole + 4 * scales + sum(tensor.numel() * tensor.element_size() for tensor in floats)

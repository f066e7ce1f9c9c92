"""Where a token stands: learned, sinusoidal or rotary.

Attention alone sees a set: a permuted sentence gives permuted outputs. Positions break that symmetry.

Sinusoidal (Vaswani et al. 2017, section 3.5), for position t and pair i of D/2, interleaved:

    P[t, 2i] = sin(t / 10000^(2i/D))        P[t, 2i+1] = cos(t / 10000^(2i/D))

The exponent depends on the dimension i: one frequency for all dimensions is a usual mistake and leaves most of the
vector saying the same thing.

Rotary (Su et al. 2021): the pair (x_i, x_{i+d/2}) of a query or key is turned by the angle t * theta_i,

    theta_i = base^(-2i/d)        R_t x = x cos(t theta) + half_turn(x) sin(t theta)

so that the product of a query at t and a key at s depends on t - s only: (R_t q)(R_s k) = q R_{s-t} k.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor

from engine.gpt.config import GptConfig, RopeScaling


def sinusoidal(context_tokens: int, width: int) -> Tensor:
    """The table P, [T, D]."""
    time = torch.arange(context_tokens, dtype=torch.float64)[:, None]  # [T, 1]
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)  # [D/2]
    table = torch.empty(context_tokens, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(time * frequency)
    table[:, 1::2] = torch.cos(time * frequency)
    return table.float()


def rotary_frequencies(config: GptConfig) -> Tensor:
    """theta_i, [d/2], stretched when the config asks for longer contexts."""
    steps = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
    frequency = 1.0 / config.rope_theta**steps
    if config.rope_scaling is None:
        return frequency
    return _stretched(frequency, config.rope_scaling)


def rotation(frequency: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """(cos, sin) of the angles, [N, d] each, for positions [N]; both halves of a head turn by the same angles."""
    angle = positions[:, None].float() * frequency  # [N, d/2]
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def rotate(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """R_t applied to every head: vectors [N, H, d], cos and sin [N, d]."""
    return cast(Tensor, _Rotation.apply(vectors, cos, sin))  # type: ignore[no-untyped-call]


class _Rotation(torch.autograd.Function):
    """The gradient of a turn is the turn back; both in fewer passes over memory than step by step."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(vectors, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(outer[0], cos, sin, -1.0), None, None


def _turned(vectors: Tensor, cos: Tensor, sin: Tensor, way: float) -> Tensor:
    """x cos + half_turn(x) sin, half_turn((a, b)) = (-b, a); backwards for way = -1."""
    half = vectors.shape[-1] // 2
    first, second = vectors[..., :half], vectors[..., half:]
    turned = vectors * cos[:, None]
    turned[..., :half].addcmul_(second, sin[:, None, :half], value=-way)
    turned[..., half:].addcmul_(first, sin[:, None, half:], value=way)
    return turned


def _stretched(frequency: Tensor, scaling: RopeScaling) -> Tensor:
    """Linear: every wave `factor` times longer. Llama 3.1: waves longer than the old context only, blended between."""
    if scaling.kind == "linear":
        return frequency / scaling.factor
    wave = 2 * math.pi / frequency
    longest = scaling.original_context_tokens / scaling.low_frequency_factor
    shortest = scaling.original_context_tokens / scaling.high_frequency_factor
    share = scaling.original_context_tokens / wave - scaling.low_frequency_factor
    share = share / (scaling.high_frequency_factor - scaling.low_frequency_factor)
    blended = (1 - share) * frequency / scaling.factor + share * frequency
    slow = torch.where(wave > longest, frequency / scaling.factor, frequency)
    between = (wave <= longest) & (wave >= shortest)
    return torch.where(between, blended, slow)

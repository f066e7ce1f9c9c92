"""What a forward pass is computed in, and whether its middle is kept or made again on the way back."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.utils.checkpoint
from torch import nn

from engine.failures import RunFailed
from words import say


def prepare(model: nn.Module, precision: str, *, recompute: bool) -> None:
    """Remember on the model how its forward passes are computed; RunFailed where the GPU has no bf16 and it is asked for."""
    device = next(model.parameters()).device
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise RunFailed("not_together", say("This GPU does not compute in bf16."), say("Choose precision “auto”."))
    cast(Any, model).precision = precision
    for module in model.modules():
        if hasattr(module, "recomputes"):
            cast(Any, module).recomputes = recompute
        if recompute and getattr(module, "supports_gradient_checkpointing", False):
            cast(Any, module).activation_checkpointing_enable({"use_reentrant": False})


def mixed(model: nn.Module) -> torch.autocast:
    """The context of a forward pass: bf16 where the run asked for it, else fp32; weights are fp32 either way."""
    wanted = getattr(model, "precision", "auto")
    device = next(model.parameters()).device.type
    has = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device, dtype=torch.bfloat16, enabled=wanted == "bf16" or (wanted == "auto" and has))


def through(layer: Callable[..., Any], *given: Any, again: bool) -> Any:
    """What `layer` gives; with `again` its middle is not kept but computed again for the gradients.

    T. Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost. Dropout draws the same values both times.
    """
    if not (again and torch.is_grad_enabled()):
        return layer(*given)
    return torch.utils.checkpoint.checkpoint(layer, *given, use_reentrant=False)

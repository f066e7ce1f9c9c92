"""Fully sharded weights by torch's FSDP2: each process holds a share of every matrix and sees it whole only when needed.

The functions do nothing to a network and to tensors that are not sharded, so callers need not ask. Only a process of a
group can hold shares; a process alone never loads torch's sharding, which costs it a second.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


def shard(
    model: nn.Module, optimiser: torch.optim.Optimizer, names: Mapping[nn.Parameter, str], processes: int
) -> dict[nn.Parameter, str]:
    """Cut `model` in place, let the fresh optimiser move the shares, and return the trained ones with their names.

    The blocks of our GPT are gathered one by one; of other networks everything is gathered for a step, and gradients and
    optimiser are shared. Gradients are summed over processes, not averaged.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    device = next(model.parameters()).device.type
    mesh = init_device_mesh(device, (processes,))
    for block in getattr(model, "blocks", ()):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if hasattr(model, "packed"):
        register_fsdp_forward_method(model, "packed")
    for module in _sharded(model):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    known = dict(model.named_parameters())
    for group in optimiser.param_groups:
        group["params"] = [known[names[parameter]] for parameter in group["params"]]
    return {known[name]: name for name in names.values()}


def settle(model: nn.Module) -> None:
    """Forget what was gathered to read with: weights may change now."""
    for module in _sharded(model):
        module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The tensor with the shares of all processes, on all of them."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share(tensor: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor, which all processes hold, what belongs to this one as of `like`."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _sharded(model: nn.Module) -> "list[FSDPModule]":
    if not dist.is_initialized():
        return []
    from torch.distributed.fsdp import FSDPModule

    return [cast(FSDPModule, module) for module in model.modules() if isinstance(module, FSDPModule)]

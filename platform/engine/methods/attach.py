"""Put a method's small module into a network and say what a run must do with it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from engine.methods.anatomy import Anatomy, anatomy_of
from engine.methods.bottleneck import Bottleneck, insert_bottlenecks
from engine.methods.low_rank import RankBudget, inject, peft_config
from engine.methods.virtual import VirtualTokens
from engine.specs.methods import MERGEABLE, VIRTUAL, MethodOptions


@dataclass
class Attached:
    """What was added to `network`; only that is trained."""

    network: nn.Module
    options: MethodOptions
    anatomy: Anatomy
    tuner: Any = None  # peft's, for the LoRA family and IA3
    virtual: VirtualTokens | None = None
    bottlenecks: dict[str, Bottleneck] = field(default_factory=dict)
    budget: RankBudget | None = None

    def begin(self, total_steps: int) -> None:
        """Called once the number of steps is known."""
        if self.budget is not None:
            self.budget.begin(total_steps)

    def before_step(self) -> None:
        """Called when a step's gradients are complete."""
        if self.budget is not None:
            self.budget.before_step()

    def after_step(self, step: int) -> None:
        """Called after the optimiser's step, while gradients are still there."""
        if self.budget is not None:
            self.budget.after_step(step)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold besides weights."""
        return self.budget.tensors() if self.budget is not None else {}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from what `tensors` gave."""
        if self.budget is not None:
            self.budget.restore(saved)

    @property
    def can_merge(self) -> bool:
        """Whether what was learnt can be written into the weights."""
        return self.tuner is not None

    def merge(self) -> None:
        """Write what was learnt into the weights where that is possible; the network is then as plain as it came."""
        if self.tuner is None:
            return
        self.tuner.merge_and_unload()
        if hasattr(self.network, "peft_config"):
            del self.network.peft_config


def attach(network: nn.Module, options: MethodOptions) -> Attached:
    """Freeze `network` and put the module of `options.method` into it.

    Virtual tokens become its attribute `virtual`, which our packed forwards read. RunFailed("not_together") for an
    architecture whose matrices are not known.
    """
    anatomy = anatomy_of(network)
    found = Attached(network, options, anatomy)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    if options.method in MERGEABLE:
        found.tuner = inject(network, peft_config(options, anatomy))
        if options.method == "adalora":
            found.budget = RankBudget(found.tuner)
    elif options.method in VIRTUAL:
        found.virtual = VirtualTokens(options.method, options.virtual_tokens, anatomy)
        network.virtual = found.virtual
    else:
        found.bottlenecks = insert_bottlenecks(
            network, anatomy.outputs(), width=anatomy.width, inner=options.bottleneck_width
        )
    device = next(network.parameters()).device
    if device.type != "meta":
        network.to(device)
    return found


def plain_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict under the names it has without virtual tokens and bottlenecks, whose own tensors are left out."""
    return {
        re.sub(r"\.base\.(weight|bias)$", r".\1", name): tensor
        for name, tensor in state.items()
        if ".bottleneck." not in name and "virtual." not in name
    }


def added_parameters(network: nn.Module) -> int:
    """Numbers that a run would train in `network` after `attach`."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)

"""Which weights a run trains: all of them, the head, or a small module beside the frozen ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.specs.fields import option
from engine.specs.problems import Problem
from words import say

LOW_RANK = ("lora", "rslora", "dora", "adalora")
MERGEABLE = (*LOW_RANK, "ia3")  # what they learn can be written into the weights
VIRTUAL = ("prefix", "p_tuning", "prompt")  # they put virtual tokens before the text
ADAPTERS = (*MERGEABLE, *VIRTUAL, "bottleneck")
METHODS = ("full", "frozen", *ADAPTERS)
_OF_LOW_RANK = ("method", LOW_RANK)


@dataclass(frozen=True)
class MethodOptions:
    """The method and the size of what it adds; an option of another method is not looked at."""

    method: str = option(
        "full",
        "Which weights are trained: all, the head only, or a small module beside the frozen ones",
        choices=METHODS,
    )
    adapter_rank: int = option(
        8,
        "LoRA family: rank of the update; AdaLoRA starts at half as much again",
        minimum=1,
        maximum=1024,
        when=_OF_LOW_RANK,
    )
    adapter_alpha: float = option(
        16.0,
        "LoRA family: the update is scaled by alpha / rank (rsLoRA: alpha / sqrt(rank))",
        minimum=0.01,
        maximum=4096,
        when=_OF_LOW_RANK,
    )
    adapter_dropout: float = option(
        0.0, "LoRA family: share of input values dropped before the update", minimum=0, maximum=0.9, when=_OF_LOW_RANK
    )
    adapter_targets: str = option(
        "all",
        "LoRA family: which matrices of each layer are updated",
        choices=("query_value", "attention", "all"),
        when=_OF_LOW_RANK,
    )
    adapter_learning_rate: float = option(
        1e-3, "Peak learning rate of what an adapter method adds", minimum=0, maximum=10, when=("method", ADAPTERS)
    )
    virtual_tokens: int = option(
        20, "Prefix, P- and prompt tuning: number of virtual tokens", minimum=1, maximum=1024, when=("method", VIRTUAL)
    )
    bottleneck_width: int = option(
        64,
        "Bottleneck adapter: width between its two matrices",
        minimum=1,
        maximum=8192,
        when=("method", ("bottleneck",)),
    )

    @property
    def is_adapter(self) -> bool:
        """Whether the base's own weights stay as they are."""
        return self.method in ADAPTERS

    def method_problems(self, recipe: str) -> list[Problem]:
        """Why the recipe refuses the method, if it does."""
        reason = refused(recipe, self.method)
        return [Problem("not_together", "method", reason, say("Choose another method."))] if reason else []


def refused(recipe: str, method: str) -> str:
    """The sentence why a recipe does not take a method, "" when it does."""
    return REFUSED.get(recipe, {}).get(method, "")


_NO_HEAD = say("This recipe trains no head of its own, so a frozen model would learn nothing.")
_FROM_SCRATCH = say("A model that starts from random weights must train all of them.")
REFUSED: Mapping[str, Mapping[str, str]] = {
    "pretrain": {method: _FROM_SCRATCH for method in METHODS if method != "full"},
    "sft": {"frozen": _NO_HEAD},
    "distil_text": {"frozen": _NO_HEAD},
    "prefer": {"frozen": _NO_HEAD},
    "embed": {"frozen": _NO_HEAD},
}
"""recipe -> method -> why not; what is not named here goes together."""

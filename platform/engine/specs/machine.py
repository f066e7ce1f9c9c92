"""Options of how a run is computed: processes, what they share, number format, memory against time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.specs.fields import option
from engine.specs.problems import Problem
from words import say


@dataclass(frozen=True)
class MachineOptions:
    """What a result does not depend on, but for rounding."""

    processes: int = option(
        0,
        "Processes that share the rows of every step; 0 takes one for each GPU, and one without a GPU",
        minimum=0,
        maximum=64,
        later=True,
    )
    sharding: str = option(
        "replicated",
        "What each of several processes holds: everything (data parallel), or its share of weights, gradients and "
        "optimiser (fully sharded)",
        choices=("replicated", "sharded"),
        later=True,
    )
    precision: str = option(
        "auto",
        "Numbers of the forward pass; weights and optimiser stay fp32; auto takes bf16 on a GPU that has it",
        choices=("auto", "fp32", "bf16"),
        later=True,
    )
    gradient_checkpointing: bool = option(
        False,
        "Keep only what enters each layer and compute the rest again on the way back: less memory, more time",
        later=True,
    )


def rows_at_once(spec: Any, micro_batch: int | None, processes: int) -> int:
    """The most rows (sequences, pairs) in a micro-batch of one of so many processes."""
    share = -(-spec.batch_size * getattr(spec, "gradient_accumulation", 1) // max(1, processes))
    return int(min(spec.batch_size, micro_batch or spec.batch_size, share))


def machine_problems(recipe: str, spec: Any) -> list[Problem]:
    """What of these options the recipe, or the method, does not take."""
    found = []
    if spec.processes > 1 and recipe not in SPLITS_STEPS:
        found.append(Problem("not_together", "processes", _WHOLE_STEPS, say("Set processes to 0 or 1.")))
    if spec.sharding == "sharded":
        found += [
            Problem("not_together", "sharding", reason, say("Choose sharding “replicated”."))
            for reason in [
                refused_sharding(recipe, getattr(spec, "method", "full"), spec.processes)
                or (_SMALL_MODULE if getattr(spec, "keep", "none") in PULLED else "")
            ]
            if reason
        ]
    return found


def refused_sharding(recipe: str, method: str = "full", processes: int = 0) -> str:
    """The sentence why weights are not sharded, "" when they are."""
    if recipe not in SHARDED:
        return SHARDING_REFUSED.get(recipe, _WHOLE_STEPS)
    if method not in SHARDED_METHODS:
        return _SMALL_MODULE
    return _ONE_PROCESS if processes == 1 else ""


SPLITS_STEPS = ("classify", "distil", "tag", "extract", "rerank", "sft", "distil_text", "prefer", "pretrain")
"""Recipes whose step is a sum over rows, so that several processes can share it."""
SHARDED = ("classify", "distil", "sft", "distil_text", "pretrain")
PULLED = ("l2_sp", "ewc")  # towards earlier weights, which are held whole
SHARDED_METHODS = ("full", "lora", "rslora")
_WHOLE_STEPS = say("A step of this recipe cannot be divided among processes.")
_SMALL_MODULE = say("This method changes weights, or reads them, in a way that does not work on shares of them.")
_ONE_PROCESS = say("One process has nobody to share weights with.")
_OWN_FORWARD = say("This recipe reads its network in a way that does not work on shares of the weights.")
SHARDING_REFUSED: Mapping[str, str] = dict.fromkeys(("tag", "extract", "rerank", "prefer"), _OWN_FORWARD)

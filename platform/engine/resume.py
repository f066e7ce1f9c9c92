"""Where a run is, what it must not change, and when it must give up: shared by all recipes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.failures import RunFailed
from engine.memory import peak_memory_bytes
from engine.report import Report
from words import say

CONTRACT = ("recipe", "spec_hash", "data_hash", "earlier_data", "labels", "vocabulary_hash")


@dataclass
class Cursor:
    """Where the run is: everything a resume needs besides tensors."""

    epoch: int = 0
    position: int = 0  # optimiser steps done in this epoch
    step: int = 0
    tokens_seen: int = 0
    best_metric: float | None = None
    best_epoch: int = -1
    epochs_without_better: int = 0  # measurements, where an epoch holds several
    history: list[dict[str, float]] = field(default_factory=list)
    seconds_before: float = 0.0  # of training in earlier attempts, up to their last checkpoint

    def is_best(self, value: float, epoch: int) -> bool:
        """Whether `value` beats every epoch before; remembers it, or counts one more epoch without a better one."""
        better = self.best_metric is None or value > self.best_metric
        if not (math.isfinite(value) and better):
            self.epochs_without_better += 1
            return False
        self.best_metric, self.best_epoch, self.epochs_without_better = value, epoch, 0
        return True

    def told(self, seconds: float) -> dict[str, Any]:
        """What a result says of the way to it, which took `seconds` in this attempt and some in those before."""
        return {
            "best_epoch": self.best_epoch + 1,
            "history": self.history,
            "steps": self.step,
            "tokens_seen": self.tokens_seen,
            "seconds": self.seconds_before + seconds,
            "memory_bytes": peak_memory_bytes(),
        }


def not_finite(rows: Sequence[int], step: int) -> RunFailed:
    """The failure of a loss that is no number any more."""
    return RunFailed(
        "loss_not_finite",
        say("The loss was not a finite number at step {step}.", step=step + 1),
        say("Lower the learning rate, and look at the named rows."),
        rows,
    )


def check_contract(saved: dict[str, Any], wanted: dict[str, Any], report: Report) -> None:
    """Refuse a checkpoint of another spec, dataset or recipe; warn where bit-equality is lost."""
    for name in CONTRACT:
        if saved.get(name) != wanted.get(name):
            raise RunFailed(
                "checkpoint_mismatch",
                say("The checkpoint was written by a run with another {name}.", name=name),
                say("Start a new run instead."),
            )
    saved = {"processes": 1, **saved}  # not said by checkpoints that are older than several processes
    for name in ("threads", "micro_batch", "processes"):
        if saved.get(name) != wanted.get(name):
            report.log(
                "warning",
                say(
                    "{name} differs from the checkpoint ({saved} -> {wanted}); not bit-equal",
                    name=name,
                    saved=saved.get(name),
                    wanted=wanted[name],
                ),
            )

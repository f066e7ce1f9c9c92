"""Options that every recipe has: splits, checkpoints, the seed, and how it is computed."""

from dataclasses import dataclass
from typing import Protocol

from engine.specs.fields import option
from engine.specs.machine import MachineOptions
from engine.specs.problems import Problem
from words import say


class Spec(Protocol):
    """What the platform needs to know of any recipe's spec; specs are frozen dataclasses."""

    @property
    def train_split(self) -> str:
        """The split to learn from."""

    @property
    def seed(self) -> int:
        """The seed of all that is drawn."""

    def problems(self) -> list[Problem]:
        """Everything that is wrong with the spec."""


@dataclass(frozen=True)
class RunOptions(MachineOptions):
    """Where rows come from, what survives a kill, and the seed."""

    train_split: str = option("train", "Name of the split to learn from")
    dev_split: str = option("dev", "Name of the split that chooses the best epoch")
    test_split: str = option("test", "Name of the split that is measured once at the end")
    holdout_share: float = option(
        0.1,
        "Share of train held out as dev when the dataset has no dev split; 0 learns from all and keeps the last epoch",
        minimum=0,
        maximum=0.5,
    )
    checkpoint_every_steps: int = option(
        0, "Save a checkpoint every so many optimiser steps; 0 saves by time only", minimum=0, maximum=1_000_000
    )
    checkpoint_every_seconds: int = option(
        120, "Save a checkpoint when the last one is older than this", minimum=1, maximum=86_400
    )
    seed: int = option(17, "Seed of shuffling, dropout and new weights", minimum=0, maximum=2**31 - 1)

    def run_problems(self) -> list[Problem]:
        """Splits that are empty, or not three different ones."""
        splits = {"train_split": self.train_split, "dev_split": self.dev_split, "test_split": self.test_split}
        found = [
            Problem("required", name, say("{name} is empty.", name=name), say("Give the name of a split."))
            for name, value in splits.items()
            if not value
        ]
        if len(set(splits.values())) < 3:
            found.append(
                Problem(
                    "same_split",
                    "dev_split",
                    say("Training, dev and test must be three different splits."),
                    say("A split used twice makes the figures worthless."),
                )
            )
        return found

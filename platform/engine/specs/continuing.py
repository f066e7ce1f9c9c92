"""Going on from a model version: what a run does so that the version forgets less of what it learnt before."""

from dataclasses import dataclass
from typing import Any

from engine.specs.fields import option
from engine.specs.problems import Problem
from words import say

KEEPS = ("none", "replay", "l2_sp", "ewc", "adapter_per_task")
REHEARSING = ("replay", "ewc")  # what reads rows of earlier tasks
HOLDING = ("l2_sp", "ewc")  # what pulls the weights back to where they began
CONTINUED = ("base_model", ("version:*",))


@dataclass(frozen=True)
class ContinueOptions:
    """Options that matter only for a run whose base is a model version."""

    keep: str = option(
        "none",
        "What is done so that the base version forgets less: nothing, rows of its earlier tasks in each step, a pull to "
        "its weights (L2-SP), that pull where the earlier tasks need it (EWC), or an adapter of its own for each task",
        choices=KEEPS,
        when=CONTINUED,
        later=True,
    )
    replay_share: float = option(
        0.2,
        "Share of each step's rows that are drawn from earlier tasks",
        minimum=0.01,
        maximum=0.9,
        when=("keep", ("replay",)),
        later=True,
    )
    earlier_data: str = option(
        "",
        "Numbers of the dataset versions that hold the earlier tasks, separated by commas; empty takes what the base "
        "version and its own bases learnt from",
        when=("keep", REHEARSING),
        later=True,
    )
    l2_sp_alpha: float = option(
        0.1,
        "L2-SP: strength of the pull to the base version's weights",
        minimum=0,
        maximum=1e6,
        when=("keep", ("l2_sp",)),
        later=True,
    )
    l2_sp_beta: float = option(
        0.01,
        "L2-SP: strength of the pull to zero for outputs that the base version does not have",
        minimum=0,
        maximum=1e6,
        when=("keep", ("l2_sp",)),
        later=True,
    )
    ewc_lambda: float = option(
        100_000.0,
        "EWC: strength of the pull, multiplied by what each weight means to the earlier tasks",
        minimum=0,
        maximum=1e12,
        when=("keep", ("ewc",)),
        later=True,
    )
    fisher_rows: int = option(
        200,
        "EWC: rows of earlier tasks on which the meaning of each weight is estimated",
        minimum=1,
        maximum=100_000,
        when=("keep", ("ewc",)),
        later=True,
    )

    @property
    def rehearses(self) -> bool:
        """Whether rows of earlier tasks are read."""
        return self.keep in REHEARSING

    def earlier_numbers(self) -> list[int]:
        """The dataset versions that are named, in their order, each once; what is no number is left out."""
        parts = [part.strip() for part in self.earlier_data.split(",")]
        return list(dict.fromkeys(int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19))

    def continue_problems(self) -> list[Problem]:
        """What does not go together with going on from a version."""
        spec: Any = self
        found = []
        named = [part for part in self.earlier_data.split(",") if part.strip()]
        if len(named) != len(self.earlier_numbers()):
            found.append(
                Problem(
                    "bad_name",
                    "earlier_data",
                    say("“{names}” are not numbers of dataset versions.", names=self.earlier_data),
                    say("Write them like 12, 15, each once."),
                )
            )
        if self.keep != "none" and spec.base_model.kind != "version":
            found.append(
                Problem(
                    "not_together",
                    "keep",
                    say("Only a run that starts from a model version has something to keep."),
                    say("Choose a model version as the base model, or set keep to none."),
                )
            )
        if self.keep == "adapter_per_task" and not spec.is_adapter:
            found.append(
                Problem(
                    "not_together",
                    "method",
                    say("One adapter for each task needs a method that trains an adapter."),
                    say("Choose LoRA or another adapter method."),
                )
            )
        if self.keep == "replay" and spec.batch_size * getattr(spec, "gradient_accumulation", 1) < 2:
            found.append(
                Problem(
                    "not_together",
                    "replay_share",
                    say("A step of one row has no room for rows of earlier tasks."),
                    say("Raise batch_size or gradient_accumulation."),
                )
            )
        if self.keep in HOLDING and spec.method != "full":
            found.append(
                Problem(
                    "not_together",
                    "keep",
                    say("L2-SP and EWC hold the weights of the base version, which this method does not train."),
                    say("Train all weights, or choose replay."),
                )
            )
        return found


@dataclass(frozen=True)
class LabelledContinueOptions(ContinueOptions):
    """The same for recipes whose versions know labels."""

    known_labels: str = option(
        "keep",
        "Labels that the base version knows: their outputs go on beside those of the new labels, or give way to a new head",
        choices=("keep", "replace"),
        when=CONTINUED,
        later=True,
    )

    @property
    def keeps_labels(self) -> bool:
        """Whether the head of the base version, if there is one, goes on; each task of its own adapter has its own."""
        spec: Any = self
        return spec.base_model.kind == "version" and self.known_labels == "keep" and self.keep != "adapter_per_task"

    def continue_problems(self) -> list[Problem]:
        """As above, and rows of labels that a new head would not know."""
        found = super().continue_problems()
        if self.known_labels == "replace" and self.rehearses:
            found.append(
                Problem(
                    "not_together",
                    "known_labels",
                    say("Rows of earlier tasks need the outputs of their labels."),
                    say("Set known_labels to keep."),
                )
            )
        return found

"""The spec of fine-tuning a text classifier from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.continuing import LabelledContinueOptions
from engine.specs.encoder import HeadOptions
from engine.specs.fields import again, bound_problems, option
from engine.specs.problems import Problem
from words import say


@dataclass(frozen=True)
class ClassifySpec(LabelledContinueOptions, HeadOptions):
    """Options of the recipe "classify"; the defaults were chosen on held-out training rows of a public set."""

    multi_label: bool = option(
        False, "A text may carry any number of labels (sigmoid) instead of exactly one (softmax)"
    )
    pooling: str = option(
        "auto",
        "How token vectors become one text vector: their mean, or the architecture's own way; "
        "auto takes the mean where the architecture allows it",
        choices=("auto", "mean", "native"),
    )
    max_length_tokens: int = option(128, "Longer texts are cut to this many tokens", minimum=4, maximum=8192)
    epochs: int = again(HeadOptions, "epochs", 5)
    learning_rate: float = again(HeadOptions, "learning_rate", 2.5e-4)
    layer_decay: float = again(HeadOptions, "layer_decay", 0.8)
    schedule: str = again(HeadOptions, "schedule", "constant")
    batch_size: int = again(HeadOptions, "batch_size", 32)
    token_dropout: float = option(
        0.1, "Share of input tokens hidden behind the mask token while training", minimum=0, maximum=0.9
    )
    label_smoothing: float = option(0.0, "Share of the target spread over all labels", minimum=0, maximum=0.5)
    head_start: str = option(
        "random",
        "Where the head starts: fitted on the frozen encoder (a linear probe), or at random",
        choices=("probe", "random"),
    )
    consistency: float = option(
        0.0,
        "Weight of the agreement between two dropout passes (R-Drop); doubles the cost when above 0",
        minimum=0,
        maximum=10,
    )
    average_decay: float = again(HeadOptions, "average_decay", 0.998)
    best_metric: str = option(
        "accuracy", "Dev metric that chooses the best epoch", choices=("accuracy", "macro_f1", "loss")
    )
    decision_threshold: float = option(
        0.5, "Multi-label only: a label is given from this probability on", minimum=0.01, maximum=0.99
    )

    outside_label: str = option(
        "",
        "The label of texts that are about none of the others: it is not learnt as one of them, but given where no other "
        "fits; its training rows teach not to be sure",
        later=True,
    )
    outside_share: float = option(
        0.02,
        "Share of the dev texts about one of the labels that may be turned away: it sets the bound",
        minimum=0,
        maximum=0.5,
        later=True,
    )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self) + self.encoder_problems("classify") + self.continue_problems()
        if self.multi_label and self.consistency > 0:
            found.append(
                Problem(
                    "not_together",
                    "consistency",
                    say("consistency is defined for single-label texts."),
                    say("Set consistency to 0."),
                )
            )
        if self.multi_label and self.outside_label:
            found.append(
                Problem(
                    "not_together",
                    "outside_label",
                    say("Where a text may carry any number of labels, one about none of them carries no label."),
                    say("Leave outside_label empty."),
                )
            )
        if self.multi_label and self.label_smoothing > 0:
            found.append(
                Problem(
                    "not_together",
                    "label_smoothing",
                    say("label_smoothing is defined for single-label texts."),
                    say("Set label_smoothing to 0."),
                )
            )
        return found

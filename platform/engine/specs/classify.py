"""The spec of fine-tuning a text classifier from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.continuing import LabelledContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()


@dataclass(frozen=True)
class ClassifySpec(LabelledContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "classify"; the defaults were chosen on held-out training rows of a public set."""

    base_model: BaseModel = option(DEFAULT_BASE, "Pretrained encoder to start from")
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
    epochs: int = option(5, "Passes over the training split", minimum=1, maximum=200)
    learning_rate: float = option(2.5e-4, "Peak learning rate of the encoder's top layer", minimum=0, maximum=1)
    head_learning_rate: float = option(2e-3, "Peak learning rate of the classification head", minimum=0, maximum=10)
    layer_decay: float = option(
        0.8, "Each layer below the top learns this many times slower than the one above", minimum=0.1, maximum=1
    )
    schedule: str = option(
        "constant", "How the learning rate falls after the warm-up", choices=("linear", "cosine", "constant")
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.01, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    batch_size: int = option(32, "Texts in one micro-batch", minimum=1, maximum=4096)
    max_batch_tokens: int = option(
        8192, "A micro-batch is split when its texts hold more tokens than this", minimum=16, maximum=1_000_000
    )
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    dropout: float = option(0.1, "Share of values dropped in the encoder and before the head", minimum=0, maximum=0.9)
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
    average_decay: float = option(
        0.998,
        "Decay per step of the moving average of weights that is kept as the model; 0 keeps the last weights",
        minimum=0,
        maximum=0.9999,
    )
    best_metric: str = option(
        "accuracy", "Dev metric that chooses the best epoch", choices=("accuracy", "macro_f1", "loss")
    )
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a better dev metric; 0 never stops early", minimum=0, maximum=100
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
        found = bound_problems(self)
        if self.base_model.is_new:
            found.append(no_new_network())
        found += self.run_problems() + self.method_problems("classify") + self.continue_problems()
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
        if self.method == "full" and self.learning_rate == 0:
            found.append(
                Problem(
                    "not_together",
                    "learning_rate",
                    say("With learning_rate 0 the encoder learns nothing."),
                    say("Raise it, or choose method “frozen”."),
                )
            )
        return found

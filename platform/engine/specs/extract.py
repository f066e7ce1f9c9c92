"""The spec of fine-tuning a reader, which finds the answer to a question in a passage, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.common import RunOptions
from engine.specs.continuing import ContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()


@dataclass(frozen=True)
class ExtractSpec(ContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "extract"."""

    base_model: BaseModel = option(DEFAULT_BASE, "Pretrained encoder to start from")
    max_length_tokens: int = option(
        384, "Question and passage together; longer passages are read in windows", minimum=16, maximum=8192
    )
    stride_tokens: int = option(128, "Tokens that neighbouring windows share", minimum=0, maximum=4096)
    max_answer_tokens: int = option(30, "Longest answer in tokens", minimum=1, maximum=1024)
    no_answer_margin: float = option(
        0.0,
        "Where some training questions have no answer: “no answer” is given when it scores this much above the best one",
        minimum=-100,
        maximum=100,
    )
    epochs: int = option(3, "Passes over the training split", minimum=1, maximum=200)
    learning_rate: float = option(2e-4, "Peak learning rate of the encoder's top layer", minimum=0, maximum=1)
    head_learning_rate: float = option(1e-3, "Peak learning rate of the classification head", minimum=0, maximum=10)
    layer_decay: float = option(
        0.9, "Each layer below the top learns this many times slower than the one above", minimum=0.1, maximum=1
    )
    schedule: str = option(
        "linear", "How the learning rate falls after the warm-up", choices=("linear", "cosine", "constant")
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.01, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    batch_size: int = option(16, "Windows in one micro-batch", minimum=1, maximum=4096)
    max_batch_tokens: int = option(
        8192, "A micro-batch is split when its texts hold more tokens than this", minimum=16, maximum=1_000_000
    )
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    dropout: float = option(0.1, "Share of values dropped in the encoder and before the head", minimum=0, maximum=0.9)
    average_decay: float = option(
        0.99,
        "Decay per step of the moving average of weights that is kept as the model; 0 keeps the last weights",
        minimum=0,
        maximum=0.9999,
    )
    best_metric: str = option("f1", "Dev metric that chooses the best epoch", choices=("f1", "exact_match", "loss"))
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a better dev metric; 0 never stops early", minimum=0, maximum=100
    )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if found:
            return found
        if 2 * self.stride_tokens >= self.max_length_tokens:
            found.append(
                Problem(
                    "not_together",
                    "stride_tokens",
                    say("Windows of {length} tokens cannot share that many.", length=self.max_length_tokens),
                    say("Choose less than half of max_length_tokens."),
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
        return found + self.run_problems() + self.method_problems("extract") + self.continue_problems()

"""The spec of fine-tuning a tagger, which marks spans in texts, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.common import RunOptions
from engine.specs.continuing import LabelledContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()


@dataclass(frozen=True)
class TagSpec(LabelledContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "tag"; the defaults were chosen on held-out training rows of a public set."""

    base_model: BaseModel = option(DEFAULT_BASE, "Pretrained encoder to start from")
    unit: str = option(
        "auto",
        "What carries a tag: words (characters in scripts without spaces), or every character; "
        "auto takes characters where most letters are Chinese, Japanese or the like",
        choices=("auto", "word", "character"),
    )
    case_features: str = option(
        "auto",
        "Tell the encoder how each word is written (small, capital, digits); auto does so when the tokenizer "
        "makes all letters small",
        choices=("auto", "on", "off"),
    )
    max_length_tokens: int = option(
        128, "Longer texts are read in windows of this many tokens", minimum=8, maximum=8192
    )
    stride_tokens: int = option(32, "Tokens that neighbouring windows share", minimum=0, maximum=4096)
    epochs: int = option(6, "Passes over the training split", minimum=1, maximum=200)
    learning_rate: float = option(2.5e-4, "Peak learning rate of the encoder's top layer", minimum=0, maximum=1)
    head_learning_rate: float = option(2e-3, "Peak learning rate of the classification head", minimum=0, maximum=10)
    layer_decay: float = option(
        0.9, "Each layer below the top learns this many times slower than the one above", minimum=0.1, maximum=1
    )
    schedule: str = option(
        "linear", "How the learning rate falls after the warm-up", choices=("linear", "cosine", "constant")
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.01, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    batch_size: int = option(16, "Texts in one micro-batch", minimum=1, maximum=4096)
    max_batch_tokens: int = option(
        8192, "A micro-batch is split when its texts hold more tokens than this", minimum=16, maximum=1_000_000
    )
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    dropout: float = option(0.1, "Share of values dropped in the encoder and before the head", minimum=0, maximum=0.9)
    token_dropout: float = option(
        0.05, "Share of input tokens hidden behind the mask token while training", minimum=0, maximum=0.9
    )
    label_smoothing: float = option(0.0, "Share of the target spread over all labels", minimum=0, maximum=0.5)
    average_decay: float = option(
        0.99,
        "Decay per step of the moving average of weights that is kept as the model; 0 keeps the last weights",
        minimum=0,
        maximum=0.9999,
    )
    best_metric: str = option(
        "entity_f1", "Dev metric that chooses the best epoch", choices=("entity_f1", "macro_f1", "loss")
    )
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
        return found + self.run_problems() + self.method_problems("tag") + self.continue_problems()

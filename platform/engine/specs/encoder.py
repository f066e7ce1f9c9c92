"""Options of the recipes that go on from a pretrained encoder; each says its own defaults where they differ."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.fields import option
from engine.specs.methods import MethodOptions, refused
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()


@dataclass(frozen=True)
class EncoderOptions(MethodOptions, RunOptions):
    """Where the weights come from and how they are trained."""

    base_model: BaseModel = option(DEFAULT_BASE, "Pretrained encoder to start from")
    epochs: int = option(3, "Passes over the training split", minimum=1, maximum=200)
    learning_rate: float = option(1e-4, "Peak learning rate of the encoder's top layer", minimum=0, maximum=1)
    layer_decay: float = option(
        0.9, "Each layer below the top learns this many times slower than the one above", minimum=0.1, maximum=1
    )
    schedule: str = option(
        "linear", "How the learning rate falls after the warm-up", choices=("linear", "cosine", "constant")
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.01, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    max_batch_tokens: int = option(
        8192, "A micro-batch is split when its texts hold more tokens than this", minimum=16, maximum=1_000_000
    )
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
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a better dev metric; 0 never stops early", minimum=0, maximum=100
    )

    def encoder_problems(self, recipe: str) -> list[Problem]:
        """No base, splits, a method that does not fit, an encoder that would learn nothing."""
        found = [no_new_network()] if self.base_model.is_new else []
        found += self.run_problems() + self.method_problems(recipe)
        if self.method == "full" and self.epochs and self.learning_rate == 0:
            found.append(
                Problem(
                    "not_together",
                    "learning_rate",
                    say("With learning_rate 0 the encoder learns nothing."),
                    say("Raise it.") if refused(recipe, "frozen") else say("Raise it, or choose method “frozen”."),
                )
            )
        return found


@dataclass(frozen=True)
class HeadOptions(EncoderOptions):
    """With a head of its own on the encoder, and steps of several micro-batches."""

    head_learning_rate: float = option(2e-3, "Peak learning rate of the classification head", minimum=0, maximum=10)
    batch_size: int = option(16, "Texts in one micro-batch", minimum=1, maximum=4096)
    gradient_accumulation: int = option(1, "Micro-batches in one optimiser step", minimum=1, maximum=1024)


@dataclass(frozen=True)
class WindowOptions(HeadOptions):
    """With texts that are read in windows which share tokens."""

    stride_tokens: int = option(32, "Tokens that neighbouring windows share", minimum=0, maximum=4096)

    def window_problems(self, length: int) -> list[Problem]:
        """Windows of so many tokens that would not get on."""
        if 2 * self.stride_tokens < length:
            return []
        return [
            Problem(
                "not_together",
                "stride_tokens",
                say("Windows of {length} tokens cannot share that many.", length=length),
                say("Choose less than half of max_length_tokens."),
            )
        ]

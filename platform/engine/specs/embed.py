"""The spec of training sentence vectors, by contrast, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.continuing import ContinueOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()


@dataclass(frozen=True)
class EmbedSpec(ContinueOptions, MethodOptions, RunOptions):
    """Options of the recipe "embed"; the defaults were chosen on held-out training rows of public sets."""

    base_model: BaseModel = option(DEFAULT_BASE, "Pretrained encoder to start from")
    pooling: str = option(
        "auto",
        "How token vectors become one text vector: their mean, or the first one; auto does as the base model was made",
        choices=("auto", "mean", "first"),
    )
    normalise: bool = option(
        True, "Vectors have length 1, so that similarity is their cosine; without it the dot product"
    )
    max_length_tokens: int = option(128, "Longer texts are cut to this many tokens", minimum=4, maximum=8192)
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
    batch_size: int = option(
        64,
        "Pairs, or texts with a class, in one step: each is told apart from all others of its step",
        minimum=4,
        maximum=65_536,
    )
    max_batch_tokens: int = option(
        8192,
        "Texts of a step are read in portions of at most this many tokens; portions save memory and change nothing else",
        minimum=16,
        maximum=1_000_000,
    )
    temperature: float = option(
        0.05,
        "Similarities are divided by this before the softmax; lower looks harder at the closest",
        minimum=1e-3,
        maximum=10,
    )
    symmetric: bool = option(True, "Pairs only: also find the source by its target among all sources of the step")
    texts_per_class: int = option(
        2, "Classes only: texts of a class that come together into a step", minimum=2, maximum=256
    )
    least_score: float = option(
        0.5,
        "Pairs with a score only: from this score on the two texts belong together; others are negatives of their source",
        minimum=-1000,
        maximum=1000,
    )
    max_gradient_norm: float = option(
        1.0, "Gradients are scaled down to this norm; 0 leaves them", minimum=0, maximum=1000
    )
    dropout: float = option(0.1, "Share of values dropped in the encoder", minimum=0, maximum=0.9)
    average_decay: float = option(
        0.99,
        "Decay per step of the moving average of weights that is kept as the model; 0 keeps the last weights",
        minimum=0,
        maximum=0.9999,
    )
    best_metric: str = option(
        "mrr",
        "Dev metric that chooses the best epoch",
        choices=("mrr", "ndcg", "recall_at_1", "spearman", "loss"),
    )
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a better dev metric; 0 never stops early", minimum=0, maximum=100
    )

    @property
    def head_learning_rate(self) -> float:
        """There is no head: everything that is trained belongs to the encoder."""
        return self.learning_rate

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if self.base_model.is_new:
            found.append(no_new_network())
        if self.texts_per_class > self.batch_size // 2:
            found.append(
                Problem(
                    "not_together",
                    "texts_per_class",
                    say("A step of {batch_size} texts must hold at least two classes.", batch_size=self.batch_size),
                    say("Choose at most half of batch_size."),
                )
            )
        if self.method == "full" and self.learning_rate == 0:
            found.append(
                Problem(
                    "not_together",
                    "learning_rate",
                    say("With learning_rate 0 the encoder learns nothing."),
                    say("Raise it."),
                )
            )
        return found + self.run_problems() + self.method_problems("embed") + self.continue_problems()

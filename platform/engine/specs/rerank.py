"""The spec of training a ranker, which reads a query and a text together, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel, no_new_network
from engine.specs.common import RunOptions
from engine.specs.fields import bound_problems, option
from engine.specs.methods import MethodOptions
from engine.specs.problems import Problem
from words import say

DEFAULT_BASE = BaseModel()
_OF_LISTS = ("loss", ("listwise", "pointwise"))


@dataclass(frozen=True)
class RerankSpec(MethodOptions, RunOptions):
    """Options of the recipe "rerank"; the defaults are usual ones of its kind, not chosen on any data."""

    base_model: BaseModel = option(
        DEFAULT_BASE, "Pretrained encoder to start from; one that already scores pairs goes on with its head"
    )
    pooling: str = option(
        "auto",
        "How token vectors become one vector of the pair: their mean, or the architecture's own way; "
        "auto takes the mean where the architecture allows it",
        choices=("auto", "mean", "native"),
    )
    max_length_tokens: int = option(
        256, "Query and text together; of longer pairs the longer side loses its end", minimum=8, maximum=8192
    )
    loss: str = option(
        "listwise",
        "What is learnt: to choose the right text among its negatives, to say yes or no to each pair, or the scores "
        "that the pairs carry",
        choices=("listwise", "pointwise", "scores"),
    )
    negatives: int = option(
        4, "Texts that do not belong to the query, beside each that does", minimum=1, maximum=256, when=_OF_LISTS
    )
    negatives_from: str = option(
        "lexical",
        "Where these come from: any texts, those most alike by their words (BM25), or by the vectors of the base model",
        choices=("random", "lexical", "vectors"),
        when=_OF_LISTS,
    )
    least_score: float = option(
        0.5,
        "Pairs with a score only: from this score on the two texts belong together; others are negatives of their source",
        minimum=-1000,
        maximum=1000,
    )
    candidates: int = option(
        50,
        "So many texts that a search by words finds for a query are brought into a new order when it is measured",
        minimum=10,
        maximum=1000,
    )
    dev_queries: int = option(
        200,
        "Most dev queries measured after each epoch; the end measures all of them. 0 always measures all",
        minimum=0,
        maximum=1_000_000,
    )
    epochs: int = option(3, "Passes over the training split", minimum=1, maximum=200)
    learning_rate: float = option(1e-4, "Peak learning rate of the encoder's top layer", minimum=0, maximum=1)
    head_learning_rate: float = option(1e-3, "Peak learning rate of the head", minimum=0, maximum=10)
    layer_decay: float = option(
        0.9, "Each layer below the top learns this many times slower than the one above", minimum=0.1, maximum=1
    )
    schedule: str = option(
        "linear", "How the learning rate falls after the warm-up", choices=("linear", "cosine", "constant")
    )
    warmup_share: float = option(0.1, "Share of all steps over which the learning rate rises", minimum=0, maximum=0.9)
    weight_decay: float = option(0.01, "Decoupled weight decay on matrices", minimum=0, maximum=1)
    batch_size: int = option(16, "Queries with their texts in one micro-batch", minimum=1, maximum=4096)
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
    best_metric: str = option(
        "mrr",
        "Dev metric that chooses the best epoch",
        choices=("mrr", "ndcg", "recall_at_1", "spearman", "loss"),
    )
    early_stopping_patience: int = option(
        0, "Stop after this many epochs without a better dev metric; 0 never stops early", minimum=0, maximum=100
    )

    @property
    def learns_lists(self) -> bool:
        """Whether a query is learnt with texts that belong to it and others that do not."""
        return self.loss != "scores"

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if self.base_model.is_new:
            found.append(no_new_network())
        if self.method == "full" and self.learning_rate == 0:
            found.append(
                Problem(
                    "not_together",
                    "learning_rate",
                    say("With learning_rate 0 the encoder learns nothing."),
                    say("Raise it, or choose method “frozen”."),
                )
            )
        return found + self.run_problems() + self.method_problems("rerank")

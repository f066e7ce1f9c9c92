"""The spec of training a ranker, which reads a query and a text together, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.encoder import DEFAULT_BASE, HeadOptions
from engine.specs.fields import bound_problems, option
from engine.specs.problems import Problem

_OF_LISTS = ("loss", ("listwise", "pointwise"))


@dataclass(frozen=True)
class RerankSpec(HeadOptions):
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
    head_learning_rate: float = option(1e-3, "Peak learning rate of the head", minimum=0, maximum=10)
    batch_size: int = option(16, "Queries with their texts in one micro-batch", minimum=1, maximum=4096)
    best_metric: str = option(
        "mrr",
        "Dev metric that chooses the best epoch",
        choices=("mrr", "ndcg", "recall_at_1", "spearman", "loss"),
    )

    @property
    def learns_lists(self) -> bool:
        """Whether a query is learnt with texts that belong to it and others that do not."""
        return self.loss != "scores"

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        return bound_problems(self) + self.encoder_problems("rerank")

"""The spec of training sentence vectors, by contrast, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.continuing import ContinueOptions
from engine.specs.encoder import EncoderOptions
from engine.specs.fields import bound_problems, option
from engine.specs.problems import Problem
from words import say


@dataclass(frozen=True)
class EmbedSpec(ContinueOptions, EncoderOptions):
    """Options of the recipe "embed"; the defaults were chosen on held-out training rows of public sets."""

    pooling: str = option(
        "auto",
        "How token vectors become one text vector: their mean, or the first one; auto does as the base model was made",
        choices=("auto", "mean", "first"),
    )
    normalise: bool = option(
        True, "Vectors have length 1, so that similarity is their cosine; without it the dot product"
    )
    max_length_tokens: int = option(128, "Longer texts are cut to this many tokens", minimum=4, maximum=8192)
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
    dropout: float = option(0.1, "Share of values dropped in the encoder", minimum=0, maximum=0.9)
    best_metric: str = option(
        "mrr",
        "Dev metric that chooses the best epoch",
        choices=("mrr", "ndcg", "recall_at_1", "spearman", "loss"),
    )

    @property
    def head_learning_rate(self) -> float:
        """There is no head: everything that is trained belongs to the encoder."""
        return self.learning_rate

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self) + self.encoder_problems("embed") + self.continue_problems()
        if self.texts_per_class > self.batch_size // 2:
            found.append(
                Problem(
                    "not_together",
                    "texts_per_class",
                    say("A step of {batch_size} texts must hold at least two classes.", batch_size=self.batch_size),
                    say("Choose at most half of batch_size."),
                )
            )
        return found

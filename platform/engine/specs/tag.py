"""The spec of fine-tuning a tagger, which marks spans in texts, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.continuing import LabelledContinueOptions
from engine.specs.encoder import WindowOptions
from engine.specs.fields import again, bound_problems, option
from engine.specs.problems import Problem


@dataclass(frozen=True)
class TagSpec(LabelledContinueOptions, WindowOptions):
    """Options of the recipe "tag"; the defaults were chosen on held-out training rows of a public set."""

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
    epochs: int = again(WindowOptions, "epochs", 6)
    learning_rate: float = again(WindowOptions, "learning_rate", 2.5e-4)
    token_dropout: float = option(
        0.05, "Share of input tokens hidden behind the mask token while training", minimum=0, maximum=0.9
    )
    label_smoothing: float = option(0.0, "Share of the target spread over all labels", minimum=0, maximum=0.5)
    best_metric: str = option(
        "entity_f1", "Dev metric that chooses the best epoch", choices=("entity_f1", "macro_f1", "loss")
    )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if found:
            return found
        found = self.window_problems(self.max_length_tokens) + self.encoder_problems("tag")
        return found + self.continue_problems()

"""The spec of fine-tuning a reader, which finds the answer to a question in a passage, from a pretrained encoder."""

from dataclasses import dataclass

from engine.specs.continuing import ContinueOptions
from engine.specs.encoder import WindowOptions
from engine.specs.fields import again, bound_problems, option
from engine.specs.problems import Problem


@dataclass(frozen=True)
class ExtractSpec(ContinueOptions, WindowOptions):
    """Options of the recipe "extract"."""

    max_length_tokens: int = option(
        384, "Question and passage together; longer passages are read in windows", minimum=16, maximum=8192
    )
    stride_tokens: int = again(WindowOptions, "stride_tokens", 128)
    max_answer_tokens: int = option(30, "Longest answer in tokens", minimum=1, maximum=1024)
    no_answer_margin: float = option(
        0.0,
        "Where some training questions have no answer: “no answer” is given when it scores this much above the best one",
        minimum=-100,
        maximum=100,
    )
    learning_rate: float = again(WindowOptions, "learning_rate", 2e-4)
    head_learning_rate: float = again(WindowOptions, "head_learning_rate", 1e-3)
    batch_size: int = option(16, "Windows in one micro-batch", minimum=1, maximum=4096)
    best_metric: str = option("f1", "Dev metric that chooses the best epoch", choices=("f1", "exact_match", "loss"))

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self)
        if found:
            return found
        found = self.window_problems(self.max_length_tokens) + self.encoder_problems("extract")
        return found + self.continue_problems()

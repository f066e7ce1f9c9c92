"""The spec of learning a classifier from a few labelled texts a class."""

from dataclasses import dataclass

from engine.specs.base_models import BaseModel
from engine.specs.continuing import ContinueOptions
from engine.specs.encoder import DEFAULT_BASE, EncoderOptions
from engine.specs.fields import again, bound_problems, option
from engine.specs.problems import Problem
from words import say

TEXT, LABEL = "{text}", "{label}"
CONTRASTIVE = ("way", ("contrastive",))
VERBALISER = ("way", ("verbaliser",))
MOST_SHOTS = 4096


@dataclass(frozen=True)
class FewShotSpec(ContinueOptions, EncoderOptions):
    """Options of the recipe "few_shot"; the defaults were chosen on training rows of a public set that were not drawn."""

    base_model: BaseModel = option(
        DEFAULT_BASE,
        "Pretrained encoder; the verbaliser takes a model that says words: a masked one or one that writes",
    )
    way: str = option(
        "contrastive",
        "Contrastive: texts of one class are drawn together, then a head is fitted on their vectors; "
        "verbaliser: a pattern asks for a word that stands for the label",
        choices=("contrastive", "verbaliser"),
    )
    shots: int = option(
        0, "Draw this many texts of each class from train; 0 learns from all", minimum=0, maximum=MOST_SHOTS
    )
    curve: str = option(
        "",
        "Learning curve: train and measure also at these counts a class, such as 8,16,32; "
        "each holds the smaller ones, and the largest is kept",
    )
    label_names: bool = option(
        False,
        "The name of each label is learnt as one more text of it, its underscores read as spaces",
        when=CONTRASTIVE,
    )
    temperature: float = option(
        0.07, "Cosines are divided by this before they are compared", minimum=0.001, maximum=10, when=CONTRASTIVE
    )
    texts_per_class: int = option(
        2, "Texts of one class that stand in a batch together", minimum=2, maximum=64, when=CONTRASTIVE
    )
    head: str = option(
        "logistic",
        "What tells the classes apart on the learnt vectors: logistic regression, or the nearest mean of a class",
        choices=("logistic", "centroid"),
        when=CONTRASTIVE,
    )
    head_l2: float = option(
        2e-5, "Logistic regression: weight of the squared norm of its weights", minimum=0, maximum=10, when=CONTRASTIVE
    )
    pattern: str = option(
        f"{TEXT} This is about {LABEL}",
        "How text and word stand together: {text} is the text, {label} the place of the word",
        when=VERBALISER,
    )
    label_words: str = option(
        "",
        "The words of each label, such as positive: good, great; negative: bad. Empty takes the labels' names",
        when=VERBALISER,
    )
    calibrate: bool = option(
        True,
        "Take off what the model says where the text says nothing, so that no label is preferred before training",
        when=VERBALISER,
    )
    max_length_tokens: int = option(128, "Longer texts are cut to this many tokens", minimum=4, maximum=8192)
    epochs: int = option(5, "Passes over the texts drawn; 0 leaves the base model as it is", minimum=0, maximum=1000)
    learning_rate: float = option(1e-4, "Peak learning rate of the base model's top layer", minimum=0, maximum=1)
    schedule: str = again(EncoderOptions, "schedule", "constant")
    batch_size: int = option(64, "Texts of one optimiser step", minimum=2, maximum=4096)
    max_batch_tokens: int = option(
        8192, "A step is read in parts when its texts hold more tokens than this", minimum=16, maximum=1_000_000
    )
    dropout: float = option(0.1, "Share of values dropped in the base model", minimum=0, maximum=0.9)
    token_dropout: float = option(
        0.1,
        "Share of input tokens hidden behind the mask token while training",
        minimum=0,
        maximum=0.9,
        when=CONTRASTIVE,
    )
    base_share: float = option(
        0.5,
        "Share of the base model in the weights that are kept: the mean of both (WiSE-FT) forgets less of what it knew",
        minimum=0,
        maximum=0.99,
    )
    best_metric: str = option(
        "accuracy", "Dev metric that chooses the best epoch", choices=("accuracy", "macro_f1", "loss")
    )

    @property
    def multi_label(self) -> bool:
        """Exactly one label is due."""
        return False

    @property
    def head_learning_rate(self) -> float:
        """What a masked model's own head learns at: as fast as the top layer."""
        return self.learning_rate

    @property
    def counts(self) -> tuple[int, ...]:
        """Texts a class of each training, ascending; (0,) learns once from all. ValueError when the curve is no list."""
        asked = {int(part) for part in self.curve.split(",") if part.strip()} | ({self.shots} - {0})
        return tuple(sorted(asked)) or (0,)

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The words given for labels; ValueError when they are not written as “label: word, word; label: word”."""
        found: dict[str, tuple[str, ...]] = {}
        for part in filter(str.strip, self.label_words.split(";")):
            label, colon, said = part.rpartition(":")
            words = tuple(filter(None, map(str.strip, said.split(","))))
            if not (colon and label.strip() and words) or label.strip() in found:
                raise ValueError(part)
            found[label.strip()] = words
        return found

    def problems(self) -> list[Problem]:
        """Everything that is wrong with this spec, fields first, then what does not go together."""
        found = bound_problems(self) + self.encoder_problems("few_shot") + self._curve_problems()
        found += self.continue_problems() + self._keep_problems()
        if self.way == "verbaliser":
            found += self._verbaliser_problems()
        return found

    def _curve_problems(self) -> list[Problem]:
        try:
            counts = self.counts
        except ValueError:
            counts = (-1,)
        if all(0 <= count <= MOST_SHOTS for count in counts) and (counts == (0,) or 0 not in counts):
            return []
        return [
            Problem(
                "out_of_range",
                "curve",
                say("“{curve}” is no list of counts.", curve=self.curve),
                say("Write counts of texts a class with commas between them, such as 8,16,32,64."),
            )
        ]

    def _keep_problems(self) -> list[Problem]:
        if self.keep == "none" or (self.way == "contrastive" and self.keep != "ewc"):
            return []
        return [
            Problem(
                "not_together",
                "keep",
                say(
                    "Keeping what was learnt is defined for the contrastive way: the verbaliser has no outputs of earlier labels."
                )
                if self.way == "verbaliser"
                else say(
                    "The head is fitted on the vectors afterwards, so no likelihood tells what each weight means, as EWC needs."
                ),
                say("Set keep to none, or choose the way “contrastive” with replay or L2-SP."),
            )
        ]

    def _verbaliser_problems(self) -> list[Problem]:
        found = []
        if self.method == "frozen":
            found.append(
                Problem(
                    "not_together",
                    "method",
                    say("The verbaliser trains no head of its own, so a frozen model would learn nothing."),
                    say("Choose another method, or 0 epochs."),
                )
            )
        if self.pattern.count(TEXT) != 1 or self.pattern.count(LABEL) != 1:
            found.append(
                Problem(
                    "bad_pattern",
                    "pattern",
                    say("The pattern must hold {{text}} and {{label}} once each."),
                    say("Write it like “{{text}} This is about {{label}}”."),
                )
            )
        try:
            _ = self.words
        except ValueError as error:
            found.append(
                Problem(
                    "bad_words",
                    "label_words",
                    say("“{part}” is no label with its words.", part=str(error)),
                    say("Write the words like “positive: good, great; negative: bad”, each label once."),
                )
            )
        return found

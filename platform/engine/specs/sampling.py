"""How an answer is drawn from a model's distributions: the options of one request, as the field names them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.specs.problems import Problem
from words import say

MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_LOGPROBS = 20
MAX_BIASES = 1024
MAX_GRAMMAR_CHARACTERS = 50_000
GRAMMAR_KINDS = ("json_object", "json_schema", "regex", "choice")


@dataclass(frozen=True)
class Grammar:
    """What an answer must look like; `source` is a JSON schema, a regular expression or a list of texts."""

    kind: str
    source: Any = None


@dataclass(frozen=True)
class Sampling:
    """Options of one answer. Temperature 0 takes the likeliest token; a seed gives the same text again.

    Order, as in vLLM and transformers: logit bias and grammar, repetition, presence and frequency penalties, temperature,
    top-k, top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024).
    """

    max_tokens: int = 256
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_end: bool = False
    logprobs: int | None = None  # so many of the likeliest beside each token; None: none at all
    prompt_logprobs: int | None = None
    grammar: Grammar | None = None

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0

    @property
    def changes_logits(self) -> bool:
        """Whether anything is done to the logits before the temperature."""
        return bool(
            self.logit_bias
            or self.grammar
            or self.presence_penalty
            or self.frequency_penalty
            or self.repetition_penalty != 1
        )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with these options."""
        found = [
            Problem(
                "out_of_range", name, say("{name} must lie between {low} and {high}.", name=name, low=low, high=high)
            )
            for name, low, high in BOUNDS
            if not _within(getattr(self, name), low, high)
        ]
        if self.repetition_penalty <= 0:
            found.append(Problem("out_of_range", "repetition_penalty", say("repetition_penalty must be above 0.")))
        found += _stop_problems(self.stop) + _bias_problems(self.logit_bias)
        if self.grammar is not None:
            found += _grammar_problems(self.grammar)
        return found


BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("max_tokens", 1, 1_000_000),
    ("min_tokens", 0, 1_000_000),
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("top_k", 0, 1_000_000),
    ("min_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("repetition_penalty", 0, 10),
    ("logprobs", 0, MAX_LOGPROBS),
    ("prompt_logprobs", 0, MAX_LOGPROBS),
    ("seed", -(2**63), 2**63 - 1),
)


def _within(value: float | None, low: float, high: float) -> bool:
    return value is None or (math.isfinite(value) and low <= value <= high)


def _stop_problems(stop: tuple[str, ...]) -> list[Problem]:
    if len(stop) > MAX_STOPS:
        return [Problem("too_many", "stop", say("At most {most} stop texts can be given.", most=MAX_STOPS))]
    if any(not 1 <= len(text) <= MAX_STOP_CHARACTERS for text in stop):
        return [Problem("bad_stop", "stop", say("A stop text has 1 to {most} characters.", most=MAX_STOP_CHARACTERS))]
    return []


def _bias_problems(bias: Mapping[int, float]) -> list[Problem]:
    if len(bias) > MAX_BIASES:
        return [Problem("too_many", "logit_bias", say("At most {most} tokens can be biased.", most=MAX_BIASES))]
    if any(not _within(value, -100, 100) for value in bias.values()):
        return [Problem("out_of_range", "logit_bias", say("A bias must lie between -100 and 100."))]
    return []


def _grammar_problems(grammar: Grammar) -> list[Problem]:
    if grammar.kind not in GRAMMAR_KINDS:
        return [Problem("unknown_grammar", "grammar", say("“{kind}” is no kind of grammar.", kind=grammar.kind))]
    if len(str(grammar.source)) > MAX_GRAMMAR_CHARACTERS:
        return [
            Problem(
                "grammar_too_long",
                "grammar",
                say("A schema or expression has at most {most} characters.", most=MAX_GRAMMAR_CHARACTERS),
            )
        ]
    return []

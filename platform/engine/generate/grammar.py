"""Answers that keep to a form: a JSON schema, any JSON object, a regular expression or one of some texts.

llguidance turns each into an automaton over the tokenizer's bytes; before each token it says which tokens keep the form
alive. It matches by derivatives without backtracking, and its limits end a grammar that would grow too large.
"""

import json
import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from llguidance import LLMatcher, LLTokenizer
from torch import Tensor

from engine.specs.sampling import Grammar

# Blanks where JSON allows any number of them are the loop that small models never leave.
FORM: Any = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}
BUILT = 32  # grammars of one tokenizer that are kept
MAX_MULTIPLE = 10_000


class BadGrammar(ValueError):
    """A grammar that cannot be read, or is too large; the text says why."""


class Grammars:
    """Guides for one tokenizer. Each grammar is built once: all answers of a request, or of many, share it."""

    def __init__(self, tokenizer_json: str, *, vocabulary_size: int, ends: Sequence[int]) -> None:
        self.vocabulary_size = vocabulary_size
        self._json, self._ends = tokenizer_json, list(ends)
        self._built: OrderedDict[str, LLMatcher] = OrderedDict()  # the newest last

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        """Made for the first grammar: not every tokenizer tells which bytes its tokens stand for."""
        known = len(json.loads(self._json)["model"].get("vocab", ()))
        try:
            return LLTokenizer(self._json, n_vocab=max(self.vocabulary_size, known), eos_token=self._ends or None)
        except ValueError as error:
            raise BadGrammar(f"this model's tokenizer cannot be guided ({error})") from error

    def guide(self, grammar: Grammar) -> "Guide":
        """A fresh guide; BadGrammar when the source cannot be read."""
        name = json.dumps([grammar.kind, grammar.source])  # properties are written in the order they are named in
        if name not in self._built:
            self._built[name] = LLMatcher(self._tokenizer, self._compiled(grammar), log_level=0)
            if len(self._built) > BUILT:
                self._built.popitem(last=False)
        self._built.move_to_end(name)
        return Guide(self._built[name].deep_copy(), self.vocabulary_size)

    def _compiled(self, grammar: Grammar) -> str:
        try:
            found = _grammar(grammar)
        except ValueError as error:
            raise BadGrammar(str(error)) from error
        if problem := LLMatcher.validate_grammar(found, self._tokenizer):
            raise BadGrammar(problem.splitlines()[0])
        return found


class Guide:
    """Where one answer stands in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._size = vocabulary_size
        self._check()

    def allowed(self) -> Tensor:
        """[V] bool: tokens that may come next."""
        words = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        self._check()
        bits = (words[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        return bits.flatten()[: self._size].bool()

    def accept(self, token: int) -> None:
        """The token was written."""
        self._matcher.consume_token(token)
        self._check()

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise BadGrammar(str(self._matcher.get_error()).splitlines()[0])


def _grammar(grammar: Grammar) -> str:
    if grammar.kind == "regex":
        return str(LLMatcher.grammar_from_regex(str(grammar.source)))
    if grammar.kind == "choice":
        return str(LLMatcher.grammar_from_regex("|".join(f"({re.escape(str(text))})" for text in grammar.source)))
    schema: Any = {"type": "object"} if grammar.kind == "json_object" else grammar.source
    if not isinstance(schema, dict):
        raise ValueError("a schema is a JSON object")
    if math.lcm(*_multiples(schema)) > MAX_MULTIPLE:
        raise ValueError(f"multiples beyond {MAX_MULTIPLE:,} cannot be kept to")
    return str(LLMatcher.grammar_from_json_schema(schema, overrides=FORM))


def _multiples(schema: Any) -> Iterator[int]:
    """How many remainders each `multipleOf` has: the one keyword whose automaton no limit of llguidance ends."""
    if isinstance(schema, dict):
        divisor = schema.get("multipleOf")
        if isinstance(divisor, int | float) and math.isfinite(divisor) and divisor > 0:
            yield math.prod(Fraction(str(divisor)).as_integer_ratio())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _multiples(part)

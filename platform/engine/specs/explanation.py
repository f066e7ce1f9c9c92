"""What "How it works" tells of one sentence: bounds, and how the attention scores of all heads travel as one text.

For each layer kept, each head and each position t come t + 2 numbers: the scores s_0 .. s_t before the softmax, and the
logsumexp of the scores that the causal mask hides (-inf for the last position). Weights follow from them exactly.
"""

import base64
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_SENTENCE = "The quick brown fox jumps over"
MAX_TOKENS = 64
MAX_SCORES = 400_000  # numbers of all heads together; a larger model is shown at fewer layers
SHOWN_WIDTH = 16  # of the first numbers of a vector
TOP_TOKENS = 10


@dataclass(frozen=True)
class Row:
    """What position t of a head looks at."""

    scores: list[float]  # q_t k_s / sqrt(d) for s = 0 .. t
    hidden: float  # logsumexp of the scores of s > t

    @property
    def weights(self) -> list[float]:
        """softmax of the scores."""
        return softmax(self.scores)

    @property
    def future_share(self) -> float:
        """How much weight later tokens would take without the mask, 0..1."""
        if math.isinf(self.hidden):
            return 0.0
        seen = logsumexp(self.scores)
        return 1 / (1 + math.exp(min(700.0, seen - self.hidden)))


def numbers_of(tokens: int) -> int:
    """How many numbers one head takes."""
    return tokens * (tokens + 3) // 2


def kept_layers(layers: int, heads: int, tokens: int) -> list[int]:
    """Which layers travel: all, or as many evenly spaced ones as the bound allows, with the first and the last."""
    room = max(1, MAX_SCORES // (heads * numbers_of(tokens)))
    if layers <= room:
        return list(range(layers))
    if room == 1:
        return [layers - 1]
    return sorted({round(at * (layers - 1) / (room - 1)) for at in range(room)})


def pack(numbers: Sequence[float]) -> str:
    """Numbers as base64 of little-endian 32-bit floats."""
    found = array("f", numbers)
    if sys.byteorder == "big":
        found.byteswap()
    return base64.b64encode(found.tobytes()).decode("ascii")


def head_rows(packed: str, *, tokens: int, heads: int, place: int, head: int) -> list[Row]:
    """The rows of a head in the `place`-th layer kept, cut out without reading the others."""
    count = numbers_of(tokens)
    first = 4 * count * (place * heads + head)
    start, end = first // 3 * 4, -(-(first + 4 * count) // 3) * 4  # base64 holds 3 bytes in 4 characters
    raw = base64.b64decode(packed[start:end])[first % 3 :][: 4 * count]
    numbers = array("f", raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    rows, at = [], 0
    for t in range(tokens):
        rows.append(Row(list(numbers[at : at + t + 1]), numbers[at + t + 1]))
        at += t + 2
    return rows


def logsumexp(values: Sequence[float]) -> float:
    """log(sum(exp(v))), without overflow."""
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))


def softmax(values: Sequence[float]) -> list[float]:
    """exp(v) / sum(exp(v))."""
    total = logsumexp(values)
    return [math.exp(value - total) for value in values]

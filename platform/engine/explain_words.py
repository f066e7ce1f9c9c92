"""What tokens are worth, summed to words: a word is what people read, and whatever one token reads together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.units import unit_spans

Place = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """text[start:end], the tokens that read it, and the sum of what they are worth."""

    start: int
    end: int
    tokens: tuple[int, ...]
    attribution: float


def words_of(text: str, places: Sequence[Place | None], values: NDArray[np.float64]) -> list[Word]:
    """The words that tokens at `places` [T] read, in order; each token belongs to one of them, so that nothing is lost.

    A token without a sign of the text (a mark of white space) belongs to the word behind it, at the end to the one before.
    """
    units = unit_spans(text, "word")
    groups: list[tuple[int, int, list[int]]] = []  # first and last unit, and tokens
    waiting: list[int] = []
    at = 0
    for token, place in enumerate(places):
        start, end = place or (0, 0)
        while at < len(units) and units[at][1] <= start:
            at += 1
        last = at
        while last < len(units) and units[last][0] < end:
            last += 1
        if last == at:  # no unit begins before its end
            waiting.append(token)
            continue
        if groups and groups[-1][1] >= at:
            first, before, tokens = groups[-1]
            groups[-1] = (first, max(before, last - 1), [*tokens, *waiting, token])
        else:
            groups.append((at, last - 1, [*waiting, token]))
        waiting = []
    if waiting and groups:
        groups[-1][2].extend(waiting)
    return [
        Word(units[first][0], units[last][1], tuple(tokens), float(values[tokens].sum()))
        for first, last, tokens in groups
    ]

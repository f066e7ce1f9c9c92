"""Spans as IOB2 tags of units and back: which tags may follow each other, and the best sequence that keeps to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OUTSIDE = "O"
FORBIDDEN = -1e9


class Span(NamedTuple):
    """text[start:end] marked with a label; code points of the stored text."""

    start: int
    end: int
    label: str


def tag_names(labels: Sequence[str]) -> list[str]:
    """O, then B-label and I-label of each label: tag 2k+1 begins label k, tag 2k+2 goes on with it."""
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


@dataclass(frozen=True)
class Tagged:
    """The tags of a text's units, and what could not be said by tags."""

    tags: list[int]  # [U]
    off_border: tuple[Span, ...]  # begin or end inside a unit; their units carry the tags all the same
    unseen: tuple[Span, ...]  # touch no unit at all


def tags_of(units: Sequence[tuple[int, int]], spans: Sequence[Span], labels: Sequence[str]) -> Tagged:
    """IOB2 tag numbers of units [U] in text order, spans free of overlap; KeyError for a label that is not listed."""
    place = {label: at for at, label in enumerate(labels)}
    tags = [0] * len(units)
    starts, ends = [start for start, _ in units], [end for _, end in units]
    off, unseen = [], []
    for span in spans:
        first = int(np.searchsorted(ends, span.start, side="right"))
        last = int(np.searchsorted(starts, span.end, side="left"))
        if first >= last:
            unseen.append(span)
            continue
        if starts[first] < span.start or ends[last - 1] > span.end:
            off.append(span)
        tags[first] = 2 * place[span.label] + 1
        tags[first + 1 : last] = [2 * place[span.label] + 2] * (last - first - 1)
    return Tagged(tags, tuple(off), tuple(unseen))


def spans_of(
    units: Sequence[tuple[int, int]], tags: Sequence[int], labels: Sequence[str]
) -> list[tuple[Span, int, int]]:
    """(span, first unit, unit after the last) of legal IOB2 tags [U]."""
    found: list[tuple[Span, int, int]] = []
    begun = -1
    for at, tag in enumerate([*tags, 0]):
        goes_on = tag > 0 and tag % 2 == 0
        if begun >= 0 and not goes_on:
            found.append((Span(units[begun][0], units[at - 1][1], labels[(tags[begun] - 1) // 2]), begun, at))
            begun = -1
        if tag % 2 == 1:
            begun = at
    return found


def overlapping(spans: Sequence[Span]) -> bool:
    """Whether two of the spans share a character."""
    ordered = sorted(spans)
    return any(later.start < earlier.end for earlier, later in pairwise(ordered))


def legal_moves(label_count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(starts [K], moves [K, K] from row to column): 0 where IOB2 allows it, FORBIDDEN where I does not go on."""
    size = 1 + 2 * label_count
    moves = np.zeros((size, size))
    starts = np.zeros(size)
    for inside in range(2, size, 2):
        starts[inside] = FORBIDDEN
        moves[:, inside] = FORBIDDEN
        moves[[inside - 1, inside], inside] = 0
    return starts, moves


def best_tags(scores: NDArray[np.floating], starts: NDArray[np.float64], moves: NDArray[np.float64]) -> list[int]:
    """The legal tags with the highest sum of scores [U, K] (Viterbi 1967); ties go to the lower number."""
    if not len(scores):
        return []
    total = scores[0] + starts
    came_from = np.zeros(scores.shape, dtype=np.int64)
    for at in range(1, len(scores)):
        ways = total[:, None] + moves  # [K, K]
        came_from[at] = ways.argmax(0)
        total = ways.max(0) + scores[at]
    path = [int(total.argmax())]
    for at in range(len(scores) - 1, 0, -1):
        path.append(int(came_from[at, path[-1]]))
    return path[::-1]

"""Documents laid end to end: which stretches of a flat stream of tokens belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """`count` documents of `length` tokens each, the first of them at token `start` of the stream."""

    start: int
    count: int
    length: int


def runs_of(lengths: Sequence[int]) -> list[Run]:
    """Runs of equally long neighbours; documents sorted by length make few of them."""
    found, start = [], 0
    for length, members in groupby(lengths):
        count = len(list(members))
        found.append(Run(start, count, length))
        start += count * length
    return found


def positions_of(runs: Sequence[Run]) -> Tensor:
    """The position of each token in its own document, [N]: 0, 1, ... and again from 0."""
    return torch.cat([torch.arange(run.length).repeat(run.count) for run in runs])

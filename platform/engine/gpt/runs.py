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


def widened(runs: Sequence[Run], more: int) -> list[Run]:
    """The runs when every document has `more` tokens before its own."""
    found, start = [], 0
    for run in runs:
        found.append(Run(start, run.count, run.length + more))
        start += run.count * (run.length + more)
    return found


def with_first(hidden: Tensor, runs: Sequence[Run], first: Tensor) -> Tensor:
    """`first` [V, D] put before each document of `hidden` [N, D]; the result lies as `widened` says."""
    parts = []
    for run in runs:
        block = documents(hidden, run)
        parts.append(torch.cat((first.expand(run.count, -1, -1), block), dim=1).flatten(0, 1))
    return torch.cat(parts)


def without_first(hidden: Tensor, runs: Sequence[Run], more: int) -> Tensor:
    """What is left of `hidden` when each document of `runs`, which are widened, loses its first `more` tokens."""
    return torch.cat([documents(hidden, run)[:, more:].flatten(0, 1) for run in runs])


def documents(hidden: Tensor, run: Run) -> Tensor:
    """[N, ...] -> the run's documents [n, t, ...]."""
    part = hidden[run.start : run.start + run.count * run.length]
    return part.view(run.count, run.length, *part.shape[1:])


def joined(layers: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Keys and values [G, V, d] of each of L layers as one row per token, [V, 2 L G d]."""
    parts = torch.stack([tensor for pair in layers for tensor in pair])  # [2L, G, V, d]
    return parts.permute(2, 0, 1, 3).flatten(1)

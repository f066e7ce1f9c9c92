"""How a stream of tokens is cut into pieces for reading, and which pieces form which step.

A piece (start, length) reads the tokens at start ... start + length - 1 and learns those one place further.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.corpus import Corpus
from engine.gpt import Run
from engine.gpt.runs import runs_of
from engine.recipes.sft_setup import pack

Pieces = NDArray[np.int64]  # [P, 2] of start and length
POOL = 512


def document_pieces(corpus: Corpus, context: int) -> Pieces:
    """Every document cut into pieces of at most `context` tokens, in order; together they learn each token once."""
    starts = corpus.starts
    sizes = corpus.ends - 1 - starts  # tokens to learn, the end token included
    counts = -(-sizes // context)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # of each piece in its document
    lengths = np.minimum(context, np.repeat(sizes, counts) - number * context)
    return np.stack([np.repeat(starts, counts) + number * context, lengths], axis=1)


def block_pieces(token_count: int, context: int, *, seed: int, epoch: int) -> Pieces:
    """Equal pieces of the stream as it lies, whatever the documents; each epoch begins at another place."""
    if token_count <= context:
        return np.array([[0, token_count]], dtype=np.int64)
    count = max(1, (token_count - context + 1) // context)
    first = int(np.random.default_rng([seed, epoch, 1]).integers(0, token_count - count * context + 1))
    starts = first + context * np.arange(count, dtype=np.int64)
    return np.stack([starts, np.full(count, context, dtype=np.int64)], axis=1)


@dataclass(frozen=True)
class Plan(Sequence[list[Pieces]]):
    """The steps of an epoch; a step is a list of sequences, a sequence some pieces of at most `context` tokens together."""

    pieces: Pieces  # [P, 2], sequence after sequence
    bounds: NDArray[np.int64]  # [S + 1], where each sequence begins in `pieces`
    sequences_per_step: int
    first: int = 0  # steps left out at the beginning

    def __len__(self) -> int:
        return max(0, -(-(len(self.bounds) - 1) // self.sequences_per_step) - self.first)

    @overload
    def __getitem__(self, at: int) -> list[Pieces]: ...
    @overload
    def __getitem__(self, at: slice) -> "Plan": ...
    def __getitem__(self, at: int | slice) -> "list[Pieces] | Plan":
        if isinstance(at, slice):
            return Plan(self.pieces, self.bounds, self.sequences_per_step, self.first + (at.start or 0))
        if not 0 <= at < len(self):
            raise IndexError(at)
        begin = (self.first + at) * self.sequences_per_step
        edges = self.bounds[begin : begin + self.sequences_per_step + 1]
        return [self.pieces[low:high] for low, high in pairwise(edges)]


def plan(pieces: Pieces, context: int, *, seed: int, epoch: int, sequences_per_step: int) -> Plan:
    """Pieces packed into sequences of at most `context` tokens and shuffled, by seed and epoch only."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(pieces))
    is_full = pieces[order, 1] == context
    bins = _packed(order[~is_full], pieces[:, 1], context)
    members = np.concatenate([order[is_full], *(np.array(found, dtype=np.int64) for found in bins)])
    sizes = np.concatenate(
        [np.ones(is_full.sum(), dtype=np.int64), np.array([len(found) for found in bins], dtype=np.int64)]
    )
    begins = np.cumsum(sizes) - sizes
    shuffled = generator.permutation(len(sizes))
    bounds = np.concatenate([[0], np.cumsum(sizes[shuffled])])
    inside = np.arange(len(members)) - np.repeat(bounds[:-1], sizes[shuffled])
    return Plan(pieces[members[np.repeat(begins[shuffled], sizes[shuffled]) + inside]], bounds, sequences_per_step)


def _packed(order: NDArray[np.int64], lengths: NDArray[np.int64], context: int) -> list[list[int]]:
    """The shorter pieces in sequences, pool by pool."""
    bins: list[list[int]] = []
    for at in range(0, len(order), POOL):
        pool = order[at : at + POOL]
        found = pack(lengths[pool].tolist(), range(len(pool)), context)
        bins += [pool[members].tolist() for members in found]
    return bins


@dataclass(frozen=True)
class Laid:
    """Pieces end to end, shorter ones first: N tokens, what each has to say, and the number of its piece."""

    ids: Tensor  # [N]
    targets: Tensor  # [N]
    owners: NDArray[np.int64]  # [N], positions in the given pieces
    runs: list[Run]


def laid_out(corpus: Corpus, pieces: Pieces) -> Laid:
    """No padding and no mask: attention runs piece by piece, so none sees another."""
    order = np.argsort(pieces[:, 1], kind="stable")
    lengths = pieces[order, 1]
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(pieces[order, 0], lengths) + inside  # [N]
    ids, targets = (torch.from_numpy(corpus.tokens[places + shift].astype(np.int64)) for shift in (0, 1))
    return Laid(ids, targets, np.repeat(order, lengths), runs_of(lengths.tolist()))

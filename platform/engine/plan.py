"""Which rows form which optimiser step, and how fast each step learns: pure functions of seed and step."""

import math
from collections.abc import Sequence

import numpy as np

Batch = list[int]  # positions of rows
Window = list[Batch]  # the micro-batches of one optimiser step
POOL_STEPS = 16


def epoch_windows(
    lengths: Sequence[int], *, seed: int, epoch: int, rows_per_step: int, rows_at_once: int, tokens_at_once: int
) -> list[Window]:
    """The steps of one epoch over rows of `lengths` tokens.

    Rows are shuffled, then sorted by length within pools of POOL_STEPS steps, so that a step holds rows of
    similar length and still random company; the steps are shuffled again. Which rows form a step depends on
    seed, epoch and rows_per_step only: memory limits merely cut a step into more micro-batches.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    sizes = np.asarray(lengths)
    pool = rows_per_step * POOL_STEPS
    steps: list[list[int]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(-sizes[rows], kind="stable")]
        steps += [[int(at) for at in rows[at : at + rows_per_step]] for at in range(0, len(rows), rows_per_step)]
    return [
        cut(steps[at], lengths, rows_at_once=rows_at_once, tokens_at_once=tokens_at_once)
        for at in generator.permutation(len(steps))
    ]


def cut(rows: Sequence[int], lengths: Sequence[int], *, rows_at_once: int, tokens_at_once: int) -> Window:
    """A step's rows in micro-batches of at most so many rows and tokens, at least one row each."""
    batches: Window = []
    filled = 0
    for at in rows:
        if not batches or len(batches[-1]) == rows_at_once or filled + lengths[at] > tokens_at_once:
            batches.append([])
            filled = 0
        batches[-1].append(at)
        filled += lengths[at]
    return batches


def learning_rate_share(step: int, total: int, *, warmup: float, schedule: str, floor: float = 0.0) -> float:
    """Share of the peak rate at `step` of `total`: a linear rise over `warmup`, then linear, cosine or constant."""
    rising = math.ceil(total * warmup)
    if step < rising:
        return (step + 1) / rising
    gone = (step - rising) / max(1, total - rising)
    if schedule == "constant":
        return 1.0
    left = 1 - gone if schedule == "linear" else (1 + math.cos(math.pi * gone)) / 2
    return floor + (1 - floor) * left

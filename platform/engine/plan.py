"""Which rows form which optimiser step, and how fast each step learns: pure functions of seed and step."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Batch = list[int]  # positions of rows
Window = list[Batch]  # the micro-batches of one optimiser step
POOL_STEPS = 16
Item = TypeVar("Item")


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


def rehearsed_windows(
    lengths: Sequence[int],
    earlier: Sequence[range],
    *,
    share: float,
    seed: int,
    epoch: int,
    rows_per_step: int,
    rows_at_once: int,
    tokens_at_once: int,
) -> list[Window]:
    """The steps of one epoch over new rows, each completed by rows of `earlier` tasks up to `rows_per_step`.

    New rows are those before the first earlier one; an epoch is one pass over them. Earlier tasks take turns, each with
    its rows in an order of its own that begins again when they are used up.
    """
    drawn = rehearsed_rows(rows_per_step, share)
    new = epoch_windows(
        lengths[: earlier[0].start],
        seed=seed,
        epoch=epoch,
        rows_per_step=rows_per_step - drawn,
        rows_at_once=rows_at_once,
        tokens_at_once=tokens_at_once,
    )
    old = taken_in_turns(earlier, drawn * len(new), seed=seed, epoch=epoch)
    return [
        cut(
            [*(at for batch in step for at in batch), *old[number * drawn : (number + 1) * drawn]],
            lengths,
            rows_at_once=rows_at_once,
            tokens_at_once=tokens_at_once,
        )
        for number, step in enumerate(new)
    ]


def rehearsed_rows(rows_per_step: int, share: float) -> int:
    """How many of at least two rows of a step come from earlier tasks: at least one, and never all."""
    return min(max(1, round(rows_per_step * share)), rows_per_step - 1)


def taken_in_turns(groups: Sequence[range], count: int, *, seed: int, epoch: int) -> list[int]:
    """`count` members of `groups` that take turns; each is shuffled, and shuffled again once it is used up."""
    generators = [np.random.default_rng([seed, epoch, number]) for number in range(len(groups))]
    waiting: list[list[int]] = [[] for _ in groups]
    found: list[int] = []
    for turn in range(count):
        number = turn % len(groups)
        if not waiting[number]:
            waiting[number] = [int(at) for at in generators[number].permutation(np.asarray(groups[number]))]
        found.append(waiting[number].pop())
    return found


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


def divided(items: Sequence[Item], tokens: Sequence[int], count: int) -> list[list[Item]]:
    """Items in `count` parts of about equal tokens, each in the order given: the next longest goes where least is.

    Of equally full parts the first is taken, so parts depend on the items alone; with fewer items than parts some are
    empty.
    """
    filled = [0] * count
    chosen: list[list[int]] = [[] for _ in range(count)]
    for at in sorted(range(len(items)), key=lambda at: -tokens[at]):
        least = filled.index(min(filled))
        chosen[least].append(at)
        filled[least] += tokens[at]
    return [[items[at] for at in sorted(part)] for part in chosen]


def divided_window(
    step: Window, lengths: Sequence[int], count: int, *, rows_at_once: int, tokens_at_once: int
) -> list[list[Window]]:
    """The micro-batches of each of `count` processes, every one as a step of its own."""
    rows = [at for batch in step for at in batch]
    return [
        [[batch] for batch in cut(part, lengths, rows_at_once=rows_at_once, tokens_at_once=tokens_at_once)]
        for part in divided(rows, [lengths[at] for at in rows], count)
    ]


def divided_sequences(
    step: Sequence[Item], tokens: Sequence[int], count: int, *, at_once: int
) -> list[list[Sequence[Item]]]:
    """The same of a step of sequences that hold so many tokens, `at_once` of them in a micro-batch."""
    return [
        [part[start : start + at_once] for start in range(0, len(part), at_once)]
        for part in divided(step, tokens, count)
    ]


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

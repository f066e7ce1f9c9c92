"""How much a model forgets that learns one task after the other: accuracy matrix, ACC, AIA, BWT, FWT, forgetting.

R[i][j] is the figure on task j after training on task i, both counted from 0, larger being better; b[j] is that of the
model before the first task. With T tasks:

    ACC   = mean of R[T-1][j] over all j                                   (Lopez-Paz and Ranzato 2017)
    AIA   = mean over i of the mean of R[i][j] over j <= i                 (average incremental accuracy)
    BWT   = mean over j < T-1 of R[T-1][j] - R[j][j]
    FWT   = mean over j >= 1 of R[j-1][j] - b[j]
    f[j]  = max over l in j .. T-2 of R[l][j], minus R[T-1][j]             (Chaudhry et al. 2018)

A figure that some missing number leaves undefined has no value, and says why.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from words import say

Row = Sequence[float | None]
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Figure:
    """A value, or why there is none; `low` and `high` bound 95 % where an error is known."""

    value: float | None
    why: str = ""
    low: float | None = None
    high: float | None = None

    def within(self, error: float | None) -> "Figure":
        """With the interval of a normal distribution of this standard error."""
        if self.value is None or error is None:
            return self
        return Figure(self.value, "", self.value - Z95 * error, self.value + Z95 * error)

    def clipped(self) -> "Figure":
        """With an interval that leaves no share of 0 to 1."""
        if self.low is None or self.high is None:
            return self
        return Figure(self.value, "", max(0.0, self.low), min(1.0, self.high))


def acc(matrix: Sequence[Row]) -> Figure:
    """ACC of the last row."""
    if not matrix:
        return _one_task(0)
    return _mean(matrix[-1], "R", [(len(matrix) - 1, at) for at in range(len(matrix))])


def aia(matrix: Sequence[Row]) -> Figure:
    """AIA of the lower triangle."""
    if not matrix:
        return _one_task(0)
    means = []
    for at, row in enumerate(matrix):
        one = _mean(row[: at + 1], "R", [(at, column) for column in range(at + 1)])
        if one.value is None:
            return one
        means.append(one.value)
    return Figure(math.fsum(means) / len(means))


def bwt(matrix: Sequence[Row]) -> Figure:
    """BWT: below 0 what was learnt before became worse."""
    last = len(matrix) - 1
    if last < 1:
        return _one_task(len(matrix))
    return _mean_difference([((last, at), (at, at)) for at in range(last)], matrix)


def fwt(matrix: Sequence[Row], initial: Row) -> Figure:
    """FWT: above 0 a task profits from those before it, before it is learnt."""
    if len(matrix) < 2:
        return _one_task(len(matrix))
    for at in range(1, len(matrix)):
        if matrix[at - 1][at] is None:
            return Figure(None, _missing("R", (at - 1, at)))
        if initial[at] is None:
            return Figure(None, say("The model before the first task has no figure on task {task}.", task=at + 1))
    return Figure(_average([_known(matrix[at - 1][at]) - _known(initial[at]) for at in range(1, len(matrix))]))


def forgetting(matrix: Sequence[Row]) -> list[Figure]:
    """f[j] of every task but the last: what was its best, minus what is left."""
    last = len(matrix) - 1
    found = []
    for at in range(last):
        gone = next((row for row in [*range(at, last), last] if matrix[row][at] is None), None)
        if gone is not None:
            found.append(Figure(None, _missing("R", (gone, at))))
        else:
            found.append(Figure(_known(matrix[best_row(matrix, at)][at]) - _known(matrix[last][at])))
    return found


def best_row(matrix: Sequence[Row], task: int) -> int:
    """The row before the last in which a task but the last did best, the earliest of equals."""
    rows = range(task, len(matrix) - 1)
    return max(rows, key=lambda row: (-math.inf if matrix[row][task] is None else _known(matrix[row][task]), -row))


def mean_forgetting(matrix: Sequence[Row]) -> Figure:
    """The mean of f[j]."""
    found = forgetting(matrix)
    if not found:
        return _one_task(len(matrix))
    unknown = next((one for one in found if one.value is None), None)
    return unknown or Figure(_average([_known(one.value) for one in found]))


def most_forgotten(matrix: Sequence[Row]) -> Figure:
    """The largest f[j]."""
    found = forgetting(matrix)
    if not found:
        return _one_task(len(matrix))
    unknown = next((one for one in found if one.value is None), None)
    return unknown or Figure(max(_known(one.value) for one in found))


def _mean(values: Row, name: str, places: Sequence[tuple[int, int]]) -> Figure:
    for value, place in zip(values, places, strict=True):
        if value is None:
            return Figure(None, _missing(name, place))
    return Figure(_average([_known(value) for value in values]))


def _mean_difference(pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]], matrix: Sequence[Row]) -> Figure:
    for pair in pairs:
        for row, column in pair:
            if matrix[row][column] is None:
                return Figure(None, _missing("R", (row, column)))
    return Figure(_average([_known(matrix[a][b]) - _known(matrix[c][d]) for (a, b), (c, d) in pairs]))


def _average(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _known(value: float | None) -> float:
    assert value is not None
    return value


def _missing(name: str, place: tuple[int, int]) -> str:
    return say("{name}[{row}, {column}] is not known.", name=name, row=place[0] + 1, column=place[1] + 1)


def _one_task(count: int) -> Figure:
    if not count:
        return Figure(None, say("There is no task."))
    return Figure(None, say("Only one task was learnt."))

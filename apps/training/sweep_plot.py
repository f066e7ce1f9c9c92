"""A sweep in one picture: parallel coordinates, an axis for each varied option and one for the objective."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.training.models import Sweep
from apps.training.trials import Trial, best_of
from engine.specs.search import Axis, parse_space

HEIGHT, TOP, BOTTOM = 300, 44, 28
GAP, SIDE = 170, 70
TICKS = 5


@dataclass(frozen=True)
class Tick:
    """A mark on an axis."""

    y: float
    label: str


@dataclass(frozen=True)
class Rail:
    """One axis."""

    name: str
    x: float
    ticks: Sequence[Tick]
    is_objective: bool = False


@dataclass(frozen=True)
class Line:
    """One trial as a polyline; `kind` is best, done, pruned or open."""

    points: str
    kind: str
    trial: Trial


@dataclass(frozen=True)
class Plot:
    """Everything the template draws, in the units of its viewBox."""

    width: int
    height: int
    top: int
    bottom: int
    rails: Sequence[Rail]
    lines: Sequence[Line]


def plot_of(sweep: Sweep, trials: Sequence[Trial]) -> Plot | None:
    """The picture, or None until two trials have a value."""
    valued = [trial for trial in trials if trial.value is not None]
    axes, _problems = parse_space(sweep.recipe, sweep.spec, sweep.space, sweep.strategy)
    if len(valued) < 2 or not axes:
        return None
    values = [trial.value or 0.0 for trial in valued]
    place_value = _linear(min(values), max(values), downwards=sweep.lower_is_better)
    places = [_place(axis) for axis in axes]
    rails = [
        Rail(axis.name, SIDE + at * GAP, _ticks(axis, place))
        for at, (axis, place) in enumerate(zip(axes, places, strict=True))
    ]
    last = SIDE + len(axes) * GAP
    marks = [Tick(place_value(value), _short(value)) for value in _between(min(values), max(values))]
    rails.append(Rail(f"dev_{sweep.objective}", last, marks, is_objective=True))
    best = best_of(trials)
    lines = []
    for trial in sorted(valued, key=lambda one: one is best):
        spots = [
            (SIDE + at * GAP, place(trial.options[axis.name]))
            for at, (axis, place) in enumerate(zip(axes, places, strict=True))
        ]
        spots.append((last, place_value(trial.value or 0.0)))
        lines.append(Line(" ".join(f"{x:.0f},{y:.1f}" for x, y in spots), _kind(trial, best), trial))
    return Plot(last + SIDE, HEIGHT, TOP, HEIGHT - BOTTOM, rails, lines)


def _kind(trial: Trial, best: Trial | None) -> str:
    if trial is best:
        return "best"
    return "open" if trial.is_open else "done" if trial.is_complete else "pruned"


def _place(axis: Axis) -> Callable[[Any], float]:
    """Where a value of the axis stands."""
    if axis.values:
        spread = _linear(0, max(1, len(axis.values) - 1))
        return lambda value: spread(axis.values.index(value))
    if axis.log:
        spread = _linear(math.log(axis.low), math.log(axis.high))
        return lambda value: spread(math.log(value))
    return _linear(axis.low, axis.high)


def _linear(low: float, high: float, *, downwards: bool = False) -> Callable[[float], float]:
    """From a value to y: the high end is on top, or below with `downwards`; a single value stands in the middle."""

    def place(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return TOP + (HEIGHT - BOTTOM - TOP) * (share if downwards else 1 - share)

    return place


def _ticks(axis: Axis, place: Callable[[Any], float]) -> list[Tick]:
    if axis.values:
        return [Tick(place(value), _short(value)) for value in axis.values]
    if axis.log:
        return [
            Tick(place(value), _short(value))
            for value in map(math.exp, _between(math.log(axis.low), math.log(axis.high)))
        ]
    return [Tick(place(value), _short(value)) for value in _between(axis.low, axis.high)]


def _between(low: float, high: float) -> list[float]:
    if low == high:
        return [low]
    return [low + (high - low) * at / (TICKS - 1) for at in range(TICKS)]


def _short(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 16 else text[:15] + "…"

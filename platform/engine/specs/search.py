"""What a sweep may try: options of a recipe with the values or the range each may take."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.specs.fields import FieldInfo
from engine.specs.problems import Problem, has_errors
from engine.specs.recipes import parse_spec, spec_fields
from words import say

STRATEGIES = ("tpe", "random", "grid")
RANGE = ("low", "high", "log", "step")


@dataclass(frozen=True)
class Axis:
    """One option: the values it may take, or a range (both ends included) for numbers."""

    name: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False  # equal ratios are equally likely
    step: float | None = None
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """What must be allowed for the whole axis to be allowed."""
        return self.values or (self.low, self.high)


def parse_space(
    recipe: str, base: Mapping[str, Any], space: Any, strategy: str
) -> tuple[tuple[Axis, ...], list[Problem]]:
    """The axes, and every problem at once. `space` maps an option to a list of values or to {"low", "high", "log", "step"}."""
    if strategy not in STRATEGIES:
        allowed = ", ".join(STRATEGIES)
        return (), [
            Problem(
                "bad_choice",
                "strategy",
                say("There is no strategy “{name}”.", name=strategy),
                say("Choose one of: {allowed}.", allowed=allowed),
            )
        ]
    if not isinstance(space, Mapping) or not space:
        return (), [
            Problem(
                "required",
                "space",
                say("No option is varied."),
                say("Give at least one option with values or a range."),
            )
        ]
    known = {info.name: info for info in spec_fields(recipe)}
    axes, problems = [], []
    for name, wish in space.items():
        axis, found = _axis(str(name), wish, known.get(str(name)), strategy)
        problems += found
        if axis is not None:
            axes.append(axis)
            problems += _forbidden(recipe, base, axis)
    return tuple(axes), problems


def grid(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Every combination of values, the last axis fastest."""
    names = [axis.name for axis in axes]
    return [dict(zip(names, point, strict=True)) for point in itertools.product(*(axis.values for axis in axes))]


def _axis(name: str, wish: Any, info: FieldInfo | None, strategy: str) -> tuple[Axis | None, list[Problem]]:
    field = f"space.{name}"
    if info is None:
        return None, [
            Problem(
                "unknown_field",
                field,
                say("There is no option “{name}”.", name=name),
                say("Choose an option of the recipe."),
            )
        ]
    if isinstance(wish, Mapping) and "values" not in wish:
        return _range(field, wish, info, strategy)
    values = wish["values"] if isinstance(wish, Mapping) else wish
    if not isinstance(values, list | tuple) or not values or len({repr(value) for value in values}) < len(values):
        return None, [
            Problem(
                "bad_values",
                field,
                say("{name} needs a list of different values.", name=name),
                say("Write them as a list."),
            )
        ]
    return Axis(name, tuple(values)), []


def _range(field: str, wish: Mapping[str, Any], info: FieldInfo, strategy: str) -> tuple[Axis | None, list[Problem]]:
    name = info.name
    if info.type not in ("integer", "number"):
        return None, [
            Problem("no_range", field, say("{name} has no range.", name=name), say("List the values to try."))
        ]
    if strategy == "grid":
        return None, [
            Problem(
                "no_grid",
                field,
                say("A grid needs the values of {name} one by one.", name=name),
                say("List them, or choose another strategy."),
            )
        ]
    low, high, step = (wish.get(key) for key in ("low", "high", "step"))
    numbers: list[Any] = [low, high] + ([] if step is None else [step])
    sound = all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers)
    log = wish.get("log", False)
    if not sound or set(wish) - set(RANGE) or not isinstance(log, bool):
        return None, [
            Problem(
                "bad_range",
                field,
                say("{name} needs a range of two numbers.", name=name),
                say('Write {{"low": 1, "high": 9}}, with "log" or "step" where wanted.'),
            )
        ]
    assert low is not None and high is not None
    whole = info.type == "integer"
    if (
        low >= high
        or (log and low <= 0)
        or (step is not None and (step <= 0 or log))
        or (whole and any(x != int(x) for x in numbers))
    ):
        return None, [
            Problem(
                "bad_range",
                field,
                say("The range of {name} is empty or cannot be walked as asked.", name=name),
                say("Lower end first; logarithms need a lower end above 0 and no step."),
            )
        ]
    return Axis(name, (), low, high, log, step, whole), []


def _forbidden(recipe: str, base: Mapping[str, Any], axis: Axis) -> list[Problem]:
    """Problems of the axis' own option at its values or ends."""
    found = []
    for value in axis.ends:
        problems = parse_spec(recipe, {**base, axis.name: value})[1]
        wrong = [problem for problem in problems if problem.field.split(".")[0] == axis.name]
        if has_errors(wrong):
            found.append(Problem(wrong[0].code, f"space.{axis.name}", wrong[0].message, wrong[0].hint))
    return found

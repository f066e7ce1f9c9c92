"""Spec fields that carry their meaning and bounds, and one reader that reports every mistake at once."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar

from engine.specs.base_models import BaseModel
from engine.specs.problems import Problem
from words import say

S = TypeVar("S")
KIND_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string", BaseModel: "base_model"}


@dataclass(frozen=True)
class FieldInfo:
    """What a form or a schema needs to know of one option."""

    name: str
    type: str  # boolean | integer | number | string | base_model
    default: Any
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    when: tuple[str, tuple[str, ...]] | None = None  # looked at only while that option has one of these values
    later: bool = False  # came after its recipe was in use: a spec's hash holds it only where it is not the default

    def is_looked_at(self, plain: Mapping[str, str], known: "Mapping[str, FieldInfo]") -> bool:
        """Whether the option counts among these values, written as texts; a value that ends in * means a beginning."""
        if self.when is None:
            return True
        name, wanted = self.when
        value = plain.get(name, "")
        if not any(value.startswith(one[:-1]) if one.endswith("*") else value == one for one in wanted):
            return False
        return name not in known or known[name].is_looked_at(plain, known)


def option(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    when: tuple[str, tuple[str, ...]] | None = None,
    later: bool = False,
) -> Any:
    """A dataclass field with its default, one line of meaning and its inclusive bounds."""
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "when": when,
            "later": later,
        },
    )


def again(options: type[Any], name: str, default: Any) -> Any:
    """The option of that name of a class below, with another default."""
    known = next(item for item in dataclasses.fields(options) if item.name == name)
    return field(default=default, metadata=known.metadata)


def infos(spec_type: type[Any]) -> tuple[FieldInfo, ...]:
    """The options of a spec class in the order they are written."""
    return tuple(
        FieldInfo(
            name=item.name,
            type=KIND_NAMES[item.type if isinstance(item.type, type) else str],
            default=None if item.default is MISSING else item.default,
            **item.metadata,
        )
        for item in dataclasses.fields(spec_type)
    )


def read(spec_type: type[S], mapping: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Values by field name, and every problem of type, bound, choice and name found in `mapping`."""
    known = {info.name: info for info in infos(spec_type)}
    problems = [_unknown(name, known) for name in mapping if name not in known]
    values: dict[str, Any] = {}
    for name, info in known.items():
        if name not in mapping:
            continue
        value, found = _value(info, mapping[name])
        if found:
            problems += found
        else:
            values[name] = value
    return values, problems


def bound_problems(spec: Any) -> list[Problem]:
    """Problems of type, bound and choice in an already made spec."""
    return [found for info in infos(type(spec)) for found in _value(info, getattr(spec, info.name))[1]]


def _unknown(name: str, known: Mapping[str, FieldInfo]) -> Problem:
    close = difflib.get_close_matches(str(name), known, n=1)
    hint = (
        say("Did you mean “{close}”?", close=close[0])
        if close
        else say("Remove it; the known options are listed in the documentation.")
    )
    return Problem("unknown_field", str(name), say("There is no option “{name}”.", name=name), hint)


def _value(info: FieldInfo, value: Any) -> tuple[Any, list[Problem]]:
    if info.type == "base_model":
        return BaseModel.read(info.name, value)
    if info.type == "boolean":
        return value, [] if isinstance(value, bool) else [_wrong_type(info, say("true or false"))]
    if info.type == "string":
        return value, _string_problems(info, value)
    return _number(info, value)


def _string_problems(info: FieldInfo, value: Any) -> list[Problem]:
    if not isinstance(value, str):
        return [_wrong_type(info, say("a text"))]
    if info.choices and value not in info.choices:
        allowed = ", ".join(info.choices)
        return [
            Problem(
                "bad_choice",
                info.name,
                say("“{value}” is not a choice of {name}.", value=value, name=info.name),
                say("Choose one of: {allowed}.", allowed=allowed),
            )
        ]
    return []


def _number(info: FieldInfo, value: Any) -> tuple[Any, list[Problem]]:
    whole = info.type == "integer"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value, [_wrong_type(info, say("a whole number") if whole else say("a number"))]
    if not math.isfinite(value):
        return value, [_wrong_type(info, say("a finite number"))]
    if whole and value != int(value):
        return value, [_wrong_type(info, say("a whole number"))]
    low, high = info.minimum, info.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return value, [
            Problem(
                "out_of_range",
                info.name,
                say("{name} is {value}.", name=info.name, value=value),
                say("Choose a value {range}.", range=_range(low, high)),
            )
        ]
    return int(value) if whole else float(value), []


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return say("from {low:g} to {high:g}", low=low, high=high)
    return say("of at least {low:g}", low=low) if low is not None else say("of at most {high:g}", high=high)


def _wrong_type(info: FieldInfo, wanted: str) -> Problem:
    return Problem(
        "wrong_type",
        info.name,
        say("{name} must be {wanted}.", name=info.name, wanted=wanted),
        say("Give {name} as {wanted}.", name=info.name, wanted=wanted),
    )

"""Spec fields that carry their meaning and bounds, and one reader that reports every mistake at once."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, TypeVar

from engine.specs.base_models import BaseModel
from engine.specs.problems import Problem

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


def option(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its default, one line of meaning and its inclusive bounds."""
    return field(
        default=default,
        metadata={"meaning": meaning, "minimum": minimum, "maximum": maximum, "choices": choices},
    )


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
    hint = f"Did you mean “{close[0]}”?" if close else "Remove it; the known options are listed in the documentation."
    return Problem("unknown_field", str(name), f"There is no option “{name}”.", hint)


def _value(info: FieldInfo, value: Any) -> tuple[Any, list[Problem]]:
    if info.type == "base_model":
        return BaseModel.read(info.name, value)
    if info.type == "boolean":
        return value, [] if isinstance(value, bool) else [_wrong_type(info, "true or false")]
    if info.type == "string":
        return value, _string_problems(info, value)
    return _number(info, value)


def _string_problems(info: FieldInfo, value: Any) -> list[Problem]:
    if not isinstance(value, str):
        return [_wrong_type(info, "a text")]
    if info.choices and value not in info.choices:
        allowed = ", ".join(info.choices)
        return [
            Problem("bad_choice", info.name, f"“{value}” is not a choice of {info.name}.", f"Choose one of: {allowed}.")
        ]
    return []


def _number(info: FieldInfo, value: Any) -> tuple[Any, list[Problem]]:
    whole = info.type == "integer"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value, [_wrong_type(info, "a whole number" if whole else "a number")]
    if not math.isfinite(value):
        return value, [_wrong_type(info, "a finite number")]
    if whole and value != int(value):
        return value, [_wrong_type(info, "a whole number")]
    low, high = info.minimum, info.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return value, [
            Problem("out_of_range", info.name, f"{info.name} is {value}.", f"Choose a value {_range(low, high)}.")
        ]
    return int(value) if whole else float(value), []


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"from {low:g} to {high:g}"
    return f"of at least {low:g}" if low is not None else f"of at most {high:g}"


def _wrong_type(info: FieldInfo, wanted: str) -> Problem:
    return Problem("wrong_type", info.name, f"{info.name} must be {wanted}.", f"Give {info.name} as {wanted}.")

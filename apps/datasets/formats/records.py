"""The full check of a canonical record: fields and bounds (engine.specs), the order of roles, and what a database can store."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from core.characters import has_lone_surrogate
from engine.specs.problems import Problem
from engine.specs.records import check_record
from words import say

_AFTER = {
    "": ("system", "user", "assistant"),
    "system": ("user", "assistant"),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}


def record_problems(kind: str, record: Mapping[str, Any]) -> list[Problem]:
    """Everything that keeps `record` out of a dataset of `kind`; an empty list lets it in."""
    problems = check_record(kind, record) or _unstorable(record)
    if problems:
        return problems
    if kind == "chat":
        return _role_order("messages", record["messages"])
    if kind == "preference":
        return _role_order("prompt", record["prompt"], closing=("user", "tool"))
    return []


def _role_order(field: str, messages: Sequence[Mapping[str, str]], closing: Sequence[str] = ()) -> list[Problem]:
    before = ""
    for at, message in enumerate(messages):
        role = message["role"]
        if role not in _AFTER[before]:
            what = say("after “{before}”", before=before) if before else say("at the beginning")
            said = say("Message {at} is of “{role}”, which cannot come {what}.", at=at + 1, role=role, what=what)
            return [Problem("role_order", f"{field}.{at}.role", said, say("Let user and assistant take turns."))]
        before = role
    if closing and before not in closing:
        return [
            Problem(
                "role_order",
                field,
                say("The prompt must end with what the user said."),
                say("Cut the last answer off."),
            )
        ]
    return []


def _unstorable(value: Any, field: str = "") -> list[Problem]:
    """NUL, half of a surrogate pair, and numbers that JSON does not know."""
    if isinstance(value, str):
        if "\0" in value:
            return [
                Problem(
                    "nul_character",
                    field,
                    say("“{field}” holds a NUL character.", field=field),
                    say("Remove it from the file."),
                )
            ]
        if not value.isascii() and has_lone_surrogate(value):
            return [
                Problem(
                    "lone_surrogate",
                    field,
                    say("“{field}” holds half a character (a lone surrogate).", field=field),
                    say("Fix the text."),
                )
            ]
        return []
    if isinstance(value, Mapping):
        named = [(f"{field}.{name}" if field else str(name), name, entry) for name, entry in value.items()]
        return [p for path, name, entry in named for p in (*_unstorable(name, path), *_unstorable(entry, path))]
    if isinstance(value, list):
        return [p for at, entry in enumerate(value) for p in _unstorable(entry, f"{field}.{at}")]
    if isinstance(value, float) and not math.isfinite(value):
        return [
            Problem("wrong_type", field, say("“{field}” is not a finite number.", field=field), say("Leave it empty."))
        ]
    return []

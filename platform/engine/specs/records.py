"""The canonical record of each dataset kind: fields, checks and Parquet columns as plain data."""

from collections.abc import Callable, Mapping
from typing import Any

from engine.specs.problems import Problem
from words import say

KINDS = ("classification", "spans", "pairs", "qa", "chat", "preference", "corpus")
ROLES = ("system", "user", "assistant", "tool")
SPLITS = ("", "train", "dev", "test")

_MESSAGES = "list<struct<role: string, content: string>>"
_COMMON = (("example_id", "int64"), ("external_id", "string"), ("split", "string"), ("meta", "string"))
_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "classification": (("text", "string"), ("labels", "list<string>")),
    "spans": (("text", "string"), ("spans", "list<struct<start: int64, end: int64, label: string>>")),
    "pairs": (("source", "string"), ("target", "string")),
    "qa": (
        ("question", "string"),
        ("context", "string"),
        ("answers", "list<struct<text: string, start: int64>>"),
    ),
    "chat": (("messages", _MESSAGES),),
    "preference": (("prompt", _MESSAGES), ("chosen", "string"), ("rejected", "string")),
    "corpus": (("text", "string"),),
}
FIELDS = {kind: tuple(name for name, _ in columns) for kind, columns in _COLUMNS.items()}


def parquet_columns(kind: str) -> tuple[tuple[str, str], ...]:
    """(column, type) pairs of a frozen version: the common columns, then the kind's own; KeyError if unknown."""
    return _COMMON + _COLUMNS[kind]


def check_record(kind: str, record: Mapping[str, Any]) -> list[Problem]:
    """Everything that keeps `record` from being a canonical record of `kind`; KeyError for an unknown kind."""
    problems = [
        Problem(
            "missing_field",
            name,
            say("The field “{name}” is missing.", name=name),
            say("A {kind} record needs: {fields}.", kind=kind, fields=", ".join(FIELDS[kind])),
        )
        for name in FIELDS[kind]
        if name not in record
    ]
    problems += [
        Problem(
            "unknown_field",
            str(name),
            say("There is no field “{name}” in a {kind} record.", name=name, kind=kind),
            say("Put it into “meta”."),
        )
        for name in record
        if name not in (*FIELDS[kind], "meta")
    ]
    for name in FIELDS[kind]:
        if name in record:
            problems += _CHECKS.get((kind, name), _text)(name, record[name])
    if kind == "spans" and not problems:
        problems += _span_bounds(record)
    if kind == "qa" and not problems:
        problems += _answer_bounds(record)
    return problems + _meta(record.get("meta", {}))


def _text(name: str, value: Any) -> list[Problem]:
    if not isinstance(value, str):
        return [
            Problem("wrong_type", name, say("“{name}” must be a text.", name=name), say("Convert it before importing."))
        ]
    if "\0" in value:
        return [
            Problem(
                "nul_character",
                name,
                say("“{name}” holds a NUL character.", name=name),
                say("Remove it from the file."),
            )
        ]
    return (
        []
        if value.strip()
        else [Problem("empty", name, say("“{name}” is empty.", name=name), say("Fill it in or leave the row out."))]
    )


def _labels(name: str, value: Any) -> list[Problem]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        return [
            Problem(
                "wrong_type", name, say("“labels” must be a list of texts."), say("Write an unlabelled text as [].")
            )
        ]
    problems = [found for label in value for found in _text(name, label)]
    if len(set(value)) < len(value):
        problems.append(Problem("duplicate", name, say("A label is given twice."), say("Give each label once.")))
    return problems


def _spans(name: str, value: Any) -> list[Problem]:
    return _structs(name, value, {"start": int, "end": int, "label": str})


def _answers(name: str, value: Any) -> list[Problem]:
    return _structs(name, value, {"text": str, "start": int})


def _structs(name: str, value: Any, shape: Mapping[str, type]) -> list[Problem]:
    wanted = ", ".join(shape)
    if not isinstance(value, list):
        return [
            Problem(
                "wrong_type",
                name,
                say("“{name}” must be a list.", name=name),
                say("Each entry holds: {wanted}.", wanted=wanted),
            )
        ]
    return [
        Problem(
            "wrong_type",
            f"{name}.{at}",
            say("Entry {at} of “{name}” is not well formed.", at=at, name=name),
            say("Each entry holds: {wanted}.", wanted=wanted),
        )
        for at, entry in enumerate(value)
        if not isinstance(entry, Mapping)
        or set(entry) != set(shape)
        or any(isinstance(entry[key], bool) or not isinstance(entry[key], kind) for key, kind in shape.items())
    ]


def _messages(name: str, value: Any) -> list[Problem]:
    problems = _structs(name, value, {"role": str, "content": str})
    if problems or not value:
        return problems or [
            Problem("empty", name, say("“{name}” holds no message.", name=name), say("Give at least one message."))
        ]
    for at, message in enumerate(value):
        where = f"{name}.{at}"
        if message["role"] not in ROLES:
            roles = ", ".join(ROLES)
            problems.append(
                Problem(
                    "bad_role",
                    f"{where}.role",
                    say("“{role}” is not a role.", role=message["role"]),
                    say("Choose one of: {roles}.", roles=roles),
                )
            )
        problems += _text(f"{where}.content", message["content"])
    return problems


def _span_bounds(record: Mapping[str, Any]) -> list[Problem]:
    length = len(record["text"])
    return [
        Problem(
            "span_outside",
            f"spans.{at}",
            say(
                "The span {start}..{end} does not lie in the text of {length} characters.",
                start=span["start"],
                end=span["end"],
                length=length,
            ),
            say("Count in code points: text[start:end] is the marked part."),
        )
        for at, span in enumerate(record["spans"])
        if not 0 <= span["start"] < span["end"] <= length
    ] + [found for span in record["spans"] for found in _text("spans.label", span["label"])]


def _answer_bounds(record: Mapping[str, Any]) -> list[Problem]:
    context = record["context"]
    return [
        Problem(
            "answer_elsewhere",
            f"answers.{at}",
            say("The context does not read “{text}” at {start}.", text=answer["text"][:40], start=answer["start"]),
            say("Count in code points: context[start:start+len(text)] is the answer."),
        )
        for at, answer in enumerate(record["answers"])
        if answer["start"] < 0
        or not answer["text"]
        or context[answer["start"] : answer["start"] + len(answer["text"])] != answer["text"]
    ]


def _meta(value: Any) -> list[Problem]:
    if not isinstance(value, Mapping):
        return [Problem("wrong_type", "meta", say("“meta” must be an object."), say("Give values by name."))]
    return [
        Problem(
            "wrong_type",
            f"meta.{name}",
            say("“meta.{name}” must be a text, number, true, false or null.", name=name),
            say("Flatten it."),
        )
        for name, entry in value.items()
        if not isinstance(name, str) or not (entry is None or isinstance(entry, str | int | float | bool))
    ]


_CHECKS: dict[tuple[str, str], Callable[[str, Any], list[Problem]]] = {
    ("classification", "labels"): _labels,
    ("spans", "spans"): _spans,
    ("qa", "answers"): _answers,
    ("chat", "messages"): _messages,
    ("preference", "prompt"): _messages,
}

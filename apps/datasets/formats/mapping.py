"""From the columns of a file to canonical records: which column is which field, and how its values are read."""

from collections.abc import Callable
from collections.abc import Mapping as Values
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from apps.datasets.formats import values as read
from apps.datasets.formats.dialogues import (
    Unmappable,
    alpaca_instruction,
    alpaca_messages,
    to_messages,
    to_preference,
    to_prompt,
)
from apps.datasets.formats.problems import Position, RawRow, RowError, snippet
from apps.datasets.formats.records import record_problems
from words import join

COMMON = ("external_id", "split", "meta")
_ALPACA = ("instruction", "input", "system", "history")
# What each kind can be made from; a tuple of alternatives, the first that is mapped is used
FIELDS: dict[str, tuple[str, ...]] = {
    "classification": ("text", "label"),
    "spans": ("text", "spans", "tokens", "tags"),
    "pairs": ("source", "target", "instruction", "input"),
    "qa": ("question", "context", "answers", "answer_text", "answer_start"),
    "chat": ("messages", *_ALPACA, "output"),
    "preference": ("prompt", "chosen", "rejected", *_ALPACA),
    "corpus": ("text",),
}
REQUIRED: dict[str, tuple[tuple[str, ...], ...]] = {
    "classification": (("text",),),
    "spans": (("text",), ("tokens", "tags")),
    "pairs": (("source", "target"), ("instruction", "target")),
    "qa": (("question", "context"),),
    "chat": (("messages",), ("instruction", "output")),
    "preference": (("chosen", "rejected"),),
    "corpus": (("text",),),
}


@dataclass(frozen=True)
class Mapping:
    """Plain values, stored with the import job. A column may be a dotted path into objects (`input.messages`)."""

    columns: dict[str, str] = field(default_factory=dict)  # field -> column
    meta: tuple[str, ...] | None = None  # columns kept as meta; None: all that no field uses
    label_separator: str = ""  # "" = a cell is one label (a JSON list is always several)
    label_names: dict[str, str] = field(default_factory=dict)  # "0" -> "negative"; -1 is unlabelled where names exist
    split: str = ""  # for rows without a split of their own: train | dev | test | ""
    offset_unit: str = "codepoint"  # of span and answer offsets: codepoint | utf16 | byte
    token_join: str = "auto"  # noqa: S105  # tokens to text: auto | space | none

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON; `from_mapping` reads it back."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, values: Values[str, Any]) -> "Mapping":
        """A mapping from JSON; unknown names are refused with TypeError."""
        if unknown := set(values) - {f.name for f in fields(cls)}:
            raise TypeError(f"Unknown mapping options: {', '.join(sorted(unknown))}")
        meta = values.get("meta")
        return cls(**{**values, "meta": None if meta is None else tuple(meta)})


@dataclass(slots=True)
class Mapped:
    """A row as a canonical record and what travels beside it."""

    number: int
    record: dict[str, Any]
    external_id: str | None
    split: str
    position: Position


def missing_fields(kind: str, mapping: Mapping) -> list[str]:
    """The fields that still need a column (of the first way to make the kind); [] when the mapping can be used."""
    ways = REQUIRED[kind]
    if any(all(name in mapping.columns for name in way) for way in ways):
        return []
    return [name for name in ways[0] if name not in mapping.columns]


def compile_mapping(kind: str, mapping: Mapping) -> Callable[[RawRow], Mapped | list[RowError]]:
    """`apply_mapping` with everything that is the same for all rows worked out once."""
    make = _MAKERS[kind]
    columns = mapping.columns
    used = {column.split(".")[0] if "." in column else column for column in columns.values()} | set(columns.values())

    def convert(raw: RawRow) -> Mapped | list[RowError]:
        values = raw.values
        cells = {
            name: values[column] if column in values else read.path(values, column) for name, column in columns.items()
        }
        try:
            record = make(cells, mapping)
            meta = read.meta(cells.get("meta"), values, used, mapping.meta, columns.get("meta", ""))
            external_id = read.external_id(cells.get("external_id"))
            split = read.split(cells.get("split")) or mapping.split
        except Unmappable as problem:
            return [_error(raw, problem.code, problem.field, problem.message)]
        if meta:
            record["meta"] = meta
        problems = record_problems(kind, record)
        if problems:
            return [_error(raw, p.code, p.field, join([p.message, p.hint])) for p in problems]
        return Mapped(raw.number, record, external_id, split, raw.position)

    return convert


def apply_mapping(kind: str, mapping: Mapping, raw: RawRow) -> Mapped | list[RowError]:
    """The canonical record of one row, or all that is wrong with it."""
    return compile_mapping(kind, mapping)(raw)


def _error(raw: RawRow, code: str, name: str, message: str) -> RowError:
    return RowError(raw.number, code, message, snippet(raw.values), raw.position, name)


def _classification(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    labels = read.labels(cells.get("label"), mapping.label_separator, mapping.label_names)
    return {"text": cells.get("text"), "labels": labels}


def _spans(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    if cells.get("tokens") is not None:
        return read.tagged(cells, mapping.token_join, mapping.label_names)
    text = cells.get("text")
    return {"text": text, "spans": read.spans(cells.get("spans"), text, mapping.offset_unit)}


def _pairs(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    if "source" in cells:
        return {"source": cells["source"], "target": cells.get("target")}
    return {"source": alpaca_instruction(cells), "target": cells.get("target")}


def _qa(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    context = cells.get("context")
    answers = read.answers(cells, context, mapping.offset_unit)
    return {"question": cells.get("question"), "context": context, "answers": answers}


def _chat(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    if "messages" in cells:
        return {"messages": _with_system(to_messages(cells["messages"]), cells)}
    answer = [{"role": "assistant", "content": cells.get("output")}]
    return {"messages": alpaca_messages(cells) + answer}


def _preference(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    prompt = None
    if "prompt" in cells:
        prompt = _with_system(to_prompt(cells["prompt"]), cells)
    elif "instruction" in cells:
        prompt = alpaca_messages(cells)
    chosen, rejected = cells.get("chosen"), cells.get("rejected")
    if prompt is None:  # the conversation must be in the answers themselves
        return to_preference(None, read.answer(chosen), read.answer(rejected))
    return to_preference(prompt, chosen, rejected)


def _with_system(messages: list[dict[str, str]], cells: dict[str, Any]) -> list[dict[str, str]]:
    system = cells.get("system")
    return [{"role": "system", "content": system}, *messages] if system else messages


def _corpus(cells: dict[str, Any], mapping: Mapping) -> dict[str, Any]:
    return {"text": cells.get("text")}


_MAKERS: dict[str, Callable[[dict[str, Any], Mapping], dict[str, Any]]] = {
    "classification": _classification,
    "spans": _spans,
    "pairs": _pairs,
    "qa": _qa,
    "chat": _chat,
    "preference": _preference,
    "corpus": _corpus,
}

"""Reading single values of a row as labels, spans, answers, ids, splits and meta; what cannot be read is Unmappable."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from apps.datasets.formats.dialogues import Unmappable, parsed
from apps.datasets.formats.offsets import to_codepoints
from apps.datasets.formats.tagging import decode_tags, join_tokens
from words import say

SPLIT_NAMES = {
    "": "", "unsplit": "", "none": "",
    "train": "train", "training": "train",
    "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "eval": "dev", "development": "dev",
    "test": "test", "testing": "test",
    "训练": "train", "训练集": "train", "验证": "dev", "验证集": "dev", "测试": "test", "测试集": "test",
}  # fmt: skip
_START = ("start", "start_offset", "begin", "start_char", "from")
_END = ("end", "end_offset", "stop", "end_char", "to")
_LABEL = ("label", "labels", "entity_group", "entity", "type", "tag", "slot")
_SURFACE = ("text", "surface", "word", "mention")


def path(values: Mapping[str, Any], column: str) -> Any:
    """The value under a dotted path, None where there is none."""
    value: Any = values
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def external_id(value: Any) -> str | None:
    """An id as text; empty is none. Numbers are written as they read."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unmappable("bad_id", "external_id", say("The id must be a text or a number."))
    if isinstance(value, str) and ("\0" in value or len(value) > 500):
        raise Unmappable("bad_id", "external_id", say("The id holds a NUL character or is longer than 500 characters."))
    return str(value)


def split(value: Any) -> str:
    """train, dev, test or "" from the names people give them."""
    name = SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else ("" if value is None else None)
    if name is None:
        raise Unmappable(
            "bad_split", "split", say("“{value}” is not a split. Use train, dev or test.", value=str(value)[:40])
        )
    return name


def labels(value: Any, separator: str = "", names: Mapping[str, str] | None = None) -> list[str]:
    """Labels of a cell: nothing, one, several by `separator`, or a list (also as JSON); numbers looked up in `names`."""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _label_list(value)
    if isinstance(value, str) and separator and separator in value:
        value = [part for part in (p.strip() for p in value.split(separator)) if part]
    elif isinstance(value, str):
        value = [value.strip()]
    entries = value if isinstance(value, list) else [value]
    if names and entries == [-1]:
        return []
    return list(dict.fromkeys(_label(entry, names or {}) for entry in entries))


def _label_list(value: str) -> Any:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list) and all(isinstance(entry, str | int) for entry in found) else value


def _label(value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise Unmappable(
            "wrong_type",
            "labels",
            say("A label must be a text or a number, here is a {name}.", name=type(value).__name__),
        )
    if names and not isinstance(value, str) and str(value) not in names:
        raise Unmappable(
            "unknown_label", "labels", say("The label {value} has no name in the table of labels.", value=value)
        )
    return names.get(str(value), str(value))


def spans(value: Any, text: Any, unit: str) -> list[dict[str, Any]]:
    """Spans from [start, end, label] lists or objects in the spellings of other tools, in code points."""
    value = parsed(value, "spans")
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise Unmappable("wrong_type", "spans", say("“spans” must be a list of spans with start, end and label."))
    if not isinstance(text, str):
        return []  # the check of the record says what is wrong with the text
    return [_span(entry, text, unit, f"spans.{at}") for at, entry in enumerate(value)]


def _span(entry: Any, text: str, unit: str, name: str) -> dict[str, Any]:
    surface = None
    if isinstance(entry, Mapping):
        entry = entry["value"] if isinstance(entry.get("value"), Mapping) else entry
        start, end, label, surface = (_first(entry, keys) for keys in (_START, _END, _LABEL, _SURFACE))
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
    elif isinstance(entry, list | tuple) and len(entry) == 3:
        start, end, label = entry
    else:
        raise Unmappable(
            "wrong_type", name, say("“{name}” must be [start, end, label] or an object with these names.", name=name)
        )
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(label, str):
        raise Unmappable("wrong_type", name, say("“{name}” has no label that is a text.", name=name))
    start, end = _offset(text, start, unit, name), _offset(text, end, unit, name)
    if isinstance(surface, str) and text[start:end] != surface:
        message = say(
            "At {start}..{end} the text reads “{text}”, the span says “{surface}”.",
            start=start,
            end=end,
            text=text[start:end][:40],
            surface=surface[:40],
        )
        raise Unmappable("span_mismatch", name, message)
    return {"start": start, "end": end, "label": label}


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _offset(text: str, value: Any, unit: str, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unmappable("wrong_type", name, say("“{name}” needs whole numbers as start and end.", name=name))
    try:
        return to_codepoints(text, value, unit)
    except ValueError as error:
        raise Unmappable(
            "span_outside", name, say("“{name}”: {error} ({unit}).", name=name, error=error.args[0], unit=unit)
        ) from error


def tagged(cells: Mapping[str, Any], join: str, names: Mapping[str, str]) -> dict[str, Any]:
    """Text and spans of token and tag lists; a `text` that holds the tokens in order is kept as it is."""
    tokens, tags = parsed(cells.get("tokens"), "tokens"), parsed(cells.get("tags"), "tags")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise Unmappable("wrong_type", "tokens", say("“tokens” must be a list of texts, none of them empty."))
    if not isinstance(tags, list) or len(tags) != len(tokens):
        raise Unmappable("tag_count", "tags", say("There must be as many tags as tokens."))
    try:
        found = decode_tags([_label(tag, names) for tag in tags])
    except ValueError as error:
        raise Unmappable("bad_tag", "tags", say("{error}.", error=error.args[0])) from error
    text = cells.get("text")
    bounds = _find_tokens(text, tokens) if isinstance(text, str) else None
    if bounds is None:
        text, bounds = join_tokens(tokens, join)
    marked = [{"start": bounds[a][0], "end": bounds[b - 1][1], "label": label} for a, b, label in found]
    return {"text": text, "spans": marked}


def _find_tokens(text: str, tokens: list[str]) -> list[tuple[int, int]] | None:
    bounds, at = [], 0
    for token in tokens:
        at = text.find(token, at)
        if at < 0:
            return None
        bounds.append((at, at + len(token)))
        at += len(token)
    return bounds


def answers(cells: Mapping[str, Any], context: Any, unit: str) -> list[dict[str, Any]]:
    """Answers from a list of objects, SQuAD's object of lists, or one text with or without its start."""
    value = parsed(cells.get("answers"), "answers")
    if value is None or value == "":
        text = cells.get("answer_text")
        value = [{"text": text, "start": cells.get("answer_start")}] if text not in (None, "") else []
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise Unmappable("wrong_type", "answers", say("“answers” must hold as many starts as texts."))
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise Unmappable("wrong_type", "answers", say("“answers” must be a list of answers with text and start."))
    if not isinstance(context, str):
        return []
    return [_answer(entry, context, unit, f"answers.{at}") for at, entry in enumerate(value)]


def _answer(entry: Mapping[str, Any], context: str, unit: str, name: str) -> dict[str, Any]:
    text, start = entry.get("text"), entry.get("start", entry.get("answer_start"))
    if not isinstance(text, str):
        raise Unmappable("wrong_type", name, say("“{name}” has no text.", name=name))
    if start is None or start == "":
        start = context.find(text) if text else -1
        if start < 0 or context.find(text, start + 1) >= 0:
            raise Unmappable(
                "answer_start",
                name,
                say("The answer has no start, and the context does not hold it exactly once."),
            )
        return {"text": text, "start": start}
    if isinstance(start, str) and start.strip().isdecimal():
        start = int(start)
    return {"text": text, "start": _offset(context, start, unit, name)}


def answer(value: Any) -> Any:
    """An answer of a preference pair: a text stays a text, unless it is the JSON of messages."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        entries = found if isinstance(found, list) else [found]
        shaped = entries and all(isinstance(e, dict) and (e.keys() & {"role", "from"}) for e in entries)
        return found if shaped else value
    return value


def meta(
    cell: Any, values: Mapping[str, Any], used: set[str], chosen: tuple[str, ...] | None, column: str
) -> dict[str, Any]:
    """Extra columns as scalars (objects as JSON text, missing ones left out), then what the meta column itself holds."""
    names = [name for name in values if name not in used] if chosen is None else chosen
    found = {name: _scalar(values[name]) for name in names if not _missing(values.get(name))}
    if cell is None or cell == "":
        return found
    if isinstance(cell, str):
        with suppress(ValueError, RecursionError):  # a plain text stays one
            cell = json.loads(cell)
    if isinstance(cell, Mapping):
        return found | {str(name): _scalar(value) for name, value in cell.items()}
    return found | {column or "meta": _scalar(cell)}


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)

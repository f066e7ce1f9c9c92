"""Reading JSON Lines and JSON lists one object at a time."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ijson

from apps.datasets.formats.lines import cell_error, oversized, read_texts
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError, snippet
from apps.datasets.formats.sources import open_utf8
from core.nesting import DepthGuard, NestedTooDeeply, Readable
from words import say


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def read_jsonl(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """One object a line; blank lines are passed over."""
    limit = options.limits.max_cell_bytes
    for line, position, text in read_texts(path, options, start):
        if isinstance(text, RowError):
            yield text
            continue
        try:
            value = _decoder.decode(text)
        except (ValueError, RecursionError) as error:
            message = say("Line {number} is not JSON: {error}.", number=line.number, error=error)
            yield RowError(position.row, "invalid_json", message, snippet(text), position)
            continue
        large = line.end - line.start > limit
        yield _row(_floats(value), position.row, position, limit if large else 0)


def _row(value: Any, number: int, position: Position, limit: int) -> RawRow | RowError:
    if not isinstance(value, dict):
        message = say('An object like {{"text": …}} was expected, here is a {name}.', name=type(value).__name__)
        return RowError(number, "not_an_object", message, snippet(value), position)
    large = next((name for name, cell in value.items() if limit and oversized(cell, limit)), None)
    if large is not None:
        return cell_error(number, position, limit, large, value[large])
    return RawRow(number, value, position)


class _ItemGuard:
    """Counts the bytes a JSON parser takes between two items: one item may not grow without end."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream, self._limit, self.since = stream, limit, 0

    def read(self, size: int = -1) -> bytes:
        if self.since > self._limit:
            raise FileProblem(
                "item_too_large", say("One entry of the JSON list takes more than {limit:,} bytes.", limit=self._limit)
            )
        given = self._stream.read(size)
        self.since += len(given)
        return given


def read_json(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """The objects of a JSON list; damage in the middle keeps what came before and then raises FileProblem."""
    limits, rows = options.limits, 0
    prefix = f"{options.list_path}.item" if options.list_path else "item"
    with open_utf8(path, options) as stream:
        guard = _ItemGuard(DepthGuard(stream), limits.max_record_bytes)
        items = ijson.items(guard, prefix)  # use_float would refuse integers over 64 bits
        while True:
            try:
                value = next(items)
            except StopIteration:
                break
            except (ijson.JSONError, ValueError, RecursionError) as error:
                raise _json_problem(error, rows) from error
            guard.since, rows = 0, rows + 1
            if rows > start.row:
                yield _row(_floats(value), rows, Position(0, rows), limits.max_cell_bytes)
    if not rows:
        where = (
            say("under “{list_path}”", list_path=options.list_path) if options.list_path else say("at the top level")
        )
        raise FileProblem("no_list", say("The JSON file has no list of objects {where}.", where=where))


def _floats(value: Any) -> Any:
    """The parser's Decimals as floats, as every other reader of JSON gives them."""
    if isinstance(value, dict):
        return {name: _floats(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_floats(entry) for entry in value]
    return float(value) if isinstance(value, Decimal) else value


def _json_problem(error: Exception, rows: int) -> FileProblem:
    if isinstance(error, NestedTooDeeply):
        return FileProblem("nested_too_deeply", error.args[0])
    reason = " ".join(str(error).split())[:200]
    if "UTF" in reason or "utf" in reason:
        return FileProblem(
            "invalid_encoding", say("The file is not valid UTF-8 after entry {rows}. Choose its encoding.", rows=rows)
        )
    if isinstance(error, ijson.IncompleteJSONError) and ("premature" in reason or "incomplete" in reason.lower()):
        return FileProblem(
            "truncated_json", say("The JSON file ends too early, after entry {rows}. Upload it again.", rows=rows)
        )
    return FileProblem(
        "invalid_json", say("The JSON file is broken after entry {rows}: {reason}", rows=rows, reason=reason)
    )

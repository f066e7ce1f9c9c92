"""Rows as CSV or JSON lines, piece by piece: each portion is its own short query, no connection is held between."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import close_old_connections, connection
from django.db.models import QuerySet

from core.spreadsheets import harmless

ROWS_AT_ONCE = 2_000
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "spreadsheet": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
}


def portions(rows: QuerySet[Any], size: int = ROWS_AT_ONCE) -> Iterator[list[Any]]:
    """Lists of rows by ascending id."""
    last = 0
    while found := list(rows.filter(pk__gt=last).order_by("pk")[:size]):
        last = found[-1].pk
        if not connection.in_atomic_block:
            close_old_connections()
        yield found
        if len(found) < size:
            return


def as_text(
    rows: QuerySet[Any], form: str, columns: Sequence[str], record: Callable[[Any], Mapping[str, Any]]
) -> Iterator[str]:
    """Pieces of a file with `columns` of `record(row)`, as `lines_of` writes them."""
    return lines_of(portions(rows), form, columns, record)


def lines_of(
    parts: Iterable[Sequence[Any]], form: str, columns: Sequence[str], record: Callable[[Any], Mapping[str, Any]]
) -> Iterator[str]:
    """Pieces of a file with `columns` of `record(row)`, one of each part.

    "csv" (lists of texts joined by "|", what has names as JSON) and "jsonl" are exact; "spreadsheet" is CSV with a byte
    order mark in which a text that a spreadsheet would calculate gets an apostrophe in front.
    """
    if form == "jsonl":
        for found in parts:
            records = [record(row) for row in found]
            lines = [json.dumps({name: each.get(name) for name in columns}, ensure_ascii=False) for each in records]
            yield "\n".join(lines) + "\n"
        return
    cell = _harmless if form == "spreadsheet" else _cell
    yield ("\ufeff" if form == "spreadsheet" else "") + _csv_lines([list(columns)])
    for found in parts:
        yield _csv_lines([[cell(each.get(name)) for name in columns] for each in map(record, found)])


def _harmless(value: Any) -> Any:
    text = _cell(value)
    return harmless(text) if isinstance(text, str) else text


def _cell(value: Any) -> Any:
    if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "|".join(str(part) for part in value)
    return "" if value is None else value


def _csv_lines(table: list[list[Any]]) -> str:
    sink = io.StringIO()
    csv.writer(sink, lineterminator="\r\n").writerows(table)
    return sink.getvalue()

"""The audit trail as CSV or JSON lines, read and written piece by piece."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from apps.accounts.models import AuditEntry
from core.spreadsheets import harmless

COLUMNS = (
    "id",
    "at",
    "actor",
    "action",
    "object_type",
    "object_id",
    "object_label",
    "detail",
    "ip",
    "user_id",
    "key_id",
)
CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson; charset=utf-8"}
PIECE = 1000


def write(rows: QuerySet[AuditEntry], kind: str) -> Iterator[str]:
    """Pieces of the file, newest first; `kind` is csv or jsonl. Spreadsheet formulas are made harmless in CSV."""
    return _csv(rows) if kind == "csv" else _jsonl(rows)


def _pieces(rows: QuerySet[AuditEntry]) -> Iterator[list[dict[str, Any]]]:
    """Keyset instead of a cursor: nothing is held open while a slow client reads."""
    rows = rows.order_by("-id")
    last: int | None = None
    while found := list((rows if last is None else rows.filter(pk__lt=last)).values(*COLUMNS)[:PIECE]):
        yield found
        last = found[-1]["id"]


def _jsonl(rows: QuerySet[AuditEntry]) -> Iterator[str]:
    for piece in _pieces(rows):
        lines = ({**entry, "at": entry["at"].isoformat()} for entry in piece)
        yield "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _csv(rows: QuerySet[AuditEntry]) -> Iterator[str]:
    yield _csv_text([list(COLUMNS)])
    for piece in _pieces(rows):
        yield _csv_text([[_cell(name, entry[name]) for name in COLUMNS] for entry in piece])


def _csv_text(lines: list[list[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    text = (
        value.isoformat() if name == "at" else json.dumps(value, ensure_ascii=False) if name == "detail" else str(value)
    )
    return harmless(text)

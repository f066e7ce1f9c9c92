"""What reading a file gives back: rows, bad rows with number and reason, or a problem of the whole file."""

from dataclasses import dataclass
from typing import Any, NamedTuple

SNIPPET_CHARACTERS = 120


class FileProblem(Exception):
    """The file as a whole cannot be read (further). `code` is stable for programs, `message` is for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Position(NamedTuple):
    """Where reading may go on: everything before it has been given out.

    `offset` counts bytes of the unpacked stream (UTF-8 where the file is UTF-16) and is used by CSV, TSV, JSONL,
    plain text and CoNLL; an unpacked plain file seeks there, a compressed one is unpacked and skipped again.
    JSON, Parquet and Excel resume by `row`: Parquet skips whole row groups, JSON and Excel parse again from the start.
    """

    offset: int = 0
    row: int = 0  # rows (good and bad) given so far
    line: int = 0  # lines consumed so far, for messages


@dataclass(slots=True)
class RawRow:
    """One row as the file has it; `number` counts rows from 1, header and blank lines left out."""

    number: int
    values: dict[str, Any]
    position: Position


@dataclass(slots=True)
class RowError:
    """One row that cannot be used, and why; the rows after it go on."""

    number: int
    code: str
    message: str
    snippet: str
    position: Position
    field: str = ""

    def as_mapping(self) -> dict[str, object]:
        """The error as plain JSON."""
        return {
            "number": self.number,
            "line": self.position.line,
            "code": self.code,
            "field": self.field,
            "message": self.message,
            "snippet": self.snippet,
        }


def snippet(value: object) -> str:
    """The start of `value` for a report: at most 120 characters, control characters and bad bytes made visible."""
    if isinstance(value, bytes):
        value = value[: SNIPPET_CHARACTERS * 4].decode("utf-8", "backslashreplace")
    text = str(value)[: SNIPPET_CHARACTERS + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= SNIPPET_CHARACTERS else shown[: SNIPPET_CHARACTERS - 1] + "…"

"""Walking a byte stream by line feeds alone: U+2028, U+0085, form feeds and lone CRs never end a line."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import Position, RowError, snippet
from apps.datasets.formats.sources import codec_name, open_lines, skip_to
from words import say

_BOM = b"\xef\xbb\xbf"
_CHUNK = 256 * 1024


@dataclass(slots=True)
class Line:
    """One line with its ending; `raw` is None when it was longer than the limit and has been passed over."""

    raw: bytes | None
    start: int
    end: int
    number: int  # from 1


def read_lines(stream: io.BufferedReader, start: Position, limit: int) -> Iterator[Line]:
    """Lines from where `stream` stands (which is `start.offset`); a byte order mark at the very start is left out."""
    offset, number = start.offset, start.line
    while raw := stream.readline(limit):
        begun, number = offset, number + 1
        offset += len(raw)
        if len(raw) == limit and not raw.endswith(b"\n"):
            while (rest := stream.readline(_CHUNK)) and not rest.endswith(b"\n"):
                offset += len(rest)
            offset += len(rest)
            yield Line(None, begun, offset, number)
            continue
        yield Line(raw[3:] if begun == 0 and raw.startswith(_BOM) else raw, begun, offset, number)


def read_texts(path: Path, options: ReadOptions, start: Position) -> Iterator[tuple[Line, Position, str | RowError]]:
    """Every line that is not blank from `start` on: the line, where it ends, and its text or why it has none."""
    rows = start.row
    with open_lines(path, options) as stream:
        skip_to(stream, start.offset)
        for line in read_lines(stream, start, options.limits.max_record_bytes):
            if line.raw is not None and not line.raw.strip():
                continue
            rows += 1
            yield line, Position(line.end, rows, line.number), decode_line(line, options, rows, rows)


def decode_line(line: Line, options: ReadOptions, number: int, rows: int) -> str | RowError:
    """The text of a line, or why it is none: too long, NUL inside, bytes that are not the encoding's."""
    position = Position(line.end, rows, line.number)
    if line.raw is None:
        limit = options.limits.max_record_bytes
        return RowError(
            number,
            "line_too_long",
            say("Line {number} is longer than {limit:,} bytes.", number=line.number, limit=limit),
            "",
            position,
        )
    if b"\0" in line.raw:
        at = line.start + line.raw.index(b"\0")
        message = say("Line {number} holds a NUL byte (byte {at:,} of the file).", number=line.number, at=at)
        return RowError(number, "nul_byte", message, snippet(line.raw), position)
    try:
        return line.raw.decode(codec_name(options.encoding))
    except UnicodeDecodeError as error:
        at = line.start + error.start
        message = say(
            "Line {number} is not valid {encoding} (byte {at:,} of the file).",
            number=line.number,
            encoding=options.encoding,
            at=at,
        )
        return RowError(number, "invalid_encoding", message, snippet(line.raw), position)


def oversized(values: object, limit: int) -> bool:
    """Whether a text inside `values` takes more than `limit` bytes in UTF-8."""
    if isinstance(values, str):
        return len(values) > limit or (len(values) * 4 > limit and len(values.encode("utf-8", "replace")) > limit)
    if isinstance(values, dict):
        return any(oversized(value, limit) for value in values.values())
    return isinstance(values, list) and any(oversized(value, limit) for value in values)


def cell_error(number: int, position: Position, limit: int, column: str, value: object) -> RowError:
    """The refusal of a value that is too long."""
    message = say("The value of “{column}” is longer than {limit:,} bytes.", column=column, limit=limit)
    return RowError(number, "cell_too_large", message, snippet(value), position, column)

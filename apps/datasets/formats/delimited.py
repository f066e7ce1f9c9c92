"""Reading CSV and TSV row by row, exactly: line breaks inside quotes stay, a broken row costs that row only."""

import csv
import io
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from apps.datasets.formats.lines import Line, cell_error, oversized, read_lines
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError, snippet
from apps.datasets.formats.sources import codec_name, open_lines, skip_to
from words import say

csv.field_size_limit(2**31 - 1)  # ours are Limits; the module's own is process-wide and far too small

_QUOTE_HELP = say("A quotation mark inside a quoted value must be doubled.")

_SUSPECT_ROWS = 20


class _Feed:
    """Hands lines to csv.reader and remembers which of them make up the record being read."""

    def __init__(self, stream: io.BufferedReader, start: Position, options: ReadOptions) -> None:
        self._lines = read_lines(stream, start, options.limits.max_record_bytes)
        self._pending: deque[Line] = deque()
        self._codec = codec_name(options.encoding)
        self._limit = options.limits.max_record_bytes
        self.record: list[Line] = []
        self.bytes = 0
        self.error = ""  # code of what is wrong with the record's bytes
        self.error_at = 0

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        if self.bytes > self._limit:
            raise StopIteration  # a quote that was opened and not closed for too long
        line = self._pending.popleft() if self._pending else next(self._lines)
        self.record.append(line)
        self.bytes += line.end - line.start
        if line.raw is None:
            self.error, self.error_at = "line_too_long", line.start
            return "\n"
        if b"\0" in line.raw and not self.error:
            self.error, self.error_at = "nul_byte", line.start + line.raw.index(b"\0")
        try:
            return line.raw.decode(self._codec)
        except UnicodeDecodeError as error:
            self.error, self.error_at = "invalid_encoding", line.start + error.start
            return line.raw.decode(self._codec, "replace")

    def begin(self) -> None:
        self.record, self.bytes, self.error = [], 0, ""

    def give_back(self) -> None:
        """Keep the first line of the record only; the others are read again as records of their own."""
        self._pending.extendleft(reversed(self.record[1:]))
        del self.record[1:]

    def position(self, rows: int) -> Position:
        last = self.record[-1]
        return Position(last.end, rows, last.number)


def _reader(feed: _Feed, options: ReadOptions) -> Iterator[list[str]]:
    if options.quoting:
        return csv.reader(feed, delimiter=options.delimiter, strict=True)
    return csv.reader(feed, delimiter=options.delimiter, quoting=csv.QUOTE_NONE, strict=True)


def column_names(cells: list[str]) -> list[str]:
    """Names of a header: an empty one becomes column_N; twice the same is a FileProblem."""
    names = [cell.strip() or f"column_{at}" for at, cell in enumerate(cells, 1)]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        listed = ", ".join(f"“{name}”" for name in twice)
        raise FileProblem(
            "duplicate_headers", say("Two columns have the same name: {listed}. Rename one of them.", listed=listed)
        )
    return names


def read_header(path: Path, options: ReadOptions) -> tuple[list[str], Position]:
    """The column names and where the first data row begins."""
    with open_lines(path, options) as stream:
        feed = _Feed(stream, Position(), options)
        reader = _reader(feed, options)
        try:
            cells = next(reader)
            while not cells:
                feed.begin()
                cells = next(reader)
        except StopIteration as error:
            raise FileProblem("empty_file", say("The file is empty.")) from error
        except csv.Error as error:
            raise FileProblem(
                "bad_header",
                say("The first line is not a header: {error}. {quote_help}", error=error, quote_help=_QUOTE_HELP),
            ) from error
        if feed.error:
            raise FileProblem(
                feed.error,
                say(
                    "The first line cannot be read (byte {error_at:,}): {error}.",
                    error_at=feed.error_at,
                    error=feed.error,
                ),
            )
        if not options.header:
            return [f"column_{at}" for at in range(1, len(cells) + 1)], Position()
        return column_names(cells), feed.position(0)


def read_delimited(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Rows of a CSV or TSV file from `start` on."""
    names, first = read_header(path, options)
    if start.offset < first.offset:
        start = first
    limit, width, rows = options.limits.max_cell_bytes, len(names), start.row
    with open_lines(path, options) as stream:
        skip_to(stream, start.offset)
        feed = _Feed(stream, start, options)
        reader = _reader(feed, options)
        suspect = 0  # rows that may still be pieces of a record with broken quotation marks
        while True:
            feed.begin()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                rows += 1
                yield _broken(feed, rows, str(error))
                suspect = _SUSPECT_ROWS if _odd_quotes(feed) else suspect
                continue
            if not cells:
                continue
            rows += 1
            position = feed.position(rows)
            if feed.error:
                yield _bad_bytes(feed, rows, position, options)
            elif suspect and _odd_quotes(feed):
                suspect = 0
                message = say("This line follows a row with broken quotation marks and seems to be a part of it.")
                yield RowError(rows, "broken_quotes", message, snippet(feed.record[0].raw), position)
            elif len(cells) != width:
                message = say(
                    "The row has {cells_count} values, the header has {width} columns.",
                    cells_count=len(cells),
                    width=width,
                )
                yield RowError(rows, "ragged_row", message, snippet(feed.record[0].raw), position)
            elif (
                feed.bytes > limit and (large := next((c for c in range(width) if oversized(cells[c], limit)), -1)) >= 0
            ):
                yield cell_error(rows, position, limit, names[large], cells[large])
            else:
                suspect = max(0, suspect - 1)
                yield RawRow(rows, dict(zip(names, cells, strict=True)), position)


def _odd_quotes(feed: _Feed) -> bool:
    return sum((line.raw or b"").count(b'"') for line in feed.record) % 2 == 1


def _broken(feed: _Feed, number: int, reason: str) -> RowError:
    """The refusal of a record that csv could not take apart; its later lines get their own chance."""
    first = feed.record[0]
    feed.give_back()
    if reason.startswith("unexpected end"):
        code, message = (
            "unclosed_quote",
            say(
                "A quotation mark opened in line {number} is never closed. {quote_help}",
                number=first.number,
                quote_help=_QUOTE_HELP,
            ),
        )
    elif reason.startswith("new-line"):
        code, message = (
            "stray_cr",
            say("A carriage return stands outside quotation marks. Put the value in quotation marks."),
        )
    else:
        code, message = (
            "broken_quotes",
            say(
                "The quotation marks in line {number} do not match. {quote_help}",
                number=first.number,
                quote_help=_QUOTE_HELP,
            ),
        )
    return RowError(number, code, message, snippet(first.raw), feed.position(number))


def _bad_bytes(feed: _Feed, number: int, position: Position, options: ReadOptions) -> RowError:
    reasons = {
        "nul_byte": say("The row holds a NUL byte (byte {error_at:,} of the file).", error_at=feed.error_at),
        "invalid_encoding": say(
            "The row is not valid {encoding} (byte {error_at:,} of the file).",
            encoding=options.encoding,
            error_at=feed.error_at,
        ),
        "line_too_long": say(
            "The line is longer than {max_record_bytes:,} bytes.", max_record_bytes=options.limits.max_record_bytes
        ),
    }
    return RowError(number, feed.error, reasons[feed.error], snippet(feed.record[0].raw or ""), position)

"""Reading plain text (a line or a file is a row) and CoNLL columns (a sentence is a row)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from apps.datasets.formats.lines import Line, cell_error, decode_line, oversized, read_lines, read_texts
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError, snippet
from apps.datasets.formats.sources import open_lines, open_utf8, skip_to
from words import say

_COMMENT = re.compile(r"#\s?[\w.:-]+\s=\s")
_TAG = re.compile(r"(?:[BIESLUM][-_]\S+|O)\Z")


def read_text(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Column `text`: each line without its ending, blank ones left out; or the whole file as it is."""
    if options.whole_file:
        yield from _whole(path, options, start)
        return
    limit = options.limits.max_cell_bytes
    for _line, position, text in read_texts(path, options, start):
        if isinstance(text, RowError):
            yield text
        elif oversized(text, limit):
            yield cell_error(position.row, position, limit, "text", text)
        else:
            yield RawRow(position.row, {"text": text.removesuffix("\n").removesuffix("\r")}, position)


def _whole(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    if start.row:
        return
    limit = options.limits.max_cell_bytes
    with open_utf8(path, options) as stream:
        raw = stream.read(limit + 1)
    end = Position(len(raw), 1, 1)
    if len(raw) > limit:
        yield cell_error(1, end, limit, "text", raw)
    elif b"\0" in raw:
        yield RowError(
            1, "nul_byte", say("The file holds a NUL byte (byte {value:,}).", value=raw.index(0)), snippet(raw), end
        )
    elif raw.strip():
        yield RawRow(1, {"text": raw.decode("utf-8", "replace")}, end)
    else:
        raise FileProblem("empty_file", say("The file is empty."))


@dataclass(slots=True)
class _Sentence:
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    error: tuple[str, str, str] | None = None  # code, message, snippet
    bytes: int = 0


def split_columns(text: str) -> list[str]:
    """The columns of a CoNLL line: by tab where there is one, else by spaces; a token may hold U+3000 or U+00A0."""
    return text.split("\t") if "\t" in text else [part for part in text.split(" ") if part]


def is_tag(text: str) -> bool:
    """Whether `text` is O or a prefix of IOB, IOBES, BILOU or BMES and a label."""
    return bool(_TAG.match(text))


def read_conll(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Columns `tokens` and `tags`, one row a sentence; comments (`# name = value`) and -DOCSTART- are left out."""
    rows, limits = start.row, options.limits
    sentence, line = _Sentence(), None
    with open_lines(path, options) as stream:
        skip_to(stream, start.offset)
        for line in read_lines(stream, start, limits.max_record_bytes):
            if line.raw is None or line.raw.strip(b" \t\r\n"):
                _add(sentence, line, options)
                continue
            if sentence.tokens or sentence.error:
                rows += 1
                yield _finish(sentence, rows, Position(line.end, rows, line.number))
                sentence = _Sentence()
        if line is not None and (sentence.tokens or sentence.error):
            rows += 1
            yield _finish(sentence, rows, Position(line.end, rows, line.number))


def _add(sentence: _Sentence, line: Line, options: ReadOptions) -> None:
    if sentence.error:
        return
    text = decode_line(line, options, 0, 0)
    if isinstance(text, RowError):
        sentence.error = (text.code, text.message, text.snippet)
        return
    text = text.rstrip("\r\n")
    columns = split_columns(text)
    if columns[0] == "-DOCSTART-" or (_COMMENT.match(text) and not is_tag(columns[-1])):
        return
    sentence.bytes += len(text)
    if sentence.bytes > options.limits.max_cell_bytes:
        sentence.error = (
            "cell_too_large",
            say("The sentence before line {number} is too long.", number=line.number),
            snippet(text),
        )
        return
    try:
        if len(columns) < 2:
            raise IndexError
        token, tag = columns[options.token_column], columns[options.tag_column].strip()
    except IndexError:
        message = say(
            "Line {number} has {columns_count} column(s); a token and its tag were expected.",
            number=line.number,
            columns_count=len(columns),
        )
        sentence.error = ("missing_column", message, snippet(text))
        return
    if not token or not is_tag(tag):
        message = say(
            "Line {number}: “{tag}” is not a tag like O, B-LABEL or I-LABEL.", number=line.number, tag=snippet(tag)
        )
        sentence.error = ("bad_tag", message, snippet(text))
        return
    sentence.tokens.append(token)
    sentence.tags.append(tag)


def _finish(sentence: _Sentence, number: int, position: Position) -> RawRow | RowError:
    if sentence.error:
        return RowError(number, *sentence.error, position)
    return RawRow(number, {"tokens": sentence.tokens, "tags": sentence.tags}, position)

"""Looking at the beginning of a file to say what it is and how it can be read."""

import csv
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ijson

from apps.datasets.formats.delimited import read_header
from apps.datasets.formats.encodings import detect_encoding
from apps.datasets.formats.options import Limits, ReadOptions
from apps.datasets.formats.plain import is_tag, split_columns
from apps.datasets.formats.problems import FileProblem, RawRow
from apps.datasets.formats.reading import read_rows
from apps.datasets.formats.sources import open_source, open_utf8, open_zip, single_member
from apps.datasets.formats.tables import HF_FILE, open_workbook, parquet_schema
from apps.datasets.formats.tagging import detect_scheme
from core.nesting import DepthGuard
from words import say

HEAD_BYTES = 256 * 1024
SEARCH_BYTES = 64_000_000  # how far to look for the first byte beyond ASCII
SAMPLE_ROWS = 50
_DELIMITERS = (",", "\t", ";", "|")
_MAGIC = {
    b"%PDF": say("a PDF"),
    b"\x89PNG": say("a picture"),
    b"\xff\xd8\xff": say("a picture"),
    b"GIF8": say("a picture"),
    b"\x7fELF": say("a program"),
    b"MZ\x90": say("a program"),
    b"\xd0\xcf\x11\xe0": say("an old Office file (.xls or .doc)"),
    b"Rar!": say("a RAR archive"),
    b"7z\xbc\xaf": say("a 7z archive"),
    b"BZh": say("a bzip2 file"),
    b"\xfd7zXZ": say("an xz file"),
    b"\x28\xb5\x2f\xfd": say("a zstd file"),
    b"SQLite f": say("a SQLite database"),
    b"\x80\x04\x95": say("a pickle"),
    b"ID3": say("a sound"),
    b"RIFF": say("a sound or video"),
}


@dataclass(frozen=True)
class Sniffed:
    """What a file seems to be. `options` reads it; `problems` are doubts a person should see, code and sentence."""

    format: str
    options: ReadOptions
    columns: list[str]
    sample: list[dict[str, Any]] = field(default_factory=list)  # first good rows
    shape: str = ""  # openai_chat | sharegpt | alpaca | preference | "" : the layout inside JSON
    sheets: list[str] = field(default_factory=list)
    label_names: dict[str, list[str]] = field(default_factory=dict)  # class names by column (Parquet of `datasets`)
    scheme: str = ""  # tagging scheme of CoNLL
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def encoding(self) -> str:
        return self.options.encoding

    @property
    def delimiter(self) -> str:
        return self.options.delimiter

    @property
    def compression(self) -> str:
        return self.options.compression


def sniff(path: Path, filename: str = "", limits: Limits = Limits()) -> Sniffed:  # noqa: B008
    """What `path` is, by content first and by `filename` where content leaves it open.

    Raises FileProblem for what can be no data file: empty, binary, damaged from the start.
    """
    filename = (filename or path.name).lower()
    with path.open("rb") as file:
        magic = file.read(8)
    if not magic:
        raise FileProblem("empty_file", say("The file is empty."))
    compression = ""
    if magic.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if found := _archive(path, limits):
            return found
        with open_zip(path) as archive:
            filename = single_member(archive).filename.lower()
        compression = "zip"
    elif magic.startswith(b"\x1f\x8b"):
        compression, filename = "gzip", filename.removesuffix(".gz")
    elif magic.startswith(b"PAR1"):
        columns, names = parquet_schema(path)
        return _with_sample(path, Sniffed("parquet", ReadOptions("parquet", limits=limits), columns, label_names=names))
    return _text_file(path, filename, compression, limits)


def _archive(path: Path, limits: Limits) -> Sniffed | None:
    """A zip that is a format of its own: Excel or the Hugging Face layout."""
    with open_zip(path) as archive:
        names = set(archive.namelist())
    if any(HF_FILE.match(name) for name in names):
        return _with_sample(path, Sniffed("huggingface", ReadOptions("huggingface", limits=limits), []))
    if "xl/workbook.xml" not in names:
        return None
    with open_workbook(path, limits) as book:
        sheets = [sheet.title for sheet in book.worksheets]
    if not sheets:
        raise FileProblem("no_sheet", say("The workbook has no sheet with cells."))
    return _with_sample(path, Sniffed("xlsx", ReadOptions("xlsx", sheet=sheets[0], limits=limits), [], sheets=sheets))


def _text_file(path: Path, filename: str, compression: str, limits: Limits) -> Sniffed:
    head, sample = _head(path, compression, limits)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            raise FileProblem(
                "binary_file",
                say("This is {name}, not a data file. Upload CSV, JSON, Parquet, Excel or text.", name=name),
            )
    encoding, sure = detect_encoding(sample)
    if head.startswith((b"PAR1", b"PK\x03\x04")):
        raise FileProblem("packed_twice", say("Parquet and Excel are compressed by themselves: unpack the file once."))
    strange = sum(byte < 9 or 13 < byte < 27 for byte in head)
    if not encoding.startswith("utf-16") and strange > max(64, len(head) // 20):
        raise FileProblem("binary_file", say("The file is binary, not text. Upload CSV, JSON, Parquet, Excel or text."))
    problems = []
    if not sure:
        said = say(
            "The encoding is not certain; {encoding} fits best. Check the preview or choose another.", encoding=encoding
        )
        problems.append(("encoding_unsure", said))
    options = ReadOptions("text", encoding=encoding, compression=compression, limits=limits)
    text = head.removeprefix(b"\xef\xbb\xbf").decode(encoding, "replace")
    if not text.strip():
        raise FileProblem("empty_file", say("The file holds nothing but white space."))
    return _with_sample(path, replace(_recognise(path, text, filename, options), problems=problems))


def _head(path: Path, compression: str, limits: Limits) -> tuple[bytes, bytes]:
    """(the beginning, a sample for the encoding): the sample goes on until bytes beyond ASCII are met."""
    with open_source(path, compression, limits) as source:
        head = _read(source, HEAD_BYTES)
        sample, seen = head, len(head)
        while sample.isascii() and seen < SEARCH_BYTES:
            more = _read(source, HEAD_BYTES)
            if not more:
                return head, head
            seen += len(more)
            sample = more if more.isascii() else more[more.find(b"\n") + 1 :] + _read(source, HEAD_BYTES)
    return head, head if sample.isascii() else sample


def _read(source: Any, size: int) -> bytes:
    """Up to `size` bytes; damage behind the first bytes is left for the import to report with its row."""
    parts, left = list[bytes](), size
    while left:
        try:
            part = source.read1(left)
        except FileProblem:
            if not parts:
                raise
            break
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _recognise(path: Path, text: str, filename: str, options: ReadOptions) -> Sniffed:
    start = text.lstrip()[:1]
    if start == "{":
        first = _first_object(text)
        if first is None and "\n" not in text and filename.endswith((".jsonl", ".ndjson")):
            # One long text: its line reaches beyond what was looked at, and the name decides.
            return Sniffed("jsonl", replace(options, format="jsonl"), [])
        lines = [line for line in text.split("\n")[:20] if line.strip()]
        one_line = isinstance(first, dict) and _is_object(lines[0])
        if one_line and (len(lines) > 1 or not filename.endswith(".json") or not _list_path(path, options)):
            return Sniffed("jsonl", replace(options, format="jsonl"), [], shape=json_shape(first))
        where = _list_path(path, options)
        if where or filename.endswith(".json") or not one_line:
            return Sniffed("json", replace(options, format="json", list_path=where), [])
    if start == "[" and not filename.endswith((".csv", ".tsv", ".txt", ".conll")):
        return Sniffed("json", replace(options, format="json"), [])
    if filename.endswith((".jsonl", ".ndjson")):
        return Sniffed("jsonl", replace(options, format="jsonl"), [])
    if _looks_conll(text, filename):
        return Sniffed("conll", replace(options, format="conll"), ["tokens", "tags"])
    if not filename.endswith((".txt", ".text", ".md")) and (found := _delimited(path, text, filename, options)):
        return found
    if filename.endswith((".csv", ".tsv")):
        name = "tsv" if filename.endswith(".tsv") else "csv"
        return Sniffed(name, replace(options, format=name, delimiter="\t" if name == "tsv" else ","), [])
    return Sniffed("text", options, ["text"])


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _first_object(text: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    except (ValueError, RecursionError):
        return None


def _list_path(path: Path, options: ReadOptions) -> str:
    """The dotted path of the first list of objects inside a JSON object; "" where there is none near the start."""
    events: list[tuple[str, str]] = []
    with open_utf8(path, options) as stream:
        try:
            for prefix, event, _ in itertools.islice(ijson.parse(DepthGuard(stream)), 2_000):
                if event == "start_map" and events and events[-1] == (prefix.removesuffix(".item"), "start_array"):
                    return events[-1][0]
                events.append((prefix, event))
        except (ijson.JSONError, FileProblem, ValueError):
            return ""
    return ""


def json_shape(value: Any) -> str:
    """The layout of a JSON row: openai_chat, sharegpt, alpaca, preference, or ""."""
    if not isinstance(value, dict):
        return ""
    names = value.keys()
    if {"chosen", "rejected"} <= names or {"preferred_output", "non_preferred_output"} <= names:
        return "preference"
    if isinstance(value.get("messages"), list):
        return "openai_chat"
    if isinstance(value.get("conversations"), list):
        return "sharegpt"
    return "alpaca" if {"instruction", "output"} <= names else ""


def _looks_conll(text: str, filename: str) -> bool:
    lines = text.split("\n")[:400]
    lines = [line.rstrip("\r") for line in lines[: -1 if len(lines) > 1 else None]] or lines
    rows = [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "# "))]
    tagged = [columns for row in rows if len(columns := split_columns(row)) >= 2 and is_tag(columns[-1].strip())]
    certain = filename.endswith((".conll", ".bio", ".iob", ".iob2", ".bmes", ".conll03"))
    return len(tagged) >= max(1, 0.9 * len(rows)) and (certain or len({c[-1] for c in tagged}) > 1 or len(tagged) > 3)


def _delimited(path: Path, text: str, filename: str, options: ReadOptions) -> Sniffed | None:
    """CSV or TSV by the delimiter that cuts the first records into the most equal columns."""
    whole = len(text) < HEAD_BYTES // 4
    best: tuple[float, int, str, bool] = (0.0, 0, "", True)
    for delimiter in _DELIMITERS:
        for quoting in (True, False):
            widths = list(_widths(text, delimiter, quoting, whole))
            if len(widths) and widths[0] > 1:
                regular = sum(width == widths[0] for width in widths) / len(widths)
                own = delimiter == ("\t" if filename.endswith(".tsv") else ",")
                score = (round(regular, 1) + 0.05 * quoting + 0.15 * own, widths[0], delimiter, quoting)
                best = max(best, score)
    if best[0] < 0.6 and not (best[0] and filename.endswith((".csv", ".tsv"))):
        if not filename.endswith((".csv", ".tsv")):
            return None
        best = (1.0, 1, "\t" if filename.endswith(".tsv") else ",", True)
    name = "tsv" if best[2] == "\t" else "csv"
    found = replace(options, format=name, delimiter=best[2], quoting=best[3])
    return Sniffed(name, replace(found, header=_has_header(path, found)), [])


def _widths(text: str, delimiter: str, quoting: bool, whole: bool) -> Iterator[int]:
    lines = [line + "\n" for line in text.split("\n")]
    lines = lines if whole else lines[:-1]
    reader = csv.reader(
        lines, delimiter=delimiter, strict=True, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
    )
    for _ in range(200):
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield 0
            continue
        if cells:
            yield len(cells)


def _has_header(path: Path, options: ReadOptions) -> bool:
    """A first row with a number or a long text in it is data; anything else is taken for names."""
    try:
        cells, _ = read_header(path, replace(options, header=True))
    except FileProblem:
        return True  # the reader says what is wrong with it
    return not any(len(cell) > 80 or cell.replace(".", "", 1).lstrip("-").isdigit() for cell in cells)


def _with_sample(path: Path, found: Sniffed) -> Sniffed:
    """The same with columns and first rows; what goes wrong is told as a problem, the file can still be mended."""
    rows: list[dict[str, Any]] = []
    problems = list(found.problems)
    try:
        for row in itertools.islice(read_rows(path, found.options), SAMPLE_ROWS):
            if isinstance(row, RawRow):
                rows.append(row.values)
            elif len(problems) < 5:
                problems.append((row.code, say("Row {number}: {message}", number=row.number, message=row.message)))
    except FileProblem as problem:
        problems.append((problem.code, problem.message))
    columns = found.columns or list(dict.fromkeys(name for row in rows for name in row))
    shape = found.shape or (json_shape(rows[0]) if rows and found.format in ("json", "jsonl") else "")
    scheme = detect_scheme([row["tags"] for row in rows]) if found.format == "conll" and rows else ""
    return replace(found, columns=columns, sample=rows, shape=shape, scheme=scheme, problems=problems)

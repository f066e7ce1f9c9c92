"""Writing records to files of every import format: the same rows always give the same bytes."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.datasets.formats.dialogues import as_alpaca, as_openai, as_sharegpt
from apps.datasets.formats.offsets import UNITS, from_codepoints
from apps.datasets.formats.parquet import write_huggingface, write_parquet
from apps.datasets.formats.tagging import SCHEMES, encode_tags
from apps.datasets.formats.xlsx import MAX_CELL_CHARACTERS, MAX_ROWS, SheetWriter
from apps.datasets.tokens import TOKENIZERS
from core.spreadsheets import FORMULA
from engine.specs.records import FIELDS, KINDS
from words import say

SUFFIXES = {
    "csv": ".csv", "csv_spreadsheet": ".csv", "tsv": ".tsv", "jsonl": ".jsonl", "json": ".json", "parquet": ".parquet",
    "xlsx": ".xlsx", "text": ".txt", "conll": ".conll", "openai_chat": ".jsonl", "alpaca": ".json", "sharegpt": ".json",
    "huggingface": ".zip",
}  # fmt: skip
_SOME_KINDS = {
    "text": ("classification", "spans", "corpus"),
    "conll": ("spans",),
    "openai_chat": ("chat", "preference"),
    "alpaca": ("chat", "preference", "pairs"),
    "sharegpt": ("chat", "preference"),
}
_NESTED = {"spans", "answers", "messages", "prompt"}
_AMBIGUOUS = ("|", ";", "；", "、")  # a plain label with one of these could be read as several


@dataclass(frozen=True)
class Item:
    """One example on its way out."""

    record: Mapping[str, Any]
    external_id: str | None = None
    split: str = ""
    example_id: int | None = None  # written by Parquet with `example_ids`


@dataclass(frozen=True)
class WriteOptions:
    """Choices of an export; all have a sensible default."""

    tokenizer: str = "simple"  # CoNLL: simple (words, each CJK character) | char | whitespace
    scheme: str = "iob2"  # CoNLL: iob2 | iob1 | iobes | bilou
    offset_unit: str = "codepoint"  # spans and answer starts: codepoint | utf16 | byte
    extras: bool | None = None  # id, split and meta in chat formats; None: all but OpenAI, which refuses unknown names
    example_ids: bool = False  # Parquet: the column example_id of a frozen version
    name: str = "dataset"  # Hugging Face: title of the README

    def __post_init__(self) -> None:
        for value, known in ((self.tokenizer, TOKENIZERS), (self.scheme, SCHEMES), (self.offset_unit, UNITS)):
            if value not in known:
                raise ValueError(f"“{value}” is none of {', '.join(known)}")


@dataclass(frozen=True)
class WriteReport:
    """Rows written, and sentences with counts on everything that was left out or changed ([] = the file is exact)."""

    rows: int
    dropped: list[str] = field(default_factory=list)


def formats_for(kind: str) -> list[str]:
    """The formats a kind can be written in."""
    return [name for name in SUFFIXES if kind in _SOME_KINDS.get(name, KINDS)]


def losses(kind: str, format: str, options: WriteOptions = WriteOptions()) -> list[str]:
    """What writing this kind in this format cannot keep, said before anything is written; [] means lossless."""
    if format == "csv_spreadsheet":
        return [say("Values that begin with = + - @, a tab or a carriage return get an apostrophe in front.")]
    if format == "xlsx":
        return [
            say(
                "Rows with a value over {max_cell_characters:,} characters and rows after {max_rows:,} are left out.",
                max_cell_characters=MAX_CELL_CHARACTERS,
                max_rows=MAX_ROWS,
            )
        ]
    if format == "text":
        lost = [say("Ids, splits and extra columns are left out."), say("Line breaks inside a text become spaces.")]
        return lost if kind == "corpus" else [*lost, say("Labels and spans are left out.")]
    if format == "conll":
        return [
            say("Ids, splits and extra columns are left out."),
            say("White space is not kept; line breaks do not end a sentence."),
            say("Of spans that overlap only the longest stays."),
            say("Spans that begin or end inside a token are left out."),
        ]
    lost = [] if _keeps_extras(format, options) else [say("Ids, splits and extra columns are left out.")]
    if format == "alpaca" and kind != "pairs":
        lost.append(say("Conversations that are not questions and answers in turn are left out."))
    return lost


def write(
    kind: str,
    format: str,
    items: Iterable[Item],
    path: Path,
    options: WriteOptions = WriteOptions(),
) -> WriteReport:
    """Write `items` to `path`, one at a time; ValueError where the kind has no such format (see `formats_for`)."""
    if format not in formats_for(kind):
        raise ValueError(f"{kind} cannot be written as {format}")
    notes: Counter[str] = Counter()
    rows = _WRITERS[format](kind, _in_unit(kind, items, options), path, options, notes)
    return WriteReport(rows, [say("{count:,} {what}", count=count, what=what) for what, count in sorted(notes.items())])


def _in_unit(kind: str, items: Iterable[Item], options: WriteOptions) -> Iterator[Item]:
    unit = options.offset_unit
    if unit == "codepoint" or kind not in ("spans", "qa"):
        yield from items
        return
    for item in items:
        record = dict(item.record)
        if kind == "spans":
            ends = ("start", "end")
            moved = [s | {e: from_codepoints(record["text"], s[e], unit) for e in ends} for s in record["spans"]]
            record["spans"] = moved
        else:
            context = record["context"]
            record["answers"] = [a | {"start": from_codepoints(context, a["start"], unit)} for a in record["answers"]]
        yield Item(record, item.external_id, item.split, item.example_id)


def _keeps_extras(format: str, options: WriteOptions) -> bool:
    return format != "openai_chat" if options.extras is None else (options.extras or format in ("json", "jsonl"))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _columns(kind: str) -> list[str]:
    """The columns of a table: id, the fields, split, meta; labels stand in `label`."""
    return ["id", *("label" if name == "labels" else name for name in FIELDS[kind]), "split", "meta"]


def _cells(kind: str, item: Item) -> list[str]:
    """Table cells that the reader and the guessed mapping turn back into the same record."""
    cells = [item.external_id or ""]
    for name in FIELDS[kind]:
        value = item.record[name]
        if name == "labels":
            cells.append(_label_cell(value))
        else:
            cells.append(_dump(value) if name in _NESTED else value)
    meta = item.record.get("meta")
    return [*cells, item.split, _dump(meta) if meta else ""]


def _label_cell(labels: list[str]) -> str:
    if not labels:
        return ""
    plain = len(labels) == 1 and labels[0] == labels[0].strip() and not labels[0].startswith("[")
    return labels[0] if plain and not any(mark in labels[0] for mark in _AMBIGUOUS) else _dump(labels)


def _as_object(kind: str, item: Item) -> dict[str, Any]:
    entry: dict[str, Any] = {} if item.external_id is None else {"id": item.external_id}
    entry |= {name: item.record[name] for name in FIELDS[kind]}
    return entry | _tail(item)


def _tail(item: Item) -> dict[str, Any]:
    found: dict[str, Any] = {"split": item.split} if item.split else {}
    return found | ({"meta": item.record["meta"]} if item.record.get("meta") else {})


def _write_table(kind: str, items: Iterable[Item], path: Path, delimiter: str, change: Callable[[str], str]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(_columns(kind))
        for item in items:
            writer.writerow([change(cell) for cell in _cells(kind, item)])
            rows += 1
    return rows


def _csv(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return _write_table(kind, items, path, ",", str)


def _tsv(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return _write_table(kind, items, path, "\t", str)


def _csv_spreadsheet(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    def neutral(cell: str) -> str:
        if not cell.startswith(FORMULA):
            return cell
        notes[say("values got an apostrophe in front, so that no program runs them as a formula.")] += 1
        return f"'{cell}"

    rows = _write_table(kind, items, path, ",", neutral)
    content_mark(path)
    return rows


def content_mark(path: Path) -> None:
    """Put a byte order mark in front: Excel takes a CSV without one for a legacy encoding."""
    marked = path.with_name(path.name + ".marked")
    with path.open("rb") as source, marked.open("wb") as target:
        target.write(b"\xef\xbb\xbf")
        while chunk := source.read(1 << 20):
            target.write(chunk)
    marked.replace(path)


def _lines(path: Path, entries: Iterable[Any]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for entry in entries:
            file.write(_dump(entry) + "\n")
            rows += 1
    return rows


def _list(path: Path, entries: Iterable[Any]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for entry in entries:
            file.write(("[\n" if not rows else ",\n") + _dump(entry))
            rows += 1
        file.write("\n]\n" if rows else "[]\n")
    return rows


def _jsonl(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return _lines(path, (_as_object(kind, item) for item in items))


def _json(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return _list(path, (_as_object(kind, item) for item in items))


def _with_extras(
    entry: dict[str, Any], item: Item, format: str, options: WriteOptions, notes: Counter[str]
) -> dict[str, Any]:
    if not _keeps_extras(format, options):
        _note_extras("", item, notes)
        return entry
    return ({"id": item.external_id} if item.external_id is not None else {}) | entry | _tail(item)


def _openai(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    rows = _lines(path, (_with_extras(as_openai(kind, i.record), i, "openai_chat", options, notes) for i in items))
    return _clean(notes, rows)


def _sharegpt(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    rows = _list(path, (_with_extras(as_sharegpt(kind, i.record), i, "sharegpt", options, notes) for i in items))
    return _clean(notes, rows)


def _alpaca(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    def entries() -> Iterator[dict[str, Any]]:
        for item in items:
            entry = as_alpaca(kind, item.record)
            if entry is None:
                notes[say("conversations left out: they are not questions and answers in turn.")] += 1
            else:
                yield _with_extras(entry, item, "alpaca", options, notes)

    return _clean(notes, _list(path, entries()))


def _text(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for item in items:
            text = item.record["text"]
            line = text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
            notes[say("texts had line breaks, which became spaces.")] += line != text
            _note_extras(kind, item, notes)
            file.write(line + "\n")
            rows += 1
    return _clean(notes, rows)


def _conll(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for item in items:
            tagged = encode_tags(item.record["text"], item.record["spans"], options.tokenizer, options.scheme)
            notes[say("spans left out: a longer one overlaps them.")] += tagged.nested
            notes[say("spans left out: they begin or end inside a token.")] += tagged.partial
            _note_extras("", item, notes)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tagged.tokens, tagged.tags, strict=True))
            file.write("\n")
            rows += 1
    return _clean(notes, rows)


def _note_extras(kind: str, item: Item, notes: Counter[str]) -> None:
    notes[say("rows lost their id, split or extra columns.")] += bool(
        item.external_id or item.split or item.record.get("meta")
    )
    notes[say("rows lost their labels or spans.")] += bool(
        kind and (item.record.get("labels") or item.record.get("spans"))
    )


def _clean(notes: Counter[str], rows: int) -> int:
    for what in [what for what, count in notes.items() if not count]:
        del notes[what]
    return rows


def _xlsx(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    with SheetWriter(path) as sheet:
        sheet.write(_columns(kind))
        rows = 0
        for item in items:
            cells = _cells(kind, item)
            if max(map(len, cells)) > MAX_CELL_CHARACTERS:
                notes[
                    say(
                        "rows left out: a value is longer than the {max_cell_characters:,} characters Excel allows.",
                        max_cell_characters=MAX_CELL_CHARACTERS,
                    )
                ] += 1
            elif sheet.rows >= MAX_ROWS:
                notes[say("rows left out: Excel ends at row {max_rows:,}.", max_rows=MAX_ROWS)] += 1
            else:
                rows += 1
                if sheet.write(cells):
                    notes[say("rows hold control characters, written in Excel's own _xHHHH_ form.")] += 1
    return rows


def _parquet(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return write_parquet(kind, map(_row, items), path, example_ids=options.example_ids)


def _huggingface(kind: str, items: Iterable[Item], path: Path, options: WriteOptions, notes: Counter[str]) -> int:
    return write_huggingface(kind, map(_row, items), path, name=options.name)


def _row(item: Item) -> dict[str, Any]:
    meta = item.record.get("meta")
    beside = {"external_id": item.external_id, "split": item.split, "meta": _dump(meta) if meta else None}
    return {**item.record, **beside, "example_id": item.example_id}


_Writer = Callable[[str, Iterable[Item], Path, WriteOptions, Counter[str]], int]
_WRITERS: dict[str, _Writer] = {
    "csv": _csv, "csv_spreadsheet": _csv_spreadsheet, "tsv": _tsv, "jsonl": _jsonl, "json": _json, "parquet": _parquet,
    "xlsx": _xlsx, "text": _text, "conll": _conll, "openai_chat": _openai, "alpaca": _alpaca, "sharegpt": _sharegpt,
    "huggingface": _huggingface,
}  # fmt: skip

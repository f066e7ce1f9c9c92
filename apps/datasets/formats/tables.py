"""Reading Parquet, the Hugging Face layout (Parquet files in a zip) and Excel by small batches."""

import datetime
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import ParseError

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.exceptions import InvalidFileException

from apps.datasets.formats.delimited import column_names
from apps.datasets.formats.lines import cell_error, oversized
from apps.datasets.formats.options import Limits, ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError, snippet
from apps.datasets.formats.sources import open_zip
from words import say

BATCH_BYTES = 8_000_000
BATCH_ROWS = 2_000
HF_FILE = re.compile(r"(?:.*/)?data/([A-Za-z0-9_.]+?)-\d{5}-of-\d{5}\.parquet\Z")
_XLSX_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_EXCEL_ERRORS = (
    zipfile.BadZipFile, zlib.error, InvalidFileException, ParseError, KeyError, ValueError, TypeError, OSError,
    EOFError, AttributeError, IndexError,
)  # fmt: skip  # openpyxl lets whatever its parser met through


def _open_parquet(source: Path | IO[bytes]) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(source, pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileProblem("damaged_parquet", say("The Parquet file is damaged or cut off. Upload it again.")) from error


def parquet_schema(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """(columns, names of integer labels) of a Parquet file; the names are those Hugging Face `datasets` stores."""
    with _open_parquet(path) as file:
        schema = file.schema_arrow
        return list(schema.names), _class_names(schema)


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: (f.get("feature") or f).get("names") for name, f in features.items() if isinstance(f, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {name: list(names) for name, names in found.items() if isinstance(names, list)}


def read_parquet(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Rows of one Parquet file; whole row groups before `start.row` are not read."""
    if options.compression:
        raise FileProblem(
            "packed_parquet", say("Parquet is compressed by itself: upload the file without gzip or zip.")
        )
    with _open_parquet(path) as file:
        yield from _parquet_rows(file, options.limits, start.row, 0, {})


def read_huggingface(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Rows of data/{split}-NNNNN-of-NNNNN.parquet in a zip, by name, with the column `split` from the file's name."""
    before = 0
    with open_zip(path) as archive:
        names = sorted(name for name in archive.namelist() if HF_FILE.match(name))
        if not names:
            raise FileProblem("no_data_files", say("The zip has no files like data/train-00000-of-00001.parquet."))
        for name in names:
            info = archive.getinfo(name)
            if (
                info.compress_type != zipfile.ZIP_STORED
                and info.file_size > options.limits.max_ratio * info.compress_size
            ):
                raise FileProblem(
                    "compression_bomb", say("{name} unpacks to far more than a data file does.", name=name)
                )
            found = HF_FILE.match(name)
            split = found.group(1) if found else ""
            with archive.open(name) as member, _open_parquet(member) as file:
                extra = {"split": "" if split == "unsplit" else split}
                skip = max(0, start.row - before)
                if skip < file.metadata.num_rows:
                    yield from _parquet_rows(file, options.limits, skip, before, extra)
                before += file.metadata.num_rows


def _parquet_rows(
    file: pq.ParquetFile, limits: Limits, skip: int, before: int, extra: dict[str, Any]
) -> Iterator[RawRow | RowError]:
    row, size, groups = 0, 0, list[int]()
    for at in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(at)
        if row + group.num_rows <= skip and not groups:
            row += group.num_rows
        else:
            groups.append(at)
            size = max(size, group.total_byte_size // max(1, group.num_rows))
    if not groups:
        return
    batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, size)))
    batches = file.iter_batches(batch_size=batch_rows, row_groups=groups, use_threads=False)
    while True:
        try:
            batch = next(batches)
        except StopIteration:
            return
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FileProblem(
                "damaged_parquet", say("The Parquet file is damaged after row {before}.", before=before + row)
            ) from error
        if row + batch.num_rows <= skip:
            row += batch.num_rows
            continue
        for values in _batch_values(batch):
            row += 1
            if row > skip:
                yield _table_row(values, before + row, limits.max_cell_bytes, extra)


def _batch_values(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Each row as a mapping, or the reason why it has no Python form."""
    try:
        yield from batch.to_pylist()
    except (UnicodeDecodeError, ValueError, OverflowError):
        for at in range(batch.num_rows):
            try:
                yield batch.slice(at, 1).to_pylist()[0]
            except (UnicodeDecodeError, ValueError, OverflowError) as error:
                yield str(error)


def _table_row(values: dict[str, Any] | str, number: int, limit: int, extra: dict[str, Any]) -> RawRow | RowError:
    position = Position(0, number)
    if isinstance(values, str):
        message = say("The row holds a text that is not valid UTF-8 or a value out of range.")
        return RowError(number, "invalid_encoding", message, snippet(values), position)
    values = {name: _plain(value) for name, value in values.items()} | extra
    large = next((name for name, value in values.items() if oversized(value, limit)), None)
    if large is not None:
        return cell_error(number, position, limit, large, values[large])
    return RawRow(number, values, position)


def _plain(value: Any) -> Any:
    """A Parquet value as JSON would have it; times become ISO 8601, decimals texts, bytes UTF-8 where they are."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value  # the mapping refuses it as a wrong type
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | datetime.timedelta) else value


@contextmanager
def open_workbook(path: Path, limits: Limits) -> Iterator[Any]:
    """An Excel workbook for reading only, once its parts are known to unpack to a sane size."""
    with open_zip(path) as archive:
        unpacked = sum(info.file_size for info in archive.infolist())
        packed = sum(info.compress_size for info in archive.infolist())
        if unpacked > limits.max_unpacked_bytes or unpacked > max(16_000_000, limits.max_ratio * packed):
            raise FileProblem("compression_bomb", say("The workbook unpacks to far more than a workbook does."))
    with path.open("rb") as file:  # an open file: by its path, openpyxl would look at the suffix
        try:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        except _EXCEL_ERRORS as error:
            raise FileProblem("damaged_xlsx", say("The Excel file is damaged. Save it again as .xlsx.")) from error
        try:
            yield book
        finally:
            book.close()


def read_xlsx(path: Path, options: ReadOptions, start: Position) -> Iterator[RawRow | RowError]:
    """Rows of one sheet; every value is a text as in CSV, an empty cell is ""; formulas give their stored result."""
    limit = options.limits.max_cell_bytes
    with open_workbook(path, options.limits) as book:
        if options.sheet and options.sheet not in book.sheetnames:
            raise FileProblem(
                "no_sheet",
                say(
                    "There is no sheet “{sheet}”. There are: {sheetnames}.",
                    sheet=options.sheet,
                    sheetnames=", ".join(book.sheetnames),
                ),
            )
        sheet = book[options.sheet] if options.sheet else book.worksheets[0]
        sheet.reset_dimensions()
        names: list[str] = []
        rows = 0
        for line, cells in enumerate(_sheet_rows(sheet), 1):
            texts = [_cell_text(cell) for cell in cells]
            while texts and not texts[-1]:
                texts.pop()
            if not texts:
                continue
            if not names:
                names = column_names(texts) if options.header else [f"column_{at}" for at in range(1, len(texts) + 1)]
                if options.header:
                    continue
            rows += 1
            if rows <= start.row:
                continue
            yield _sheet_row(names, texts, rows, Position(0, rows, line), limit)


def _sheet_rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    rows = sheet.iter_rows(values_only=True)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except _EXCEL_ERRORS as error:
            raise FileProblem("damaged_xlsx", say("The sheet is damaged. Save the file again as .xlsx.")) from error
        yield row


def _sheet_row(names: list[str], texts: list[str], number: int, position: Position, limit: int) -> RawRow | RowError:
    if len(texts) > len(names):
        message = say(
            "The row has {texts_count} values, the header has {names_count} columns.",
            texts_count=len(texts),
            names_count=len(names),
        )
        return RowError(number, "ragged_row", message, snippet(texts), position)
    values = dict(zip(names, texts + [""] * (len(names) - len(texts)), strict=True))
    large = next((name for name, value in values.items() if oversized(value, limit)), None)
    return (
        RawRow(number, values, position) if large is None else cell_error(number, position, limit, large, values[large])
    )


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _XLSX_ESCAPE.sub(lambda m: chr(int(m.group(1), 16)), value) if "_x" in value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.datetime | datetime.date | datetime.time) else str(value)

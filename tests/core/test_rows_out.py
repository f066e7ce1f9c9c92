"""Rows as files: harmless cells, and Parquet that is whole or no file at all."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import parquet_out
from core.parquet_out import GroupWriter, pieces
from core.rows_out import lines_of

SCHEMA = pa.schema([("number", pa.int64()), ("text", pa.string())])


def rows(count: int) -> list[dict[str, Any]]:
    return [{"number": at, "text": f"第{at}篇" * 20} for at in range(count)]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠"])
def test_no_cell_for_spreadsheets_is_calculated(start: str) -> None:
    row = {"text": f"{start}1+1", "texts": [f"{start}1", "b"], "number": -1.5, "is_so": True, "none": None}

    text = "".join(lines_of([[row]], "spreadsheet", list(row), lambda each: each))
    exact = "".join(lines_of([[row]], "csv", list(row), lambda each: each))

    assert text.startswith("\ufeff")
    assert list(csv.reader(io.StringIO(text, newline="")))[1] == [
        f"'{start}1+1", f"'{start}1|b", "-1.5", "True", "",
    ]  # fmt: skip
    assert list(csv.reader(io.StringIO(exact, newline="")))[1][0] == f"{start}1+1"


def test_parquet_comes_in_pieces_and_is_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_out, "GROUP_ROWS", 100)

    found = list(pieces(rows(250), SCHEMA))

    file = pq.ParquetFile(io.BytesIO(b"".join(found)))
    assert file.read().to_pylist() == rows(250)
    assert (file.metadata.num_row_groups, len(found) > 3) == (3, True)
    assert pq.read_table(io.BytesIO(b"".join(pieces([], SCHEMA)))).num_rows == 0


def test_parquet_whose_rows_end_by_an_error_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_out, "GROUP_ROWS", 10)

    def failing() -> Iterator[Mapping[str, Any]]:
        yield from rows(25)
        raise RuntimeError("gone")

    got: list[bytes] = []
    with pytest.raises(RuntimeError, match="gone"):
        got.extend(pieces(failing(), SCHEMA))

    sent = b"".join(got)
    assert len(sent) > 100
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(io.BytesIO(sent))


def test_groups_end_where_their_rows_are_long(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_out, "GROUP_BYTES", 1_000)

    with GroupWriter(tmp_path / "long.parquet", SCHEMA) as writer:
        for at in range(10):
            writer.write({"number": at, "text": "x" * 400})

    assert pq.ParquetFile(tmp_path / "long.parquet").metadata.num_row_groups == 4

"""Rows as Parquet, row group by row group: into a file, or in pieces to whoever reads it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CONTENT_TYPE = "application/octet-stream"  # what programs that are made from our description take
GROUP_ROWS = 10_000
GROUP_BYTES = 32_000_000  # a row group is closed at either bound, so that memory stays bounded


class GroupWriter:
    """Collects rows and writes them as row groups whose bounds depend on the rows alone."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._file = pq.ParquetWriter(sink, schema, compression="zstd", compression_level=3, version="2.6")
        self._schema, self._rows, self._bytes = schema, list[Mapping[str, Any]](), 0
        self.rows = 0

    def __enter__(self) -> "GroupWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._file.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Keep a row; its group is written when it is full."""
        self._rows.append(row)
        self._bytes += sum(
            len(v) if isinstance(v, str) else 64 * len(v) for v in row.values() if isinstance(v, str | list)
        )
        self.rows += 1
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows, self._bytes = [], 0


def write_file(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> int:
    """A file of `rows`; how many there were."""
    with GroupWriter(path, schema) as writer:
        for row in rows:
            writer.write(row)
    return writer.rows


def pieces(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[bytes]:
    """The bytes of a file of `rows` as its groups come: Parquet is written from begin to end, so no file is needed.

    Whoever loses the end has no footer, and a file that nobody takes for a whole one.
    """
    sink = _Sink()
    with GroupWriter(sink, schema) as writer:
        for row in rows:
            writer.write(row)
            if sink.is_filled:
                yield sink.taken()
    yield sink.taken()


class _Sink:
    """A file to write to whose bytes are taken away."""

    closed = False

    def __init__(self) -> None:
        self._parts = list[bytes]()

    @property
    def is_filled(self) -> bool:
        return bool(self._parts)

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """All is there."""

    def close(self) -> None:
        """Nothing is held."""

    def taken(self) -> bytes:
        found, self._parts = b"".join(self._parts), []
        return found

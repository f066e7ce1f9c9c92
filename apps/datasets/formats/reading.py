"""One door to all readers: a file and its options go in, rows and refused rows come out."""

from collections.abc import Callable, Iterator
from pathlib import Path

from apps.datasets.formats.delimited import read_delimited
from apps.datasets.formats.jsons import read_json, read_jsonl
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.plain import read_conll, read_text
from apps.datasets.formats.problems import FileProblem, Position, RawRow, RowError
from apps.datasets.formats.tables import read_huggingface, read_parquet, read_xlsx
from words import say

_READERS: dict[str, Callable[[Path, ReadOptions, Position], Iterator[RawRow | RowError]]] = {
    "csv": read_delimited,
    "tsv": read_delimited,
    "jsonl": read_jsonl,
    "json": read_json,
    "parquet": read_parquet,
    "huggingface": read_huggingface,
    "xlsx": read_xlsx,
    "text": read_text,
    "conll": read_conll,
}


def read_rows(path: Path, options: ReadOptions, start: Position = Position()) -> Iterator[RawRow | RowError]:  # noqa: B008
    """Rows of `path` after `start`, in memory of one batch at most (Excel keeps its table of shared strings).

    A row that cannot be used comes as RowError and the next go on. FileProblem is raised where the file as a whole
    cannot be read on; rows given before stay valid. `start` is the position of the last row that was dealt with.
    """
    if options.format not in _READERS:
        raise FileProblem(
            "unknown_format", say("Files of the format “{format}” cannot be read.", format=options.format)
        )
    return _READERS[options.format](path, options, start)

"""The first rows of a file as an import would see them: what they become, or what is wrong with them."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.datasets.formats.mapping import Mapping, compile_mapping
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, RawRow, RowError
from apps.datasets.formats.reading import read_rows
from words import say

PREVIEWED = 10


@dataclass(frozen=True)
class Previewed:
    """One row: the record it becomes, or the sentences that refuse it."""

    number: int
    record: dict[str, Any] | None = None
    external_id: str | None = None
    split: str = ""
    problems: tuple[str, ...] = ()


def first_rows(path: Path, options: ReadOptions, limit: int = 20) -> tuple[list[RawRow], list[str]]:
    """(good rows, sentences on bad ones) of the beginning of a file."""
    rows: list[RawRow] = []
    problems: list[str] = []
    try:
        for row in itertools.islice(read_rows(path, options), limit):
            if isinstance(row, RawRow):
                rows.append(row)
            else:
                problems.append(say("Row {number}: {message}", number=row.number, message=row.message))
    except FileProblem as problem:
        problems.append(problem.message)
    return rows, problems


def preview(kind: str, path: Path, options: ReadOptions, mapping: Mapping, limit: int = PREVIEWED) -> list[Previewed]:
    """What the first rows become."""
    convert = compile_mapping(kind, mapping)
    found: list[Previewed] = []
    try:
        found.extend(
            _previewed(row if isinstance(row, RowError) else convert(row))
            for row in itertools.islice(read_rows(path, options), limit)
        )
    except FileProblem as problem:
        found.append(Previewed(number=0, problems=(problem.message,)))
    return found


def _previewed(row: Any) -> Previewed:
    if isinstance(row, RowError):
        return Previewed(row.number, problems=(row.message,))
    if isinstance(row, list):
        return Previewed(row[0].number, problems=tuple(error.message for error in row))
    return Previewed(row.number, row.record, row.external_id, row.split)

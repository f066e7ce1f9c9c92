"""Rows of a Parquet file answered portion by portion: what all jobs over many rows do, whatever the model says of a row."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from engine.data import count_rows, iterate_rows, write_whole
from engine.predict import encode
from engine.report import Report

P = TypeVar("P")


def in_portions(
    order: Mapping[str, Any],
    data: Path,
    out: Path,
    report: Report,
    *,
    columns: Sequence[str],
    stream: Callable[..., Iterable[tuple[int, P]]],
    told: Callable[[P], Mapping[str, pa.Array]],
    model: Any = None,
) -> int:
    """Write a Parquet part for each portion that `stream` gives, behind `order["skip_rows"]` rows; how many rows are done.

    `stream` takes the rows' texts (of several columns tuples of them; "" where there is none) and gives (position of the
    first row, what is said of a portion); `told` makes that columns beside example_id. With `order["counts_tokens"]` a
    column `tokens` has how many tokens `model` reads of each text of a row.
    """
    done = int(order.get("skip_rows", 0))
    rows = islice(chain.from_iterable(iterate_rows(data, ("example_id", *columns))), done, None)
    ids: list[int] = []
    counts: list[list[int]] = []
    counted = model if order.get("counts_tokens") else None

    def texts() -> Iterator[Any]:
        for row in rows:
            ids.append(row["example_id"])
            read = tuple(row[column] or "" for column in columns)
            if counted is not None:
                counts.append([len(tokens) for tokens in encode(counted.tokenizer, read, counted.max_length_tokens)])
            yield read if len(read) > 1 else read[0]

    for start, portion in stream(texts(), report=report, total=count_rows(data), start=done):
        said = dict(told(portion))
        count = len(next(iter(said.values())))
        if counted is not None:
            said["tokens"] = pa.array(counts[:count], pa.list_(pa.int32()))
            del counts[:count]
        path = out / f"part-{start:010d}.parquet"
        write_whole(path, pa.table({"example_id": pa.array(ids[:count], pa.int64()), **said}))
        del ids[:count]
        done = start + count
        report.part(str(path), start, count)
    return done

"""What a run can be ordered to do with an embedder: measure it on pairs or classes, make vectors of many texts."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engine.data import R, TextRows, read_texts
from engine.embedder_folder import open_embedder
from engine.evaluate_vectors import evaluate_vectors, write_query_rows
from engine.failures import RunFailed
from engine.fused import quick
from engine.measured import kept_evaluation
from engine.pairs import PairRows, read_pairs
from engine.portions import in_portions
from engine.report import Report
from words import say

LEAST_SCORE = 0.5


def evaluate_embedder(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure an embedder folder on the pairs or labelled texts of data.split (all splits when it is empty)."""
    rows = measured_rows(data, order["data"].get("kind") or "pairs", order["data"].get("split", ""))
    embedder = quick(open_embedder(Path(order["model"])))
    measured, examples = evaluate_vectors(
        rows,
        partial(embedder.embed, report=report),
        scale=embedder.scale,
        least_score=float(embedder.description.get("least_score", LEAST_SCORE)),
        seed=int(order.get("seed", 17)),
    )
    require_found(measured)
    write_query_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def require_found(measured: Mapping[str, Any]) -> None:
    """RunFailed("no_rows") where nothing could be looked for."""
    if not measured["headline"]:
        raise RunFailed(
            "no_rows",
            say("There is no text that another one should find."),
            say("Choose rows of which some belong together: pairs, or classes with several texts."),
        )


def measured_rows(data: Path, kind: str, split: str) -> PairRows | TextRows:
    """The pairs or labelled texts of a split (of all, when it is empty); RunFailed where there are none."""
    if kind == "pairs":
        pairs = PairRows()
        for name, part in sorted(read_pairs(data).items()):
            if not split or name == split:
                pairs.extend(part)
        return _some(pairs)
    texts = TextRows()
    for name, found in sorted(read_texts(data).items()):
        if not split or name == split:
            texts.extend(found.pick([at for at, labels in enumerate(found.labels) if labels]))
    return _some(texts)


def _some(rows: R) -> R:
    if not len(rows):
        raise RunFailed("no_rows", say("There are no texts to measure on."), say("Choose another split."))
    return rows


def embed_rows(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Make a vector of every text of a Parquet file, a Parquet part per window; rows before `skip_rows` are stored."""
    embedder = quick(open_embedder(Path(order["model"])))
    columns = [order["data"].get("column", "text")]
    done = in_portions(
        order, data, out, report, columns=columns, stream=embedder.stream, told=_vectors_told, model=embedder
    )
    return {"rows": done, "width": embedder.model.width}


def _vectors_told(vectors: NDArray[np.float32]) -> dict[str, pa.Array]:
    return {"vector": pa.array(list(vectors), pa.list_(pa.float32()))}

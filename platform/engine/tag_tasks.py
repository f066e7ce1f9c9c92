"""What a run can be ordered to do with a tagger: measure it on marked texts, mark many texts."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.data import SpanRows, read_spans
from engine.evaluate_spans import evaluate_spans, refuse_unknown, write_span_rows
from engine.failures import RunFailed
from engine.fused import quick
from engine.measured import kept_evaluation
from engine.portions import in_portions
from engine.report import Report
from engine.tagger import Marked
from engine.tagger_folder import open_tagger
from words import say

FOUND = pa.list_(
    pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string()), ("probability", pa.float64())])
)


def evaluate_tagger(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure a tagger folder on the marked texts of data.split (all splits when it is empty)."""
    split, found = order["data"].get("split", ""), read_spans(data)
    rows = SpanRows()
    for name in sorted(found):
        if not split or name == split:
            rows.extend(found[name])
    if not len(rows):
        raise RunFailed("no_rows", say("There are no texts to measure on."), say("Choose another split."))
    tagger = quick(open_tagger(Path(order["model"])))
    refuse_unknown(rows, tagger.labels)
    marked = tagger.mark(rows.texts, gold=rows.spans, report=report)
    measured, examples = evaluate_spans(marked, rows, tagger.labels, seed=int(order.get("seed", 17)))
    write_span_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def mark_rows(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Mark every text of a Parquet file, one Parquet part per portion; rows before `skip_rows` are already stored."""
    tagger = quick(open_tagger(Path(order["model"])))
    columns = [order["data"].get("column", "text")]
    done = in_portions(order, data, out, report, columns=columns, stream=tagger.stream, told=_spans_told)
    return {"rows": done, "labels": list(tagger.labels)}


def _spans_told(marked: list[Marked]) -> dict[str, pa.Array]:
    spans = [[{**span._asdict(), "probability": sure} for span, sure in one.spans] for one in marked]
    sure = pa.array([one.probability for one in marked], pa.float64())
    return {"spans": pa.array(spans, FOUND), "probability": sure}

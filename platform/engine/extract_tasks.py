"""What a run can be ordered to do with a reader: measure it on questions, answer many of them."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from engine.data import QaRows, read_questions
from engine.evaluate_answers import evaluate_answers, write_answer_rows
from engine.failures import RunFailed
from engine.fused import quick
from engine.measured import kept_evaluation
from engine.portions import in_portions
from engine.reader import Found
from engine.reader_folder import open_reader
from engine.report import Report
from words import say


def evaluate_reader(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Measure a reader folder on the questions of data.split (all splits when it is empty)."""
    split, found = order["data"].get("split", ""), read_questions(data)
    rows = QaRows()
    for name in sorted(found):
        if not split or name == split:
            rows.extend(found[name])
    if not len(rows):
        raise RunFailed("no_rows", say("There are no questions to measure on."), say("Choose another split."))
    reader = quick(open_reader(Path(order["model"])))
    pairs = list(zip(rows.questions, rows.contexts, strict=True))
    said = reader.read(pairs, gold=rows.answers, report=report)
    measured, examples = evaluate_answers(said, rows, seed=int(order.get("seed", 17)))
    write_answer_rows(out / "examples.parquet", examples)
    return kept_evaluation(out, measured)


def find_answers(order: dict[str, Any], data: Path, out: Path, report: Report) -> dict[str, Any]:
    """Answer every question of a Parquet file with the columns `data.column` and `context`, a Parquet part per portion.

    Rows before `skip_rows` are already stored.
    """
    reader = quick(open_reader(Path(order["model"])))
    columns = [order["data"].get("column", "question"), "context"]
    done = in_portions(order, data, out, report, columns=columns, stream=reader.stream, told=_answers_told)
    return {"rows": done}


def _answers_told(said: list[Found]) -> dict[str, pa.Array]:
    return {
        "answer": pa.array([one.answer for one in said], pa.string()),
        "start": pa.array([one.start for one in said], pa.int64()),
        "end": pa.array([one.end for one in said], pa.int64()),
        "probability": pa.array([one.probability for one in said], pa.float64()),
    }

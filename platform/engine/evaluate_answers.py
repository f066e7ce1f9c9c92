"""Answers found in passages beside the gold ones: one metrics object and one row per question."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import metrics
from engine.answer_metrics import answer_f1, exact_match
from engine.data import QaRows
from engine.reader import Found


@dataclass(frozen=True)
class AnswerExample:
    """How one question fared."""

    example_id: int
    text: str  # the question
    gold_text: str  # the gold answers, each once, or ""
    predicted_text: str
    start: int  # of what was said, in the passage
    end: int
    probability: float
    loss: float
    f1: float
    correct: bool  # exact match


def evaluate_answers(
    found: Sequence[Found], rows: QaRows, *, seed: int = 17
) -> tuple[dict[str, Any], list[AnswerExample]]:
    """Exact match and F1 with 95 % bootstrap intervals over questions, apart for questions with and without an answer."""
    examples = [
        _example(rows.ids[at], rows.questions[at], [text for text, _ in rows.answers[at]], one)
        for at, one in enumerate(found)
    ]
    answerable = np.array([bool(answers) for answers in rows.answers], dtype=bool)
    exact = np.array([one.correct for one in examples], dtype=np.float64)
    f1 = np.array([one.f1 for one in examples])
    losses = np.array([one.loss for one in examples])
    measured: dict[str, Any] = {
        "rows": len(examples),
        "headline": {
            name: _figure(values, seed=seed) for name, values in (("exact_match", exact), ("f1", f1), ("loss", losses))
        },
        "answerable": _part(exact, f1, answerable, seed=seed),
        "without_answer": _part(exact, f1, ~answerable, seed=seed),
        "said_nothing": int(sum(not one.predicted_text for one in examples)),
        "f1_histogram": _histogram(f1),
        "interval": {
            "method": "percentile bootstrap over questions",
            "rounds": metrics.BOOTSTRAP_ROUNDS,
            "seed": seed,
        },
    }
    return measured, examples


def write_answer_rows(path: Path, examples: Sequence[AnswerExample]) -> None:
    """The rows as Parquet, columns as in AnswerExample."""
    schema = pa.schema(
        [
            ("example_id", pa.int64()),
            ("text", pa.string()),
            ("gold_text", pa.string()),
            ("predicted_text", pa.string()),
            ("start", pa.int64()),
            ("end", pa.int64()),
            ("probability", pa.float64()),
            ("loss", pa.float64()),
            ("f1", pa.float64()),
            ("correct", pa.bool_()),
        ]
    )
    pq.write_table(pa.Table.from_pylist([asdict(one) for one in examples], schema=schema), path)


def _example(number: int, question: str, gold: Sequence[str], one: Found) -> AnswerExample:
    return AnswerExample(
        int(number),
        question,
        " | ".join(dict.fromkeys(gold)),
        one.answer,
        one.start,
        one.end,
        min(1.0, one.probability),
        one.loss,
        answer_f1(one.answer, gold),
        exact_match(one.answer, gold),
    )


def _figure(values: Any, *, seed: int) -> dict[str, float]:
    low, high = metrics.bootstrap_mean(values, seed=seed)
    return {"value": float(values.mean()), "low": low, "high": high}


def _part(exact: Any, f1: Any, chosen: Any, *, seed: int) -> dict[str, Any]:
    if not chosen.any():
        return {"rows": 0}
    return {
        "rows": int(chosen.sum()),
        "exact_match": _figure(exact[chosen], seed=seed),
        "f1": _figure(f1[chosen], seed=seed),
    }


def _histogram(values: Any) -> dict[str, list[float]]:
    counts, edges = np.histogram(values, bins=10, range=(0.0, 1.0))
    return {"edges": [round(float(edge), 2) for edge in edges], "counts": [int(count) for count in counts]}

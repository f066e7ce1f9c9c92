"""Jobs of the evaluation room: measure a version, compare two evaluations."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from django.conf import settings

from apps.datasets.models import Kind
from apps.datasets.selectors import version_file
from apps.evaluation import services
from apps.evaluation.models import TEXT_KEPT, Comparison, EvaluationJob, ExampleResult
from apps.registry.models import Task
from apps.registry.selectors import preferred_over, version_folder
from core.bulk import copy_rows
from core.errors import Refused
from core.jobs.run import Run
from core.jobs.work import work_folder
from engine.paired import (
    ChatSide,
    PairSide,
    compare,
    compare_answers,
    compare_chats,
    compare_pairs,
    compare_queries,
    compare_spans,
)
from engine.spans import Span
from words import say
from workers.engine_task import run_engine

ROWS_AT_ONCE = 10_000
COLUMNS = ("evaluation_id", "example_id", "text", "gold", "predicted", "probability", "loss", "correct", "rank")
ANSWER_COLUMNS = (*COLUMNS, "gold_text", "predicted_text", "f1")
SPAN_COLUMNS = (*COLUMNS, "gold_spans", "predicted_spans")
QUERY_COLUMNS = (*COLUMNS, "gold_text", "predicted_text", "found_at", "candidates")
RERANKED_COLUMNS = (*QUERY_COLUMNS, "first_at")
PAIR_COLUMNS = (*COLUMNS, "gold_text", "predicted_text")
CHAT_COLUMNS = (*PAIR_COLUMNS, "answer_tokens")


def run_evaluation(run: Run) -> dict[str, Any]:
    """Measure in a child process, then store every example row and the figures."""
    rows = EvaluationJob.objects.select_related("model_version__family", "dataset_version__dataset")
    evaluation = rows.get(job=run.job)
    place = work_folder(run)
    data = version_file(evaluation.dataset_version)
    order = {
        "task": "evaluate",
        "model": str(version_folder(evaluation.model_version)),
        "data": {"path": str(data), "split": evaluation.split, "kind": evaluation.dataset_version.dataset.kind},
        "out": str(place / "out"),
        "seed": evaluation.seed,
        "max_new_tokens": evaluation.max_new_tokens,
    }
    if is_of_pairs(evaluation):
        order["preferred_over"], order["bases"] = preferred_over(evaluation.model_version)
    try:
        found = run_engine(run, order, place, threads=settings.INFER_THREADS)
        measured = json.loads(Path(found["metrics"]).read_text(encoding="utf-8"))
        count = _store(run, evaluation, Path(found["examples"]), data)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    with run.fenced():
        services.finish_evaluation(evaluation=evaluation, metrics=measured, row_count=count)
    return {"rows": count, "headline": found["headline"]}


def _store(run: Run, evaluation: EvaluationJob, examples: Path, data: Path) -> int:
    """Write the example rows in portions, each under the lease; an earlier attempt's rows go first."""
    with run.fenced():
        services.clear_results(evaluation=evaluation)
    total = pq.read_metadata(examples).num_rows
    columns, rows_of = ROWS[PAIRED if is_of_pairs(evaluation) else evaluation.model_version.task]
    found = rows_of(evaluation.pk, examples, data)
    done = 0
    while portion := list(islice(found, ROWS_AT_ONCE)):
        with run.fenced():
            copy_rows(ExampleResult, columns, portion)
        done += len(portion)
        run.progress(done, total, unit="texts", phase=say("storing"))
    return done


def is_of_pairs(evaluation: EvaluationJob) -> bool:
    """Whether a version that writes was measured on preferences."""
    return evaluation.dataset_version.dataset.kind == Kind.PREFERENCE


Row = tuple[Any, ...]


def _chat_rows(pk: int, examples: Path, _data: Path) -> Iterator[Row]:
    for batch in _batches(examples):
        for row in batch:
            texts = [
                (row[name] or "").replace("\0", "")[:TEXT_KEPT] for name in ("text", "gold_text", "predicted_text")
            ]
            rank = (2.0 if row["correct"] else 0.0) + row["probability"]
            yield (pk, row["example_id"], texts[0], [], [], *_judged(row, rank), *texts[1:], row["answer_tokens"])


def _pair_rows(pk: int, examples: Path, _data: Path) -> Iterator[Row]:
    for batch in _batches(examples):
        for row in batch:
            texts = [row[name].replace("\0", "")[:TEXT_KEPT] for name in ("text", "gold_text", "predicted_text")]
            yield (pk, row["example_id"], texts[0], [], [], *_judged(row, row["probability"]), *texts[1:])


def _label_rows(pk: int, examples: Path, data: Path) -> Iterator[Row]:
    for text, row in _with_texts(examples, data):
        yield (pk, row["example_id"], text, row["gold"], row["predicted"], *_surest_first(row))


def _span_rows(pk: int, examples: Path, data: Path) -> Iterator[Row]:
    for text, row in _with_texts(examples, data):
        labels = [sorted({span["label"] for span in row[side]}) for side in ("gold", "predicted")]
        spans = [json.dumps(row[side], ensure_ascii=False) for side in ("gold", "predicted")]
        yield (pk, row["example_id"], text, *labels, *_surest_first(row), *spans)


def _answer_rows(pk: int, examples: Path, _data: Path) -> Iterator[Row]:
    for batch in _batches(examples):
        for row in batch:
            texts = [row[name].replace("\0", "")[:TEXT_KEPT] for name in ("text", "gold_text", "predicted_text")]
            yield (pk, row["example_id"], texts[0], [], [], *_surest_first(row), *texts[1:], row["f1"])


def _query_rows(pk: int, examples: Path, _data: Path) -> Iterator[Row]:
    for batch in _batches(examples):
        for row in batch:
            texts = [row[name].replace("\0", "")[:TEXT_KEPT] for name in ("text", "gold_text", "predicted_text")]
            first = json.dumps(row["candidates"], ensure_ascii=False)
            yield (pk, row["example_id"], texts[0], [], [], *_surest_first(row), *texts[1:], row["found_at"], first)


def _reranked_rows(pk: int, examples: Path, data: Path) -> Iterator[Row]:
    firsts = (row["first_at"] for batch in _batches(examples) for row in batch)
    for row, first_at in zip(_query_rows(pk, examples, data), firsts, strict=True):
        yield (*row, first_at)


def _surest_first(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return _judged(row, (3.0 if row["correct"] else 1.0) - row["probability"])


def _judged(row: Mapping[str, Any], rank: float) -> tuple[Any, ...]:
    return (row["probability"], row["loss"], row["correct"], rank)


def _with_texts(examples: Path, data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The beginning of each measured text, and how it fared."""
    fared = {row["example_id"]: row for batch in _batches(examples) for row in batch}
    for batch in _batches(data, columns=("example_id", "text")):
        for source in batch:
            row = fared.get(source["example_id"])
            if row is not None:
                yield (source["text"] or "")[:TEXT_KEPT], row


PAIRED = "pairs of answers"
ROWS: dict[str, tuple[Sequence[str], Callable[[int, Path, Path], Iterator[Row]]]] = {
    Task.CLASSIFICATION: (COLUMNS, _label_rows),
    Task.TAGGING: (SPAN_COLUMNS, _span_rows),
    Task.EXTRACTION: (ANSWER_COLUMNS, _answer_rows),
    Task.EMBEDDING: (QUERY_COLUMNS, _query_rows),
    Task.RERANKING: (RERANKED_COLUMNS, _reranked_rows),
    Task.GENERATION: (CHAT_COLUMNS, _chat_rows),
    PAIRED: (PAIR_COLUMNS, _pair_rows),
}
"""For each task, and for preferences, the columns of an example row, and the rows in them."""


def _batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns) if columns else None):
            yield batch.to_pylist()


def run_comparison(run: Run) -> dict[str, Any]:
    """Read both sides in the order of their examples and test them against each other."""
    rows = Comparison.objects.select_related("first__model_version", "first__dataset_version__dataset")
    comparison = rows.get(job=run.job)
    sides = [_side(pk) for pk in (comparison.first_id, comparison.second_id)]
    common = [number for number in sides[0] if number in sides[1]]
    if not common:
        raise Refused(
            "no_common_rows",
            say("The two evaluations have no row in common."),
            hint=say("Evaluate both versions again."),
        )
    run.progress(0, len(common), unit="rows", phase=say("testing"))
    first, second = ([side[number] for number in common] for side in sides)
    task = PAIRED if is_of_pairs(comparison.first) else comparison.first.model_version.task
    figures = COMPARED[task](first, second)
    with run.fenced():
        services.finish_comparison(comparison=comparison, figures=figures)
    return {"rows": len(common)}


def _side(pk: int) -> dict[int, dict[str, Any]]:
    """Example id -> what a comparison needs of an evaluation's row, in the order of the ids."""
    names = (
        "example_id",
        "gold",
        "predicted",
        "gold_spans",
        "predicted_spans",
        "loss",
        "answer_tokens",
        "f1",
        "found_at",
        "correct",
    )
    rows = ExampleResult.objects.filter(evaluation=pk).order_by("example_id").values(*names)
    return {row["example_id"]: row for row in rows.iterator(chunk_size=ROWS_AT_ONCE)}


Side = Sequence[Mapping[str, Any]]


def _compare_labels(first: Side, second: Side) -> dict[str, Any]:
    gold = [row["gold"] for row in first]
    return compare(gold, [row["predicted"] for row in first], [row["predicted"] for row in second])


def _compare_spans(first: Side, second: Side) -> dict[str, Any]:
    gold = _spans(first, "gold_spans")
    return compare_spans(gold, _spans(first, "predicted_spans"), _spans(second, "predicted_spans"))


def _spans(rows: Side, column: str) -> list[list[Span]]:
    return [[Span(span["start"], span["end"], span["label"]) for span in row[column]] for row in rows]


def _compare_answers(first: Side, second: Side) -> dict[str, Any]:
    f1 = [np.array([row["f1"] for row in side], dtype=np.float64) for side in (first, second)]
    exact = [np.array([row["correct"] for row in side], dtype=bool) for side in (first, second)]
    return compare_answers((f1[0], exact[0]), (f1[1], exact[1]))


def _compare_queries(first: Side, second: Side) -> dict[str, Any]:
    places = [np.array([row["found_at"] for row in side], dtype=np.int64) for side in (first, second)]
    return compare_queries(*places)


def _compare_chats(first: Side, second: Side) -> dict[str, Any]:
    return compare_chats(_chat_side(first), _chat_side(second))


def _compare_pairs(first: Side, second: Side) -> dict[str, Any]:
    sides = [
        PairSide(
            np.array([row["loss"] for row in side], dtype=np.float64),
            np.array([row["correct"] for row in side], dtype=bool),
        )
        for side in (first, second)
    ]
    return compare_pairs(*sides)


def _chat_side(rows: Side) -> ChatSide:
    return ChatSide(
        np.array([row["loss"] for row in rows], dtype=np.float64),
        np.array([row["answer_tokens"] for row in rows], dtype=np.int64),
        np.array([row["correct"] for row in rows], dtype=bool),
    )


COMPARED: dict[str, Callable[[Side, Side], dict[str, Any]]] = {
    Task.CLASSIFICATION: _compare_labels,
    Task.TAGGING: _compare_spans,
    Task.EXTRACTION: _compare_answers,
    Task.EMBEDDING: _compare_queries,
    Task.RERANKING: _compare_queries,
    Task.GENERATION: _compare_chats,
    PAIRED: _compare_pairs,
}
"""For each task, and for preferences, how two versions are tested against each other on the same rows."""

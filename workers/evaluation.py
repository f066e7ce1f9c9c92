"""Jobs of the evaluation room: measure a version, compare two evaluations."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from django.conf import settings

from apps.datasets.selectors import version_file
from apps.evaluation import services
from apps.evaluation.models import TEXT_KEPT, Comparison, EvaluationJob, ExampleResult
from apps.registry.selectors import version_folder
from core.bulk import copy_rows
from core.errors import Refused
from core.jobs.run import Run
from core.jobs.work import work_folder
from engine.paired import ChatSide, compare, compare_chats
from words import say
from workers.engine_task import run_engine

ROWS_AT_ONCE = 10_000
COLUMNS = ("evaluation_id", "example_id", "text", "gold", "predicted", "probability", "loss", "correct", "rank")
CHAT_COLUMNS = (*COLUMNS, "gold_text", "predicted_text", "answer_tokens")


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
    if evaluation.model_version.is_chat:
        columns: Sequence[str] = CHAT_COLUMNS
        found = _chat_rows(evaluation.pk, examples)
    else:
        fared = {row["example_id"]: row for batch in _batches(examples) for row in batch}
        columns, found = COLUMNS, _with_texts(evaluation.pk, fared, data)
    done = 0
    while portion := list(islice(found, ROWS_AT_ONCE)):
        with run.fenced():
            copy_rows(ExampleResult, columns, portion)
        done += len(portion)
        run.progress(done, total, unit="texts", phase=say("storing"))
    return done


def _chat_rows(pk: int, examples: Path) -> Iterator[tuple[Any, ...]]:
    for batch in _batches(examples):
        for row in batch:
            texts = [
                (row[name] or "").replace("\0", "")[:TEXT_KEPT] for name in ("text", "gold_text", "predicted_text")
            ]
            rank = (2.0 if row["correct"] else 0.0) + row["probability"]
            figures = (row["probability"], row["loss"], row["correct"], rank)
            yield (pk, row["example_id"], texts[0], [], [], *figures, *texts[1:], row["answer_tokens"])


def _with_texts(pk: int, fared: dict[int, dict[str, Any]], data: Path) -> Iterator[tuple[Any, ...]]:
    for batch in _batches(data, columns=("example_id", "text")):
        for source in batch:
            row = fared.get(source["example_id"])
            if row is None:
                continue
            rank = (3.0 if row["correct"] else 1.0) - row["probability"]
            yield (
                pk,
                row["example_id"],
                (source["text"] or "")[:TEXT_KEPT],
                row["gold"],
                row["predicted"],
                row["probability"],
                row["loss"],
                row["correct"],
                rank,
            )


def _batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=list(columns) if columns else None):
            yield batch.to_pylist()


def run_comparison(run: Run) -> dict[str, Any]:
    """Read both sides in the order of their examples and test them against each other."""
    comparison = Comparison.objects.select_related("first__model_version").get(job=run.job)
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
    if comparison.first.model_version.is_chat:
        figures = compare_chats(_chat_side(first), _chat_side(second))
    else:
        figures = compare(
            [row["gold"] for row in first], [row["predicted"] for row in first], [row["predicted"] for row in second]
        )
    with run.fenced():
        services.finish_comparison(comparison=comparison, figures=figures)
    return {"rows": len(common)}


def _side(pk: int) -> dict[int, dict[str, Any]]:
    """Example id -> what a comparison needs of an evaluation's row, in the order of the ids."""
    names = ("example_id", "gold", "predicted", "loss", "answer_tokens", "correct")
    rows = ExampleResult.objects.filter(evaluation=pk).order_by("example_id").values(*names)
    return {row["example_id"]: row for row in rows.iterator(chunk_size=ROWS_AT_ONCE)}


def _chat_side(rows: Sequence[Mapping[str, Any]]) -> ChatSide:
    return ChatSide(
        np.array([row["loss"] for row in rows], dtype=np.float64),
        np.array([row["answer_tokens"] for row in rows], dtype=np.int64),
        np.array([row["correct"] for row in rows], dtype=bool),
    )

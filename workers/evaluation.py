"""Jobs of the evaluation room: measure a version, compare two evaluations."""

import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from django.conf import settings

from apps.datasets.selectors import version_file
from apps.evaluation import services
from apps.evaluation.models import TEXT_KEPT, Comparison, EvaluationJob, ExampleResult
from apps.registry.selectors import version_folder
from core.bulk import copy_rows
from core.jobs.run import Run
from core.jobs.work import work_folder
from engine.paired import compare
from words import say
from workers.engine_task import run_engine

ROWS_AT_ONCE = 10_000
COLUMNS = ("evaluation_id", "example_id", "text", "gold", "predicted", "probability", "loss", "correct", "rank")


def run_evaluation(run: Run) -> dict[str, Any]:
    """Measure in a child process, then store every example row and the figures."""
    rows = EvaluationJob.objects.select_related("model_version__family", "dataset_version__dataset")
    evaluation = rows.get(job=run.job)
    place = work_folder(run)
    data = version_file(evaluation.dataset_version)
    order = {
        "task": "evaluate",
        "model": str(version_folder(evaluation.model_version)),
        "data": {"path": str(data), "split": evaluation.split},
        "out": str(place / "out"),
        "seed": evaluation.seed,
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
    fared = {row["example_id"]: row for batch in _batches(examples) for row in batch}
    with run.fenced():
        services.clear_results(evaluation=evaluation)
    found = _with_texts(evaluation.pk, fared, data)
    done, total = 0, len(fared)
    while portion := list(islice(found, ROWS_AT_ONCE)):
        with run.fenced():
            copy_rows(ExampleResult, COLUMNS, portion)
        done += len(portion)
        run.progress(done, total, unit="texts", phase=say("storing"))
    return done


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
    comparison = Comparison.objects.get(job=run.job)
    sides = [
        ExampleResult.objects.filter(evaluation=pk)
        .order_by("example_id")
        .values_list("example_id", "gold", "predicted")
        for pk in (comparison.first_id, comparison.second_id)
    ]
    first = {number: (gold, said) for number, gold, said in sides[0].iterator(chunk_size=ROWS_AT_ONCE)}
    second = {number: said for number, _gold, said in sides[1].iterator(chunk_size=ROWS_AT_ONCE)}
    common = [number for number in first if number in second]
    run.progress(0, len(common), unit="rows", phase=say("testing"))
    figures = compare(
        [first[number][0] for number in common],
        [first[number][1] for number in common],
        [second[number] for number in common],
    )
    with run.fenced():
        services.finish_comparison(comparison=comparison, figures=figures)
    return {"rows": len(common)}

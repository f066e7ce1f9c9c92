"""The runner of batch predictions: prepare the input once, label it in a child, store each part exactly once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.selectors import version_file
from apps.inference import services
from apps.inference.models import BatchJob, Source
from apps.registry.selectors import version_folder
from core import storage
from core.errors import Refused
from core.jobs.run import HandBack, Run, Stopped
from words import say
from workers.child import engine_child

BAD_ROWS_KEPT = 200
GROUP_ROWS = 5_000
TOP = 5
SCHEMA = pa.schema([("example_id", pa.int64()), ("custom_id", pa.string()), ("text", pa.string())])


def run_batch(run: Run) -> Mapping[str, Any]:
    """Label the batch from where it stands; the stored count is the place to go on."""
    batch_job = BatchJob.objects.select_related("model_version", "dataset_version__dataset", "workspace").get(
        job=run.job
    )
    storage.require_free_space()
    folder = storage.workspace_folder(batch_job.workspace_id, "predictions", str(batch_job.pk))
    if not batch_job.input_path:
        _prepare(run, batch_job, folder)
    source = storage.home() / batch_job.input_path
    if not batch_job.row_count:
        raise Refused(
            "no_texts",
            say("There is no text to label."),
            hint=say("Look at the refused rows and send a file with texts."),
        )
    if batch_job.stored_count < batch_job.row_count:
        _label(run, batch_job, source, folder / str(run.token))
    return {"rows": batch_job.stored_count, "bad_rows": batch_job.bad_count}


def _prepare(run: Run, batch_job: BatchJob, folder: Path) -> None:
    """One Parquet file with position, id and text of every usable row."""
    path = folder / "input.parquet"
    bad: list[dict[str, Any]] = []
    counts = {"rows": 0, "bad": 0}
    with storage.whole_file(path) as beside, pq.ParquetWriter(beside, SCHEMA) as writer:
        group: list[dict[str, Any]] = []
        for found in _texts(batch_job):
            if isinstance(found, RowError):
                counts["bad"] += 1
                if len(bad) < BAD_ROWS_KEPT:
                    bad.append(found.as_mapping())
                continue
            group.append({"example_id": counts["rows"], "custom_id": found[0], "text": found[1]})
            counts["rows"] += 1
            if len(group) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                group = []
                run.progress(counts["rows"], None, unit="texts", phase=say("reading"))
        writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
    services.prepared(run=run, batch_job=batch_job, path=path, rows=counts["rows"], bad=bad, bad_count=counts["bad"])


def _texts(batch_job: BatchJob) -> Iterator[tuple[str, str] | RowError]:
    if batch_job.source == Source.VERSION:
        assert batch_job.dataset_version is not None
        yield from _version_texts(version_file(batch_job.dataset_version), batch_job.split)
        return
    if not batch_job.file_path:
        raise Refused("file_gone", say("The file of this batch is gone. Upload it again."))
    options = ReadOptions.from_mapping(batch_job.options)
    try:
        for row in read_rows(storage.home() / batch_job.file_path, options):
            if isinstance(row, RowError):
                yield row
                continue
            text = row.values.get(batch_job.text_column)
            text = "" if text is None else str(text)
            if not text.strip() or "\0" in text:
                code, words = (
                    ("nul_character", say("The text holds a NUL."))
                    if "\0" in text
                    else ("empty", say("The text is empty."))
                )
                yield RowError(row.number, code, words, text[:100], row.position, batch_job.text_column)
                continue
            name = row.values.get(batch_job.id_column) if batch_job.id_column else ""
            yield ("" if name is None else str(name)[:500], text)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message) from problem


def _version_texts(path: Path, split: str) -> Iterator[tuple[str, str]]:
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(GROUP_ROWS, columns=["example_id", "external_id", "split", "text"]):
        for row in batch.to_pylist():
            if not split or row["split"] == split:
                yield (row["external_id"] or str(row["example_id"]), row["text"])


def _label(run: Run, batch_job: BatchJob, source: Path, scratch: Path) -> None:
    order = {
        "task": "predict",
        "data": {"path": str(source), "kind": "corpus", "column": "text"},
        "model": str(version_folder(batch_job.model_version)),
        "out": str(scratch),
        "skip_rows": batch_job.stored_count,
    }
    rows = _input_rows(source, batch_job.stored_count)
    with engine_child(order, scratch, threads=settings.INFER_THREADS) as child:
        try:
            for event in child.events():
                if event is None:
                    run.check()
                elif event["type"] == "progress":
                    run.progress(event["done"], batch_job.row_count, unit="texts", phase=event["phase"])
                elif event["type"] == "part":
                    _store(run, batch_job, rows, Path(event["path"]))
                elif event["type"] == "log":
                    run.log(event["message"], level=event["level"])
        except Stopped:
            child.kill()
            raise
    if child.failure is not None:
        raise Refused(child.failure["code"], child.failure["message"], hint=child.failure.get("hint", ""))
    if child.result is None:
        run.log(child.last_words(), level="error")
        raise HandBack(
            say("The engine ended unexpectedly (exit code {returncode}).", returncode=child.process.returncode),
            code="engine_died",
            hint=say("The job's log holds its last words."),
        )


def _input_rows(source: Path, skip: int) -> Iterator[dict[str, Any]]:
    seen = 0
    for batch in pq.ParquetFile(source).iter_batches(GROUP_ROWS):
        if seen + batch.num_rows > skip:
            yield from batch.slice(max(0, skip - seen)).to_pylist()
        seen += batch.num_rows


def _store(run: Run, batch_job: BatchJob, rows: Iterator[dict[str, Any]], part: Path) -> None:
    """Join a part with its texts and keep it; parts come in order, as the rows do."""
    table = pq.read_table(part)
    names = batch_job.model_version.labels
    kept = []
    for found in table.to_pylist():
        row = next(rows)
        if row["example_id"] != found["example_id"]:
            raise RuntimeError(f"part {part.name} is out of order at {found['example_id']}")
        top = sorted(zip(names, found["probabilities"], strict=True), key=lambda pair: -pair[1])[:TOP]
        labels = sorted(found["labels"], key=lambda label: -found["probabilities"][names.index(label)])
        label = labels[0] if labels else ""
        probability = min(1.0, max(0.0, found["probabilities"][names.index(label)] if label else top[0][1]))
        kept.append(
            (
                row["example_id"],
                row["custom_id"] or "",
                row["text"],
                labels,
                label,
                probability,
                [[name, round(float(value), 6)] for name, value in top],
            )
        )
    services.keep_predictions(run=run, batch_job=batch_job, rows=kept)
    part.unlink(missing_ok=True)
    run.progress(batch_job.stored_count, batch_job.row_count, unit="texts", phase=say("labelling"), now=True)

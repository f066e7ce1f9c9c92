"""The runner of batch predictions: prepare the input once, let a child work on it, store each part exactly once."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from apps.datasets.formats.dialogues import Unmappable, to_prompt
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import FileProblem, Position, RowError
from apps.datasets.formats.reading import read_rows
from apps.datasets.selectors import version_file
from apps.inference import services
from apps.inference.models import BatchJob, Source
from apps.inference.services.generations import MAX_PROMPT_CHARACTERS
from apps.inference.tasks import use_of
from apps.registry.models import Task
from apps.registry.selectors import version_folder
from core import storage
from core.errors import Refused
from core.jobs.run import Run
from engine.specs.records import check_record
from words import say
from workers.batch_guarding import Item, guarded_rows
from workers.batch_writing import write_rows
from workers.engine_task import run_engine

JOINED = (
    "model_version__family",
    "dataset_version__dataset",
    "deployment__guard_policy",
    "workspace",
    "created_by",
    "api_key",
)
BAD_ROWS_KEPT = 200
GROUP_ROWS = 5_000
TOP = 5
DECIMALS = 7  # of a vector's numbers, which are 32-bit
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema([("example_id", pa.int64()), ("custom_id", pa.string()), ("text", pa.string())])
QUESTION_SCHEMA = SCHEMA.append(pa.field("context", pa.string()))
CHAT_SCHEMA = SCHEMA.append(pa.field("messages", MESSAGES))
LABEL_COLUMNS = ("position", "custom_id", "text", "labels", "label", "probability", "probabilities")
FOUND_COLUMNS = (
    "position",
    "custom_id",
    "text",
    "context",
    "answer",
    "spans",
    "probability",
    "labels",
    "label",
    "probabilities",
)
SPAN_COLUMNS = ("position", "custom_id", "text", "labels", "label", "probability", "spans", "probabilities")
VECTOR_COLUMNS = ("position", "custom_id", "text", "vector", "labels", "label", "probabilities")
SCORE_COLUMNS = ("position", "custom_id", "text", "context", "probability", "labels", "label", "probabilities")


class Unusable(Exception):
    """A row that nothing can be said of: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def run_batch(run: Run) -> Mapping[str, Any]:
    """Label or answer the batch from where it stands; the stored count is the place to go on."""
    rows = BatchJob.objects.select_related(*JOINED)
    batch_job = rows.get(job=run.job)
    storage.require_free_space()
    folder = storage.workspace_folder(batch_job.workspace_id, "predictions", str(batch_job.pk))
    if not batch_job.input_path:
        _prepare(run, batch_job, folder)
    source = storage.home() / batch_job.input_path
    if not batch_job.row_count:
        raise Refused(
            "no_texts",
            say("There is no text to work on."),
            hint=say("Look at the refused rows and send a file with texts."),
        )
    if reading_of(batch_job).kind == "chat":
        write_rows(run, batch_job, _input_rows(source, batch_job.stored_count))
    elif batch_job.stored_count < batch_job.row_count:
        _perform(run, batch_job, source, folder / str(run.token))
    return {"rows": batch_job.stored_count, "bad_rows": batch_job.bad_count}


def _prepare(run: Run, batch_job: BatchJob, folder: Path) -> None:
    """One Parquet file with position, id and text (or messages) of every usable row."""
    path = folder / "input.parquet"
    schema = reading_of(batch_job).schema
    bad: list[dict[str, Any]] = []
    counts = {"rows": 0, "bad": 0}
    with storage.whole_file(path) as beside, pq.ParquetWriter(beside, schema) as writer:
        group: list[dict[str, Any]] = []
        for found in guarded_rows(batch_job, _texts(batch_job)):
            if isinstance(found, RowError):
                counts["bad"] += 1
                if len(bad) < BAD_ROWS_KEPT:
                    bad.append(found.as_mapping())
                continue
            name, text, more = found
            group.append({"example_id": counts["rows"], "custom_id": name, "text": text, **more})
            counts["rows"] += 1
            if len(group) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                group = []
                run.progress(counts["rows"], None, unit="texts", phase=say("reading"))
        writer.write_table(pa.Table.from_pylist(group, schema=schema))
    services.prepared(run=run, batch_job=batch_job, path=path, rows=counts["rows"], bad=bad, bad_count=counts["bad"])


def _texts(batch_job: BatchJob) -> Iterator[Item | RowError]:
    if batch_job.source == Source.VERSION:
        assert batch_job.dataset_version is not None
        yield from reading_of(batch_job).version_rows(version_file(batch_job.dataset_version), batch_job.split)
        return
    if not batch_job.file_path:
        raise Refused("file_gone", say("The file of this batch is gone. Upload it again."))
    options = ReadOptions.from_mapping(batch_job.options)
    read_value = reading_of(batch_job).value
    try:
        for row in read_rows(storage.home() / batch_job.file_path, options):
            if isinstance(row, RowError):
                yield row
                continue
            value = row.values.get(batch_job.text_column)
            beside = row.values.get(batch_job.context_column) if batch_job.context_column else None
            name = row.values.get(batch_job.id_column) if batch_job.id_column else ""
            try:
                text, more = read_value(value, beside)
            except Unusable as fault:
                snippet = str(value or "")[:100]
                yield RowError(row.number, fault.code, fault.message, snippet, row.position, batch_job.text_column)
                continue
            yield ("" if name is None else str(name)[:500], text, more)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message) from problem


def _text(value: Any, _beside: Any = None) -> tuple[str, dict[str, Any]]:
    return _checked(value), {}


def _question(value: Any, beside: Any) -> tuple[str, dict[str, Any]]:
    return _checked(value), {"context": _checked(beside)}


def _checked(value: Any) -> str:
    text = "" if value is None else str(value)
    if "\0" in text:
        raise Unusable("nul_character", say("The text holds a NUL."))
    if not text.strip():
        raise Unusable("empty", say("The text is empty."))
    return text


def _chat(value: Any, _beside: Any = None) -> tuple[str, dict[str, Any]]:
    """A prompt in any shape: a text is what the user said; of a whole chat the closing answer is left off."""
    try:
        messages = to_prompt("" if value is None else value if isinstance(value, str | list) else str(value))
    except Unmappable as fault:
        raise Unusable(fault.code, fault.message) from fault
    while messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    problems = check_record("chat", {"messages": messages})
    if problems:
        raise Unusable(problems[0].code, problems[0].message)
    if messages[-1]["role"] == "system":
        raise Unusable("nothing_asked", say("The chat asks nothing."))
    if sum(len(message["content"]) for message in messages) > MAX_PROMPT_CHARACTERS:
        most = MAX_PROMPT_CHARACTERS
        raise Unusable("text_too_long", say("All texts together have at most {most:,} characters.", most=most))
    return messages[-1]["content"], {"messages": messages}


def _version_texts(path: Path, split: str) -> Iterator[Item]:
    for row in _version_rows(path, split, "text"):
        yield (row["external_id"] or str(row["example_id"]), row["text"], {})


def _version_questions(path: Path, split: str) -> Iterator[Item]:
    for row in _version_rows(path, split, "question", "context"):
        yield (row["external_id"] or str(row["example_id"]), row["question"], {"context": row["context"]})


def _version_pairs(path: Path, split: str) -> Iterator[Item]:
    for row in _version_rows(path, split, "source", "target"):
        yield (row["external_id"] or str(row["example_id"]), row["source"], {"context": row["target"]})


def _version_chats(path: Path, split: str) -> Iterator[Item | RowError]:
    for number, row in enumerate(_version_rows(path, split, "messages"), start=1):
        try:
            text, more = _chat(row["messages"])
        except Unusable as fault:
            yield RowError(number, fault.code, fault.message, "", Position(), "messages")
            continue
        yield (row["external_id"] or str(row["example_id"]), text, more)


@dataclass(frozen=True)
class Reading:
    """How the rows of a batch are read, by what its version reads: texts or messages."""

    schema: pa.Schema
    kind: str
    column: str  # that the engine is told to read
    value: Callable[[Any, Any], tuple[str, dict[str, Any]]]  # of a file's cells; raises Unusable
    version_rows: Callable[[Path, str], Iterator[Item | RowError]]
    phase: Callable[[], str]


READINGS = {
    "text": Reading(SCHEMA, "corpus", "text", _text, _version_texts, lambda: say("labelling")),
    "question": Reading(QUESTION_SCHEMA, "qa", "text", _question, _version_questions, lambda: say("answering")),
    "pair": Reading(QUESTION_SCHEMA, "pairs", "text", _question, _version_pairs, lambda: say("scoring")),
    "messages": Reading(CHAT_SCHEMA, "chat", "messages", _chat, _version_chats, lambda: say("answering")),
}


def reading_of(batch_job: BatchJob) -> Reading:
    """How the rows of this batch are read."""
    return READINGS[use_of(batch_job.model_version).reads]


def _version_rows(path: Path, split: str, *names: str) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(GROUP_ROWS, columns=["example_id", "external_id", "split", *names]):
        for row in batch.to_pylist():
            if not split or row["split"] == split:
                yield row


def _perform(run: Run, batch_job: BatchJob, source: Path, scratch: Path) -> None:
    order = {
        "task": "predict",
        "data": {
            "path": str(source),
            "kind": reading_of(batch_job).kind,
            "column": reading_of(batch_job).column,
        },
        "model": str(version_folder(batch_job.model_version)),
        "out": str(scratch),
        "skip_rows": batch_job.stored_count,
    }
    rows = _input_rows(source, batch_job.stored_count)
    began = monotonic()
    keep, phase = KEPT[batch_job.model_version.task], reading_of(batch_job).phase()

    def store(event: Mapping[str, Any]) -> None:
        nonlocal began
        part, ended = Path(event["path"]), monotonic()
        columns, kept, labels = keep(batch_job, list(_joined(rows, part)))
        seconds = ended - began
        services.keep_predictions(
            run=run, batch_job=batch_job, columns=columns, rows=kept, labels=labels, seconds=seconds
        )
        began = ended
        part.unlink(missing_ok=True)
        run.progress(batch_job.stored_count, batch_job.row_count, unit="texts", phase=phase, now=True)

    run_engine(run, order, scratch, threads=settings.INFER_THREADS, on_part=store)


def _input_rows(source: Path, skip: int) -> Iterator[dict[str, Any]]:
    seen = 0
    for batch in pq.ParquetFile(source).iter_batches(GROUP_ROWS):
        if seen + batch.num_rows > skip:
            yield from batch.slice(max(0, skip - seen)).to_pylist()
        seen += batch.num_rows


def _joined(rows: Iterator[dict[str, Any]], part: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each input row beside what was said of it; parts come in order, as the rows do."""
    for found in pq.read_table(part).to_pylist():
        row = next(rows)
        if row["example_id"] != found["example_id"]:
            raise RuntimeError(f"part {part.name} is out of order at {found['example_id']}")
        yield row, found


Joined = Sequence[tuple[dict[str, Any], dict[str, Any]]]
Kept = tuple[Sequence[str], list[tuple[Any, ...]], list[str]]
"""Columns, rows, and the labels given in them."""


def _labels_kept(batch_job: BatchJob, joined: Joined) -> Kept:
    names = batch_job.model_version.labels
    kept: list[tuple[Any, ...]] = []
    given: list[str] = []
    for row, found in joined:
        top = sorted(zip(names, found["probabilities"], strict=True), key=lambda pair: -pair[1])[:TOP]
        labels = sorted(found["labels"], key=lambda label: -found["probabilities"][names.index(label)])
        label = labels[0] if labels else ""
        probability = min(1.0, max(0.0, found["probabilities"][names.index(label)] if label else top[0][1]))
        shown = json.dumps([[name, round(float(value), 6)] for name, value in top])
        kept.append((row["example_id"], row["custom_id"] or "", row["text"], labels, label, probability, shown))
        given += labels
    return LABEL_COLUMNS, kept, given


def _spans_kept(_batch_job: BatchJob, joined: Joined) -> Kept:
    kept: list[tuple[Any, ...]] = []
    given: list[str] = []
    for row, found in joined:
        labels = [span["label"] for span in found["spans"]]
        surest = max(found["spans"], key=lambda span: span["probability"])["label"] if labels else ""
        spans = json.dumps(found["spans"], ensure_ascii=False)
        said: tuple[Any, ...] = (sorted(set(labels)), surest, min(1.0, found["probability"]), spans, "[]")
        kept.append((row["example_id"], row["custom_id"] or "", row["text"], *said))
        given += labels
    return SPAN_COLUMNS, kept, given


def _found_kept(_batch_job: BatchJob, joined: Joined) -> Kept:
    kept: list[tuple[Any, ...]] = []
    for row, found in joined:
        place = [{"start": found["start"], "end": found["end"]}] if found["answer"] else []
        said: tuple[Any, ...] = (
            found["answer"].replace("\0", ""),
            json.dumps(place),
            min(1.0, found["probability"]),
            [],
            "",
            "[]",
        )
        kept.append((row["example_id"], row["custom_id"] or "", row["text"], row["context"], *said))
    return FOUND_COLUMNS, kept, []


def _scores_kept(_batch_job: BatchJob, joined: Joined) -> Kept:
    kept: list[tuple[Any, ...]] = [
        (row["example_id"], row["custom_id"] or "", row["text"], row["context"], found["score"], [], "", "[]")
        for row, found in joined
    ]
    return SCORE_COLUMNS, kept, []


def _vectors_kept(_batch_job: BatchJob, joined: Joined) -> Kept:
    kept: list[tuple[Any, ...]] = [
        (
            row["example_id"],
            row["custom_id"] or "",
            row["text"],
            [round(value, DECIMALS) for value in found["vector"]],
            [],
            "",
            "[]",
        )
        for row, found in joined
    ]
    return VECTOR_COLUMNS, kept, []


KEPT: dict[str, Callable[[BatchJob, Joined], Kept]] = {
    Task.CLASSIFICATION: _labels_kept,
    Task.TAGGING: _spans_kept,
    Task.EXTRACTION: _found_kept,
    Task.EMBEDDING: _vectors_kept,
    Task.RERANKING: _scores_kept,
}
"""For each task whose rows go through an engine of their own what is kept of what was said."""

"""The runner of batch predictions: prepare the input once, let a child work on it, store each part exactly once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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
from apps.registry.selectors import version_folder
from core import storage
from core.errors import Refused
from core.jobs.run import Run
from engine.specs.records import check_record
from words import say
from workers.engine_task import run_engine

BAD_ROWS_KEPT = 200
GROUP_ROWS = 5_000
TOP = 5
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema([("example_id", pa.int64()), ("custom_id", pa.string()), ("text", pa.string())])
CHAT_SCHEMA = SCHEMA.append(pa.field("messages", MESSAGES))
LABEL_COLUMNS = ("position", "custom_id", "text", "labels", "label", "probability", "probabilities")
ANSWER_COLUMNS = (
    "position",
    "custom_id",
    "text",
    "messages",
    "answer",
    "finish",
    "answer_tokens",
    "labels",
    "label",
    "probabilities",
)

Item = tuple[str, str, list[dict[str, str]] | None]  # id, text, messages of a chat


class Unusable(Exception):
    """A row that nothing can be said of: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def run_batch(run: Run) -> Mapping[str, Any]:
    """Label or answer the batch from where it stands; the stored count is the place to go on."""
    rows = BatchJob.objects.select_related("model_version__family", "dataset_version__dataset", "workspace")
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
    if batch_job.stored_count < batch_job.row_count:
        _perform(run, batch_job, source, folder / str(run.token))
    return {"rows": batch_job.stored_count, "bad_rows": batch_job.bad_count}


def _prepare(run: Run, batch_job: BatchJob, folder: Path) -> None:
    """One Parquet file with position, id and text (or messages) of every usable row."""
    path = folder / "input.parquet"
    schema = CHAT_SCHEMA if batch_job.model_version.is_chat else SCHEMA
    bad: list[dict[str, Any]] = []
    counts = {"rows": 0, "bad": 0}
    with storage.whole_file(path) as beside, pq.ParquetWriter(beside, schema) as writer:
        group: list[dict[str, Any]] = []
        for found in _texts(batch_job):
            if isinstance(found, RowError):
                counts["bad"] += 1
                if len(bad) < BAD_ROWS_KEPT:
                    bad.append(found.as_mapping())
                continue
            name, text, messages = found
            group.append({"example_id": counts["rows"], "custom_id": name, "text": text, "messages": messages})
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
        read = _version_chats if batch_job.model_version.is_chat else _version_texts
        yield from read(version_file(batch_job.dataset_version), batch_job.split)
        return
    if not batch_job.file_path:
        raise Refused("file_gone", say("The file of this batch is gone. Upload it again."))
    options = ReadOptions.from_mapping(batch_job.options)
    read_value = _chat if batch_job.model_version.is_chat else _text
    try:
        for row in read_rows(storage.home() / batch_job.file_path, options):
            if isinstance(row, RowError):
                yield row
                continue
            value = row.values.get(batch_job.text_column)
            name = row.values.get(batch_job.id_column) if batch_job.id_column else ""
            try:
                text, messages = read_value(value)
            except Unusable as fault:
                snippet = str(value or "")[:100]
                yield RowError(row.number, fault.code, fault.message, snippet, row.position, batch_job.text_column)
                continue
            yield ("" if name is None else str(name)[:500], text, messages)
    except FileProblem as problem:
        raise Refused(problem.code, problem.message) from problem


def _text(value: Any) -> tuple[str, None]:
    text = "" if value is None else str(value)
    if "\0" in text:
        raise Unusable("nul_character", say("The text holds a NUL."))
    if not text.strip():
        raise Unusable("empty", say("The text is empty."))
    return text, None


def _chat(value: Any) -> tuple[str, list[dict[str, str]]]:
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
    return messages[-1]["content"], messages


def _version_texts(path: Path, split: str) -> Iterator[Item]:
    for row in _version_rows(path, split, "text"):
        yield (row["external_id"] or str(row["example_id"]), row["text"], None)


def _version_chats(path: Path, split: str) -> Iterator[Item | RowError]:
    for number, row in enumerate(_version_rows(path, split, "messages"), start=1):
        try:
            text, messages = _chat(row["messages"])
        except Unusable as fault:
            yield RowError(number, fault.code, fault.message, "", Position(), "messages")
            continue
        yield (row["external_id"] or str(row["example_id"]), text, messages)


def _version_rows(path: Path, split: str, column: str) -> Iterator[dict[str, Any]]:
    file = pq.ParquetFile(path)
    for batch in file.iter_batches(GROUP_ROWS, columns=["example_id", "external_id", "split", column]):
        for row in batch.to_pylist():
            if not split or row["split"] == split:
                yield row


def _perform(run: Run, batch_job: BatchJob, source: Path, scratch: Path) -> None:
    is_chat = batch_job.model_version.is_chat
    order = {
        "task": "predict",
        "data": {
            "path": str(source),
            "kind": "chat" if is_chat else "corpus",
            "column": "messages" if is_chat else "text",
        },
        "model": str(version_folder(batch_job.model_version)),
        "out": str(scratch),
        "skip_rows": batch_job.stored_count,
        "max_new_tokens": batch_job.max_new_tokens,
    }
    rows = _input_rows(source, batch_job.stored_count)
    keep = _keep_answers if is_chat else _keep_labels
    phase = say("answering") if is_chat else say("labelling")

    def store(event: Mapping[str, Any]) -> None:
        part = Path(event["path"])
        keep(run, batch_job, list(_joined(rows, part)))
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


def _keep_labels(run: Run, batch_job: BatchJob, joined: Joined) -> None:
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
    services.keep_predictions(run=run, batch_job=batch_job, columns=LABEL_COLUMNS, rows=kept, labels=given)


def _keep_answers(run: Run, batch_job: BatchJob, joined: Joined) -> None:
    kept: list[tuple[Any, ...]] = [
        (
            row["example_id"],
            row["custom_id"] or "",
            row["text"],
            json.dumps(row["messages"], ensure_ascii=False),
            found["answer"].replace("\0", ""),
            found["finish"],
            found["answer_tokens"],
            [],
            "",
            "[]",
        )
        for row, found in joined
    ]
    services.keep_predictions(run=run, batch_job=batch_job, columns=ANSWER_COLUMNS, rows=kept)

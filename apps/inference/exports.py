"""Stream a batch as CSV, JSONL or CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.http import StreamingHttpResponse

from apps.inference.models import BatchJob, Prediction
from apps.inference.selectors import exported_rows
from apps.inference.tasks import use_of
from apps.registry.models import ModelVersion
from core.errors import Refused
from core.spreadsheets import harmless
from core.streaming import streamed
from words import say


def download(batch_job: BatchJob, format: str) -> StreamingHttpResponse:
    """A streamed file of all stored rows; refused for an unknown format."""
    if format not in FORMATS:
        raise Refused(
            "unknown_format", say("Choose one of: {formats}", formats=", ".join(FORMATS)), field="file_format"
        )
    write, content_type, ending = FORMATS[format]
    name = f"predictions-{batch_job.pk}.{ending}"
    return streamed(write(batch_job), filename=name, content_type=content_type)


def _record(row: Prediction, version: ModelVersion) -> dict[str, Any]:
    """One row as an export writes it; all rows of a batch were made by the batch's version."""
    start = {"position": row.position, "id": row.custom_id, "text": row.text}
    end = {"model_version": str(version), "model_version_id": row.model_version_id}
    return {**start, **use_of(version).said(row), **end}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _csv(batch_job: BatchJob) -> Iterator[str]:
    return _table(batch_job, lambda cell: cell)


def _csv_spreadsheet(batch_job: BatchJob) -> Iterator[str]:
    yield "\ufeff"
    yield from _table(batch_job, harmless)


def _table(batch_job: BatchJob, clean: Callable[[str], str]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    version = batch_job.model_version
    header = use_of(version).header
    writer.writerow(header)
    for row in exported_rows(batch_job):
        record = _record(row, version)
        writer.writerow([clean(_cell(record[name])) for name in header])
        if line.tell() > 65_536:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _jsonl(batch_job: BatchJob) -> Iterator[str]:
    for row in exported_rows(batch_job):
        yield json.dumps(_record(row, batch_job.model_version), ensure_ascii=False) + "\n"


FORMATS: dict[str, tuple[Callable[[BatchJob], Iterator[str]], str, str]] = {
    "csv": (_csv, "text/csv; charset=utf-8", "csv"),
    "csv-spreadsheet": (_csv_spreadsheet, "text/csv; charset=utf-8", "csv"),
    "jsonl": (_jsonl, "application/x-ndjson", "jsonl"),
}

"""Stream a batch as CSV, JSONL or CSV for spreadsheets."""

import csv
import io
import json
from collections.abc import Callable, Iterator

from django.http import HttpRequest, StreamingHttpResponse

from apps.inference.models import BatchJob, Prediction
from apps.inference.selectors import exported_rows
from core.errors import Refused
from core.streaming import streamed
from words import say

HEADER = ("position", "id", "text", "label", "labels", "probability", "model_version")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def download(request: HttpRequest, batch_job: BatchJob, format: str) -> StreamingHttpResponse:
    """A streamed file of all stored rows; refused for an unknown format."""
    if format not in FORMATS:
        raise Refused(
            "unknown_format", say("Choose one of: {formats}", formats=", ".join(FORMATS)), field="file_format"
        )
    write, content_type, ending = FORMATS[format]
    name = f"predictions-{batch_job.pk}.{ending}"
    return streamed(request, write(batch_job), filename=name, content_type=content_type)


def _cells(row: Prediction, model: str) -> list[str]:
    labels = json.dumps(row.labels, ensure_ascii=False)
    return [str(row.position), row.custom_id, row.text, row.label, labels, f"{row.probability:.6f}", model]


def _csv(batch_job: BatchJob) -> Iterator[str]:
    return _table(batch_job, lambda cell: cell)


def _csv_spreadsheet(batch_job: BatchJob) -> Iterator[str]:
    yield "\ufeff"
    yield from _table(batch_job, lambda cell: f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell)


def _table(batch_job: BatchJob, clean: Callable[[str], str]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    model = str(batch_job.model_version)
    writer.writerow(HEADER)
    for row in exported_rows(batch_job):
        writer.writerow([clean(cell) for cell in _cells(row, model)])
        if line.tell() > 65_536:
            yield line.getvalue()
            line.seek(0)
            line.truncate()
    yield line.getvalue()


def _jsonl(batch_job: BatchJob) -> Iterator[str]:
    model = str(batch_job.model_version)
    for row in exported_rows(batch_job):
        entry = {
            "position": row.position,
            "id": row.custom_id,
            "text": row.text,
            "labels": row.labels,
            "probability": row.probability,
            "probabilities": row.probabilities,
            "model_version": model,
        }
        yield json.dumps(entry, ensure_ascii=False) + "\n"


FORMATS: dict[str, tuple[Callable[[BatchJob], Iterator[str]], str, str]] = {
    "csv": (_csv, "text/csv; charset=utf-8", "csv"),
    "csv-spreadsheet": (_csv_spreadsheet, "text/csv; charset=utf-8", "csv"),
    "jsonl": (_jsonl, "application/x-ndjson", "jsonl"),
}

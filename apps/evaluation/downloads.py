"""Example rows as a download, for pages and API alike."""

from typing import Any

from django.http import Http404, HttpRequest, StreamingHttpResponse

from apps.evaluation.models import EvaluationJob, ExampleResult
from apps.evaluation.selectors import results_of
from core.rows_out import CONTENT_TYPES, as_text
from core.streaming import streamed

COLUMNS = ("example_id", "text", "gold", "predicted", "probability", "loss", "correct")


def results_response(request: HttpRequest, evaluation: EvaluationJob, form: str) -> StreamingHttpResponse:
    """All rows as "csv" or "jsonl"; 404 for another form."""
    if form not in CONTENT_TYPES:
        raise Http404
    pieces = as_text(results_of(evaluation), form, COLUMNS, _record)
    return streamed(request, pieces, filename=f"evaluation-{evaluation.pk}.{form}", content_type=CONTENT_TYPES[form])


def _record(row: ExampleResult) -> dict[str, Any]:
    return {name: getattr(row, name) for name in COLUMNS}

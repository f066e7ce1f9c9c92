"""Example rows as a download, for pages and API alike."""

from django.http import Http404, StreamingHttpResponse

from apps.evaluation.models import EvaluationJob
from apps.evaluation.selectors import results_of
from apps.evaluation.tasks import measuring_of
from core.rows_out import CONTENT_TYPES, as_text
from core.streaming import streamed


def results_response(evaluation: EvaluationJob, form: str) -> StreamingHttpResponse:
    """All rows as "csv" or "jsonl"; 404 for another form."""
    if form not in CONTENT_TYPES:
        raise Http404
    columns = measuring_of(evaluation).columns
    pieces = as_text(results_of(evaluation), form, columns, lambda row: {name: getattr(row, name) for name in columns})
    return streamed(pieces, filename=f"evaluation-{evaluation.pk}.{form}", content_type=CONTENT_TYPES[form])

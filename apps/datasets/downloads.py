"""The file of an export as a download, for page and API."""

from django.http import StreamingHttpResponse

from apps.datasets.models import ExportJob
from core.errors import Refused, conflict
from core.storage import home
from core.streaming import streamed_file
from words import say


def export_response(export_job: ExportJob) -> StreamingHttpResponse:
    """The file as a download; refused while it is written or after it expired."""
    if not export_job.job.ended:
        raise conflict("export_running", say("The file is still being written. Wait until the job is done."))
    path = home() / export_job.path if export_job.path else None
    if path is None or not path.is_file():
        raise Refused("export_gone", say("This file has expired. Export again."), status=410)
    response = streamed_file(path, filename=export_job.file_name)
    response["Digest"] = f"sha-256={export_job.file_hash}"
    return response

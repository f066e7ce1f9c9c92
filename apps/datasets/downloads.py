"""The file of an export as a download, for page and API."""

from django.http import FileResponse

from apps.datasets.models import ExportJob
from core.errors import Refused, conflict
from core.storage import home
from words import say


def export_response(export_job: ExportJob) -> FileResponse:
    """The file as a download; refused while it is written or after it expired."""
    if not export_job.job.ended:
        raise conflict("export_running", say("The file is still being written. Wait until the job is done."))
    path = home() / export_job.path if export_job.path else None
    if path is None or not path.is_file():
        raise Refused("export_gone", say("This file has expired. Export again."), status=410)
    response = FileResponse(path.open("rb"), as_attachment=True, filename=export_job.file_name)
    response["Content-Type"] = "application/octet-stream"
    response["Digest"] = f"sha-256={export_job.file_hash}"
    return response

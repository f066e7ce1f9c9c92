"""The file of a finished export as an answer, for pages and API alike."""

from django.http import Http404, StreamingHttpResponse

from apps.registry.models import VersionExport
from core.storage import home
from core.streaming import streamed_file


def export_response(export: VersionExport) -> StreamingHttpResponse:
    """The zip, piece by piece; 404 before it is done, or after its retention."""
    path = home() / export.path
    if not export.path or not path.is_file():
        raise Http404
    name = f"model-{export.version_id}-v{export.version.number}-{export.kind}.zip"
    return streamed_file(path, filename=name)

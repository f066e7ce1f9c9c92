"""The file of a finished export as an answer, for pages and API alike."""

from collections.abc import Iterator
from pathlib import Path

from django.http import Http404, HttpRequest, StreamingHttpResponse

from apps.registry.models import VersionExport
from core.storage import home
from core.streaming import streamed

CHUNK_BYTES = 1 << 20


def export_response(request: HttpRequest, export: VersionExport) -> StreamingHttpResponse:
    """The zip, piece by piece; 404 before it is done, or after its retention."""
    path = home() / export.path
    if not export.path or not path.is_file():
        raise Http404
    name = f"model-{export.version_id}-v{export.version.number}.zip"
    return streamed(request, _chunks(path), filename=name, content_type="application/zip")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk

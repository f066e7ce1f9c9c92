"""The file of a finished export as an answer, for pages and API alike."""

from django.http import FileResponse, Http404

from apps.registry.models import VersionExport
from core.storage import home


def export_response(export: VersionExport) -> FileResponse:
    """The zip; 404 before it is done, or after its retention."""
    path = home() / export.path
    if not export.path or not path.is_file():
        raise Http404
    name = f"{export.version.family.name}-v{export.version.number}.zip"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/zip")

"""/v1/files: files to learn from and files of batches."""

from typing import Any, ClassVar

from django.http import Http404, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets import services
from apps.datasets.models import ApiFile, FilePurpose
from apps.datasets.selectors import api_files
from core.access import fetch
from core.openai.body import Body, read_form
from core.openai.ids import public_id, row_number
from core.openai.paging import listed
from core.openai.views import OpenAIViewSet, deleted
from core.storage import home
from core.streaming import streamed_file

MOST_LISTED = 10_000  # what OpenAI allows for files alone


class ExpiresAfter(Body):
    """When a file goes by itself."""

    anchor = serializers.ChoiceField(["created_at"])
    seconds = serializers.IntegerField(min_value=3600, max_value=2_592_000)


class NewFile(Body):
    """An upload."""

    file = serializers.FileField(max_length=255, allow_empty_file=True)
    purpose = serializers.CharField(max_length=40)
    expires_after = ExpiresAfter(required=False)


class Files(OpenAIViewSet):
    """Files of the workspace."""

    read_permission = "datasets.read"
    write_permission = "datasets.write"
    once: ClassVar[tuple[str, ...]] = ("create",)

    def list(self, request: Request) -> Response:
        """Newest first; of a purpose that nothing here has there are none."""
        rows = api_files(self.actor.workspace)
        purpose = request.query_params.get("purpose", "")
        if purpose:
            rows = rows.filter(purpose=purpose) if purpose in FilePurpose.values else rows.none()
        return listed(request, rows, kind="file", show=shown, most=MOST_LISTED, usual=MOST_LISTED)

    def create(self, request: Request) -> Response:
        """Keep an upload; lines that cannot be learnt from are named."""
        values = read_form(request, NewFile)
        made = services.receive_file(
            actor=self.actor,
            upload=values["file"],
            purpose=values["purpose"],
            expires_seconds=values.get("expires_after", {}).get("seconds"),
        )
        return Response(shown(made))

    def retrieve(self, request: Request, file: str) -> Response:
        """One file's facts."""
        return Response(shown(self._one(file)))

    def content(self, request: Request, file: str) -> StreamingHttpResponse:
        """Its bytes, as they came."""
        found = self._one(file)
        path = home() / found.path
        if not path.is_file():
            raise Http404
        return streamed_file(path, filename=found.name)

    def destroy(self, request: Request, file: str) -> Response:
        """Delete it; what was learnt from it stays."""
        services.delete_file(actor=self.actor, file=self._one(file))
        return deleted("file", file)

    def is_gone(self, body: Any) -> bool:
        """A file that was deleted may be uploaded again at once."""
        return not api_files(self.actor.workspace).filter(pk=row_number("file", body["id"])).exists()

    def _one(self, file: str) -> ApiFile:
        rows = api_files(self.actor.workspace).select_related("job")
        permission = self.write_permission if self.request.method == "DELETE" else self.read_permission
        return fetch(self.actor, rows, permission, pk=row_number("file", file))


def shown(file: ApiFile) -> dict[str, Any]:
    """A file as OpenAI's clients read it."""
    return {
        "id": public_id("file", file.pk),
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at.timestamp()),
        "expires_at": int(file.ends_at.timestamp()) if file.ends_at else None,
        "filename": file.name,
        "purpose": file.purpose,
        "status": file.state,
        "status_details": str(file.problem) or None,
    }

"""/v1/batches: files of requests worked through behind everything that somebody waits for."""

from typing import Any, ClassVar

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import ApiFile
from apps.datasets.selectors import api_files
from apps.inference import services
from apps.inference.models import ApiBatch
from apps.inference.openai.endpoints import ENDPOINTS, WRITING
from apps.inference.selectors import api_batches
from core.access import fetch
from core.errors import Refused
from core.openai.body import Body, Metadata, Text, Whole, read_body
from core.openai.ids import public_id, row_number
from core.openai.paging import listed
from core.openai.views import OpenAIViewSet
from words import say, spoken

MOMENTS = (
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)


class OutputExpiry(Body):
    """When the files that a batch makes go by themselves."""

    anchor = serializers.ChoiceField(["created_at"])
    seconds = Whole(min_value=3600, max_value=2_592_000)


class NewBatch(Body):
    """POST /v1/batches."""

    input_file_id = Text(max_length=60)
    endpoint = serializers.ChoiceField(list(ENDPOINTS))
    completion_window = Text(max_length=10)
    metadata = Metadata(required=False)
    output_expires_after = OutputExpiry(required=False)


class Batches(OpenAIViewSet):
    """Batches of the workspace."""

    read_permission = "inference.read"
    write_permission = "inference.write"
    once: ClassVar[tuple[str, ...]] = ("create",)

    def list(self, request: Request) -> Response:
        """Newest first."""
        return listed(request, api_batches(self.actor.workspace), kind="batch", show=shown)

    def create(self, request: Request) -> Response:
        """Queue the requests of a file."""
        values = read_body(request, NewBatch)
        made = services.create_batch(
            actor=self.actor,
            endpoint=values["endpoint"],
            queue="io" if values["endpoint"] in WRITING else "infer",
            file=self._file(values["input_file_id"]),
            completion_window=values["completion_window"],
            metadata=values.get("metadata"),
            output_seconds=values.get("output_expires_after", {}).get("seconds"),
        )
        return Response(shown(made))

    def retrieve(self, request: Request, batch: str) -> Response:
        """Where it stands."""
        return Response(shown(self._one(batch, self.read_permission)))

    def cancel(self, request: Request, batch: str) -> Response:
        """End it; what has a result is delivered."""
        found = self._one(batch, self.write_permission)
        services.cancel_batch(actor=self.actor, batch=found)
        return Response(shown(self._one(batch, self.write_permission)))

    def _one(self, batch: str, permission: str) -> ApiBatch:
        return fetch(self.actor, api_batches(self.actor.workspace), permission, pk=row_number("batch", batch))

    def _file(self, file: str) -> ApiFile:
        """A file of the workspace; an unknown one is a value that is refused."""
        try:
            return fetch(self.actor, api_files(self.actor.workspace), "datasets.read", pk=row_number("file", file))
        except Http404 as error:
            raise Refused(
                "file_not_found",
                say("There is no file “{file}” in this workspace.", file=file),
                field="input_file_id",
                status=400,
            ) from error


def shown(batch: ApiBatch) -> dict[str, Any]:
    """A batch as OpenAI's clients read it."""
    errors = [{**each, "message": spoken(each["message"])} for each in batch.errors]
    moments = {name: getattr(batch, name) for name in MOMENTS}
    return {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.reference or None,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": public_id("file", batch.input_file),
        "completion_window": batch.completion_window,
        "status": batch.state,
        "output_file_id": public_id("file", batch.output_file_id) if batch.output_file_id else None,
        "error_file_id": public_id("file", batch.error_file_id) if batch.error_file_id else None,
        **{name: int(moment.timestamp()) if moment else None for name, moment in moments.items()},
        "request_counts": {
            "total": batch.total_count,
            "completed": batch.completed_count,
            "failed": batch.failed_count,
        },
        "usage": {
            "input_tokens": batch.prompt_tokens,
            "input_tokens_details": {"cached_tokens": batch.cached_tokens},
            "output_tokens": batch.answer_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": batch.prompt_tokens + batch.answer_tokens,
        },
        "metadata": batch.metadata,
    }

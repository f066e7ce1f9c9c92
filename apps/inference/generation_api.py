"""REST endpoints of written answers: what the requests page shows, and the events of an answer while it is written."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import services
from apps.inference.feedback_api import FeedbackSerializer
from apps.inference.models import Generation
from apps.inference.playground import told_events
from apps.inference.request_filters import GenerationFilter
from apps.inference.selectors import written_requests
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import conflict
from core.streaming import event_stream, need_room
from words import say


class GenerationSerializer(serializers.ModelSerializer[Generation]):
    """One request to a version that writes, without its texts."""

    name = serializers.SerializerMethodField()
    first_token_seconds = serializers.FloatField(read_only=True, allow_null=True, help_text="From the request on.")
    seconds = serializers.FloatField(read_only=True, allow_null=True, help_text="From the request to its end.")

    class Meta:
        model = Generation
        fields = (
            "id", "name", "model_version", "deployment", "arm", "reference", "kind", "state", "is_stored", "prompt_tokens", "cached_tokens",
            "answer_tokens", "first_token_seconds", "seconds", "end_user", "api_key", "requested_by", "error_code",
            "error_message", "created_at", "started_at", "first_token_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "deployment": {"help_text": "Through which it was asked; null: none."},
            "arm": {"help_text": "The side of the deployment that answered."},
        }

    def get_name(self, row: Generation) -> str:
        """The id below /v1."""
        return row.public_id


class WholeGenerationSerializer(GenerationSerializer):
    """One request with its texts, options and answers; the texts are blank where they are not stored."""

    messages = serializers.ListField(child=serializers.DictField(), read_only=True)
    prompts = serializers.ListField(read_only=True)
    sampling = serializers.DictField(read_only=True)
    metadata = serializers.DictField(read_only=True)
    answers = serializers.ListField(child=serializers.DictField(), read_only=True)
    feedback = FeedbackSerializer(many=True, read_only=True)

    class Meta:
        model = Generation
        fields = (
            *GenerationSerializer.Meta.fields, "messages", "prompts", "sampling", "seed", "metadata", "answers", "feedback",
        )  # fmt: skip
        read_only_fields = fields


class GenerationViewSet(WorkspaceViewSet):
    """Requests to versions that write."""

    queryset = written_requests().order_by("-id")
    serializer_class = GenerationSerializer
    filterset_class = GenerationFilter
    read_permission = "inference.read"
    write_permission = "inference.write"

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        """Events are sent as events, whatever Accept says."""
        return super().perform_content_negotiation(request, force=force or self.action == "events")

    @extend_schema(operation_id="generations_list", summary="List requests to versions that write")
    def list(self, request: Request) -> Response:
        """Newest first, without their texts."""
        texts = ("messages", "prompts", "answers")
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset().defer(*texts)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="One request with its answers", responses=WholeGenerationSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Texts, options, answers and feedback."""
        return Response(WholeGenerationSerializer(self._one(pk, self.read_permission)).data)

    @extend_schema(summary="Cancel a request", request=None, responses=WholeGenerationSerializer)
    def cancel(self, request: Request, pk: int) -> Response:
        """What was written stays."""
        row = self._one(pk, self.write_permission)
        if not services.cancel_generation(row.pk):
            raise conflict("ended", say("This request is over already."))
        return Response(WholeGenerationSerializer(self._one(pk, self.write_permission)).data)

    @extend_schema(
        operation_id="generations_events",
        summary="An answer while it is written",
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)},
    )
    def events(self, request: Request, pk: int) -> HttpResponseBase:
        """Server-sent events, from the first character on whenever they are asked for: begun, piece, ended, over."""
        row = self._one(pk, self.read_permission)
        need_room()
        return event_stream(told_events(row))

    def _one(self, pk: int, permission: str) -> Generation:
        rows = written_requests().prefetch_related("feedback")
        return fetch(self.actor, rows, permission, pk=pk)

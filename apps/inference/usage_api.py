"""REST endpoints of what was used."""

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import usage
from apps.inference.models import Usage
from core.api.views import WorkspaceViewSet
from core.rows_out import CONTENT_TYPES
from core.streaming import streamed

TAG = ["usage"]


class UsageSerializer(serializers.ModelSerializer[Usage]):
    """What one key asked of one version on one day (UTC)."""

    class Meta:
        model = Usage
        fields = ("id", *usage.COLUMNS)
        read_only_fields = fields
        extra_kwargs = {
            "key_id": {"help_text": "0 for pages."},
            "cached_tokens": {"help_text": "Of the tokens read, those that were still in memory."},
            "seconds": {"help_text": "At work."},
            "kind": {"help_text": "Of predictions, rows of batches, the tokens read are not known and 0."},
        }


class UsageViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Usage by day, API key and model version."""

    queryset = Usage.objects.all()
    serializer_class = UsageSerializer
    filterset_class = usage.UsageFilter
    read_permission = write_permission = "inference.read"

    @extend_schema(summary="List usage", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first; requests count once, when they end. Quotas count those of kind `request`."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        summary="Export usage",
        tags=TAG,
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
        filters=True,
    )
    def export(self, request: Request, kind: str) -> Any:
        """`kind` is csv, jsonl or spreadsheet; the filters of the list apply."""
        if kind not in CONTENT_TYPES:
            raise Http404
        rows = self.filter_queryset(self.get_queryset())
        ending = "jsonl" if kind == "jsonl" else "csv"
        return streamed(usage.written(rows, kind), filename=f"usage.{ending}", content_type=CONTENT_TYPES[kind])

"""REST endpoints of back-fills: a file of articles of the past, read by a job."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment import services
from apps.sentiment.models import Backfill, Monitor
from core.access import fetch
from core.api.views import WorkspaceViewSet

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"


class BackfillSerializer(serializers.ModelSerializer[Backfill]):
    """A file, how it is understood, and how far it is read."""

    monitor = serializers.IntegerField(source="source.monitor_id")

    class Meta:
        model = Backfill
        fields = (
            "id", "monitor", "source", "job", "file_name", "columns", "mapping", "row_count", "new_count", "seen_count",
            "refused_count", "problems", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class BackfillUploadSerializer(serializers.Serializer[Any]):
    """CSV, TSV, JSON Lines, JSON, Parquet or Excel; columns that are called as usual are found by themselves."""

    file = serializers.FileField()
    name = serializers.CharField(
        max_length=120, required=False, default="", allow_blank=True, help_text="Of the source."
    )
    start = serializers.BooleanField(required=False, default=True)


class BackfillStartSerializer(serializers.Serializer[Any]):
    """Field -> column; what was guessed when missing."""

    mapping = serializers.DictField(
        child=serializers.CharField(allow_blank=True), required=False, default=None, allow_null=True
    )


class BackfillViewSet(WorkspaceViewSet):
    """History that is brought in."""

    within = "source__monitor__workspace"
    queryset = Backfill.objects.select_related("source__monitor")
    serializer_class = BackfillSerializer
    read_permission = READ
    write_permission = WRITE
    parser_classes = (MultiPartParser, *WorkspaceViewSet.parser_classes)

    @extend_schema(
        operation_id="monitors_backfill",
        summary="Bring history in",
        tags=TAG,
        request={"multipart/form-data": BackfillUploadSerializer},
        responses={202: BackfillSerializer},
    )
    def create(self, request: Request, pk: int) -> Response:
        """Articles keep their times; charts show them and nobody is alarmed. With start=false it waits for its mapping."""
        monitor = fetch(self.actor, Monitor, WRITE, pk=pk)
        asked = BackfillUploadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        made = services.receive_backfill(actor=self.actor, monitor=monitor, upload=values["file"], name=values["name"])
        if values["start"]:
            made = services.start_backfill(actor=self.actor, backfill=made)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="A back-fill", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Its counts so far, and the first rows that were refused."""
        return Response(self.get_serializer(self._one(pk, READ)).data)

    @extend_schema(
        operation_id="backfills_start",
        summary="Start a back-fill",
        tags=TAG,
        request=BackfillStartSerializer,
        responses={202: BackfillSerializer},
    )
    def start(self, request: Request, pk: int) -> Response:
        """With the columns that were guessed, or others; asked twice it is the same job."""
        found = self._one(pk, WRITE)
        asked = BackfillStartSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.start_backfill(actor=self.actor, backfill=found, **asked.validated_data)
        return Response(self.get_serializer(made).data, status=202)

    def _one(self, pk: int, permission: str) -> Backfill:
        return fetch(self.actor, self.queryset.all(), permission, pk=pk, within=self.within)

"""REST endpoints of versions and exports."""

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets import selectors, services
from apps.datasets.api.shared import DatasetPart, row_of, values_of
from apps.datasets.downloads import export_response
from apps.datasets.models import DatasetVersion, ExportJob
from apps.datasets.serializers import (
    DiffSerializer,
    ExportSerializer,
    FreezeSerializer,
    NewExportSerializer,
    VersionSerializer,
)


class VersionViewSet(DatasetPart):
    """Frozen versions of a dataset."""

    queryset = DatasetVersion.everything.select_related("job", "previous")
    serializer_class = VersionSerializer
    filter_backends = ()

    @extend_schema(operation_id="versions_list", summary="List versions")
    def list(self, request: Request, pk: int) -> Response:
        """Newest first, with those still being written."""
        page = self.paginate_queryset(selectors.versions(self.dataset(pk)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Freeze a version", request=FreezeSerializer, responses={202: VersionSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """Of the dataset as it is; the version can be used once its job has succeeded."""
        dataset, values = self.dataset(pk), values_of(FreezeSerializer, request)
        version = services.freeze(actor=self.actor, dataset=dataset, note=values["note"])
        return Response(self.get_serializer(version).data, status=202)

    @extend_schema(summary="One version")
    def retrieve(self, request: Request, pk: int, number: int) -> Response:
        """Hash, counts and labels."""
        return self.etag_response(self._one(pk, number))

    @extend_schema(summary="Delete a version", responses={204: None})
    def destroy(self, request: Request, pk: int, number: int) -> Response:
        """Refused while anything was made from it."""
        services.delete_version(actor=self.actor, version=self._one(pk, number))
        return Response(status=204)

    @extend_schema(summary="What changed in a version", responses=DiffSerializer)
    def diff(self, request: Request, pk: int, number: int) -> Response:
        """Compared with the version before it."""
        version = self._one(pk, number)
        previous = version.previous.number if version.previous else None
        return Response(DiffSerializer({**_NOTHING, **version.diff, "previous": previous}).data)

    def _one(self, pk: int, number: int) -> DatasetVersion:
        found: DatasetVersion = row_of(selectors.versions(self.dataset(pk)), number=min(number, 2**31 - 1))
        return found


_NOTHING = {"added": 0, "removed": 0, "changed": 0, "relabelled": 0, "moved": 0, "unchanged": 0, "examples": {}}


class ExportViewSet(DatasetPart):
    """Exports of a dataset and its versions."""

    queryset = ExportJob.objects.select_related("job", "version")
    serializer_class = ExportSerializer
    filter_backends = ()
    action_permissions = {"create": "datasets.read"}  # who may read everything may take it along

    @extend_schema(operation_id="exports_list", summary="List exports")
    def list(self, request: Request, pk: int) -> Response:
        """Newest first."""
        page = self.paginate_queryset(selectors.exports(self.dataset(pk)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Export", request=NewExportSerializer, responses={202: ExportSerializer})
    def create(self, request: Request, pk: int) -> Response:
        """The dataset as it is now, or a version; the file is written in the background and kept for 7 days."""
        dataset, values = self.dataset(pk), values_of(NewExportSerializer, request)
        version = None
        if number := values.get("version"):
            frozen = DatasetVersion.objects.filter(dataset=dataset).select_related("dataset")
            version = row_of(frozen, number=number)
        made = services.export(
            actor=self.actor,
            dataset=dataset,
            version=version,
            format=values["format"],
            split=values.get("split"),
            options=values.get("options"),
        )
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="One export")
    def retrieve(self, request: Request, pk: int, number: int) -> Response:
        """State, size, hash and what the format could not keep."""
        return self.etag_response(self._one(pk, number))

    @extend_schema(summary="Download an export", responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def file(self, request: Request, pk: int, number: int) -> StreamingHttpResponse:
        """The file itself."""
        return export_response(self._one(pk, number))

    def _one(self, pk: int, number: int) -> ExportJob:
        found: ExportJob = row_of(selectors.exports(self.dataset(pk)), pk=number)
        return found

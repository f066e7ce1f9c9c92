"""REST endpoints of imports."""

from dataclasses import asdict

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets import services
from apps.datasets.api.shared import DatasetPart, row_of, values_of
from apps.datasets.models import ImportJob
from apps.datasets.preview import preview
from apps.datasets.selectors import bad_rows, imports
from apps.datasets.serializers import (
    BadRowSerializer,
    ImportSerializer,
    NewImportSerializer,
    PreviewRowSerializer,
    StartImportSerializer,
)
from apps.datasets.services.imports import read_mapping, read_options, repeat
from core.storage import home


class ImportViewSet(DatasetPart):
    """Imports into a dataset."""

    queryset = ImportJob.objects.select_related("job")
    serializer_class = ImportSerializer
    filter_backends = ()

    @extend_schema(operation_id="imports_list", summary="List imports")
    def list(self, request: Request, pk: int) -> Response:
        """Newest first."""
        page = self.paginate_queryset(imports(self.dataset(pk)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Import a file",
        request={"multipart/form-data": NewImportSerializer, "application/json": NewImportSerializer},
        responses={201: ImportSerializer},
    )
    def create(self, request: Request, pk: int) -> Response:
        """Upload it as multipart, or give an address. The job starts at once unless `start` is false."""
        dataset, values = self.dataset(pk), values_of(NewImportSerializer, request)
        if "file" in values:
            import_job = services.receive(actor=self.actor, dataset=dataset, upload=values["file"])
        else:
            import_job = services.receive_url(actor=self.actor, dataset=dataset, url=values["url"])
        import_job = services.choose(
            actor=self.actor, import_job=import_job, options=values.get("options"), mapping=values.get("mapping")
        )
        if values["start"]:
            import_job = services.start(actor=self.actor, import_job=import_job, dry_run=values["dry_run"])
        return Response(self.get_serializer(import_job).data, status=201)

    @extend_schema(summary="One import")
    def retrieve(self, request: Request, pk: int, number: int) -> Response:
        """State, progress and counts."""
        return self.etag_response(self._one(pk, number))

    @extend_schema(
        summary="Start or repeat an import", request=StartImportSerializer, responses={201: ImportSerializer}
    )
    def start(self, request: Request, pk: int, number: int) -> Response:
        """With other columns or options if need be; one that was started already is repeated as a new import."""
        import_job, values = self._one(pk, number), values_of(StartImportSerializer, request)
        if import_job.job_id is not None:
            import_job = repeat(actor=self.actor, import_job=import_job)
        import_job = services.choose(
            actor=self.actor, import_job=import_job, options=values.get("options"), mapping=values.get("mapping")
        )
        import_job = services.start(actor=self.actor, import_job=import_job, dry_run=values["dry_run"])
        return Response(self.get_serializer(import_job).data, status=201)

    @extend_schema(summary="The first rows of an import", responses=PreviewRowSerializer(many=True))
    def preview(self, request: Request, pk: int, number: int) -> Response:
        """What they become under the chosen columns, or why not."""
        import_job = self._one(pk, number)
        path = home() / import_job.file_path
        if not import_job.file_path or not path.is_file():
            raise Http404
        kind = import_job.dataset.kind
        rows = preview(kind, path, read_options(import_job.options), read_mapping(kind, import_job.mapping))
        return Response(PreviewRowSerializer([asdict(row) for row in rows], many=True).data)

    @extend_schema(
        operation_id="import_errors_list", summary="Refused rows of an import", responses=BadRowSerializer(many=True)
    )
    def errors(self, request: Request, pk: int, number: int) -> Response:
        """Row number, code and reason; the first 10,000 are kept. Newest first, as all lists."""
        page = self.paginate_queryset(bad_rows(self._one(pk, number)))
        return self.get_paginated_response(BadRowSerializer(page, many=True).data)

    def _one(self, pk: int, number: int) -> ImportJob:
        dataset = self.dataset(pk)
        found: ImportJob = row_of(imports(dataset), pk=number)
        found.dataset = dataset
        return found

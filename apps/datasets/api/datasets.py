"""REST endpoints of datasets themselves, their profile and splits."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets import services
from apps.datasets.api.shared import DatasetPart, values_of
from apps.datasets.filters import DatasetFilter
from apps.datasets.models import Dataset
from apps.datasets.serializers import (
    DatasetChangeSerializer,
    DatasetSerializer,
    ProfileSerializer,
    SplitResultSerializer,
    SplitSerializer,
)
from apps.datasets.services.splitting import checked_plan, preview_split

ARCHIVED = OpenApiParameter("archived", bool, description="true: archived datasets instead of the others.")


class DatasetViewSet(DatasetPart):
    """Datasets of the workspace."""

    queryset = Dataset.objects.all()
    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter
    within = "workspace"

    @extend_schema(operation_id="datasets_list", summary="List datasets", parameters=[ARCHIVED])
    def list(self, request: Request) -> Response:
        """Newest first."""
        archived = request.query_params.get("archived", "").lower() in {"1", "true"}
        rows = self.filter_queryset(self.get_queryset().filter(archived_at__isnull=not archived))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(summary="Make a dataset", responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """An empty dataset of one kind."""
        dataset = services.create(actor=self.actor, **values_of(DatasetSerializer, request))
        return Response(self.get_serializer(dataset).data, status=201)

    @extend_schema(summary="One dataset")
    def retrieve(self, request: Request, pk: int) -> Response:
        """Name, kind, labels and counts."""
        return self.etag_response(self.dataset(pk))

    @extend_schema(summary="Change a dataset", request=DatasetChangeSerializer)
    def partial_update(self, request: Request, pk: int) -> Response:
        """Name, description, language, labels (their order, new ones) or whether a text may carry several."""
        dataset = self.dataset(pk)
        self.check_if_match(dataset)
        dataset = services.update(actor=self.actor, dataset=dataset, **values_of(DatasetChangeSerializer, request))
        return self.etag_response(dataset)

    @extend_schema(summary="Delete a dataset", responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its examples, versions and files; refused while something was made from it."""
        services.delete(actor=self.actor, dataset=self.dataset(pk))
        return Response(status=204)

    @extend_schema(summary="Archive a dataset", request=None)
    def archive(self, request: Request, pk: int) -> Response:
        """Take it out of lists; nothing is lost."""
        return Response(self.get_serializer(services.archive(actor=self.actor, dataset=self.dataset(pk))).data)

    @extend_schema(summary="Bring an archived dataset back", request=None)
    def unarchive(self, request: Request, pk: int) -> Response:
        """The reverse of archive."""
        return Response(self.get_serializer(services.unarchive(actor=self.actor, dataset=self.dataset(pk))).data)

    @extend_schema(summary="The profile of a dataset", responses=ProfileSerializer)
    def profile(self, request: Request, pk: int) -> Response:
        """Balance, lengths, languages, duplicates, conflicts and leakage, as of the last look."""
        return Response(_profile(self.dataset(pk)))

    @extend_schema(summary="Look at the whole dataset", request=None, responses={202: ProfileSerializer})
    def request_profile(self, request: Request, pk: int) -> Response:
        """Starts the job that makes the profile."""
        dataset = services.request_profile(actor=self.actor, dataset=self.dataset(pk))
        return Response(_profile(dataset), status=202)

    @extend_schema(
        summary="Split a dataset",
        request=SplitSerializer,
        responses={200: SplitResultSerializer, 202: SplitResultSerializer},
    )
    def split(self, request: Request, pk: int) -> Response:
        """Divide into train, dev and test; with `preview` only say the counts."""
        dataset, values = self.dataset(pk), values_of(SplitSerializer, request)
        only_preview = values.pop("preview")
        plan = checked_plan(values)
        if only_preview:
            return Response(SplitResultSerializer(preview_split(dataset, plan)).data)
        dataset = services.request_split(actor=self.actor, dataset=dataset, plan=plan)
        return Response(SplitResultSerializer({"job": dataset.split_job}).data, status=202)


def _profile(dataset: Dataset) -> dict[str, object]:
    body = {
        "report": dataset.profile,
        "outdated": bool(dataset.profile) and dataset.profile_revision != dataset.revision,
        "job": dataset.profile_job,
    }
    return dict(ProfileSerializer(body).data)

"""REST endpoints of the evaluation room."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import DatasetVersion
from apps.evaluation import selectors, services
from apps.evaluation import serializers as shapes
from apps.evaluation.downloads import results_response
from apps.evaluation.filters import EvaluationFilter, ResultFilter
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.tasks import CHAT_ORDERS, FLIPS, LIKELIER, ORDERS, measuring_of
from apps.registry.selectors import resolve_version
from core.access import fetch
from core.api.paging import page_size
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from core.keyset import keyset_by
from words import say

TAG = ["evaluations"]
CURSORS = [
    OpenApiParameter("limit", int, description="Rows of a page, 1..500 (50)."),
    OpenApiParameter("before", str, description="Go on from here; given by `next`."),
    OpenApiParameter("after", str, description="Go back from here; given by `previous`."),
]


class Evaluations(mixins.ListModelMixin, WorkspaceViewSet):
    """Model versions measured on frozen data."""

    read_permission = "evaluation.read"
    write_permission = "evaluation.write"
    queryset = EvaluationJob.objects.all()
    filterset_class = EvaluationFilter

    def get_queryset(self) -> Any:
        """With job and versions."""
        if getattr(self, "swagger_fake_view", False):
            return EvaluationJob.objects.none()
        return selectors.evaluations_of(self.actor.workspace)

    def get_serializer_class(self) -> Any:
        """Short in lists."""
        return shapes.EvaluationSerializer if self.action == "list" else shapes.EvaluationDetailSerializer

    @extend_schema(summary="List evaluations", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get an evaluation", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With all figures once the job is done."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "evaluation.read", pk=pk))

    @extend_schema(
        summary="Start an evaluation",
        tags=TAG,
        request=shapes.EvaluationWriteSerializer,
        responses={202: shapes.EvaluationDetailSerializer},
        examples=[
            OpenApiExample(
                "Champion on the test split",
                value={"model_version": "intents@champion", "dataset_version": 4, "split": "test"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Measure a model version on a split of a frozen dataset version, as a job."""
        data = shapes.EvaluationWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = dict(data.validated_data)
        values["model_version"] = resolve_version(self.actor.workspace, values["model_version"])
        rows = DatasetVersion.objects.select_related("dataset").filter(dataset__workspace=self.actor.workspace)
        found = rows.filter(pk=values["dataset_version"]).first()
        if found is None:
            raise Refused("unknown_dataset_version", say("There is no such dataset version."), field="dataset_version")
        values["dataset_version"] = found
        made = services.start_evaluation(actor=self.actor, **values)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="Delete an evaluation", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """An ended one with its rows."""
        row = fetch(self.actor, self.get_queryset(), "evaluation.write", pk=pk)
        self.check_if_match(row)
        services.delete_evaluation(actor=self.actor, evaluation=row)
        return Response(status=204)

    @extend_schema(
        summary="List example rows of an evaluation",
        tags=TAG,
        parameters=[
            *CURSORS,
            OpenApiParameter(
                "order",
                str,
                enum=sorted({*ORDERS, *CHAT_ORDERS}),
                description="rank: wrong and confident (chat versions: wrong and unlikely) first.",
            ),
            OpenApiParameter("gold", str),
            OpenApiParameter("predicted", str),
            OpenApiParameter("correct", bool),
            OpenApiParameter("text", str, description="Part of the text."),
            OpenApiParameter("answer", str, description="Part of the written answer."),
        ],
        responses=shapes.ExampleResultPageSerializer,
    )
    def results(self, request: Request, pk: int) -> Response:
        """How each example fared."""
        row = fetch(self.actor, selectors.evaluations_of(self.actor.workspace), "evaluation.read", pk=pk)
        found = ResultFilter(request.query_params, selectors.results_of(row), request=request)
        rows = found.qs if found.is_valid() else ExampleResult.objects.none()
        orders = measuring_of(row).orders
        column, descending, _words = orders.get(request.query_params.get("order", ""), orders["rank"])
        page = keyset_by(request.query_params, rows, column, descending=descending, size=page_size(request))
        body = {"next": page.next_cursor or None, "previous": page.previous_cursor or None, "results": page.rows}
        return Response(shapes.ExampleResultPageSerializer(body).data)

    @extend_schema(
        summary="Download example rows of an evaluation",
        tags=TAG,
        responses={
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, description="CSV, lists joined by |."),
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, description="JSON lines."),
        },
    )
    def download(self, request: Request, pk: int, form: str) -> StreamingHttpResponse:
        """`form` is csv or jsonl."""
        row = fetch(self.actor, selectors.evaluations_of(self.actor.workspace), "evaluation.read", pk=pk)
        return results_response(row, form)


class Comparisons(mixins.ListModelMixin, WorkspaceViewSet):
    """Evaluations tested against each other."""

    read_permission = "evaluation.read"
    write_permission = "evaluation.write"
    queryset = Comparison.objects.all()
    serializer_class = shapes.ComparisonSerializer

    def get_queryset(self) -> Any:
        """With job and both sides."""
        if getattr(self, "swagger_fake_view", False):
            return Comparison.objects.none()
        return selectors.comparisons_of(self.actor.workspace)

    @extend_schema(summary="List comparisons", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a comparison", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Differences with paired bootstrap intervals, McNemar's test, and of chat versions Wilcoxon's."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), "evaluation.read", pk=pk))

    @extend_schema(
        summary="Compare two evaluations",
        tags=TAG,
        request=shapes.ComparisonWriteSerializer,
        responses={202: shapes.ComparisonSerializer},
        examples=[OpenApiExample("Two runs", value={"first": 11, "second": 12}, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Both must be finished and made on the same dataset version and split."""
        data = shapes.ComparisonWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        rows = selectors.evaluations_of(self.actor.workspace)
        sides = {
            side: fetch(self.actor, rows, "evaluation.write", pk=data.validated_data[side])
            for side in ("first", "second")
        }
        made = services.start_comparison(actor=self.actor, **sides)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(
        summary="List examples by who was right",
        tags=TAG,
        parameters=[*CURSORS, OpenApiParameter("which", str, enum=[*FLIPS, *LIKELIER])],
        responses=shapes.FlipPageSerializer,
    )
    def flips(self, request: Request, pk: int) -> Response:
        """Examples that only the first or only the second got right, both or none; of chats also by loss."""
        row = fetch(self.actor, self.get_queryset(), "evaluation.read", pk=pk)
        which = request.query_params.get("which", "second_only")
        known = measuring_of(row.first).flip_names
        if which not in known:
            raise Refused("unknown_flips", say("which must be one of: {flips}.", flips=", ".join(known)), field="which")
        page = keyset_by(request.query_params, selectors.flips(row, which), "rank", size=page_size(request))
        results = [
            {
                "example_id": one.example_id,
                "text": one.text,
                "gold": one.gold,
                "first": one.predicted,
                "first_probability": one.probability,
                "second": two.predicted,
                "second_probability": two.probability,
                "gold_spans": one.gold_spans,
                "first_spans": one.predicted_spans,
                "second_spans": two.predicted_spans,
                "gold_text": one.gold_text,
                "first_text": one.predicted_text,
                "first_loss": one.loss,
                "second_text": two.predicted_text,
                "second_loss": two.loss,
            }
            for one, two in selectors.other_side(row, page.rows)
        ]
        body = {"next": page.next_cursor or None, "previous": page.previous_cursor or None, "results": results}
        return Response(shapes.FlipPageSerializer(body).data)

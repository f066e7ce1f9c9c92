"""REST endpoints of inference: batches, their rows and export, and single requests."""

from typing import Any

from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import DatasetVersion
from apps.inference import services
from apps.inference.exports import FORMATS, download
from apps.inference.filters import BatchFilter, row_filter
from apps.inference.models import BatchJob, Finish, Generation, GenerationKind, OnlineRequest
from apps.inference.selectors import shown_requests, written_requests
from apps.inference.serializers import (
    AskChatSerializer,
    AskQuestionSerializer,
    AskRankingSerializer,
    AskSerializer,
    BatchJobSerializer,
    ChatAnswerSerializer,
    OnlineFoundSerializer,
    OnlineMarkedSerializer,
    OnlineRankedSerializer,
    OnlineRequestSerializer,
    OnlineVectorsSerializer,
    PredictionSerializer,
    StartBatchSerializer,
)
from apps.registry.models import Task
from core.access import Actor, fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say


def route_of(actor: Actor, request: Request, model: str) -> services.Route:
    """Who answers a single request; the headers of the doors below /v1 name whose it is."""
    headers = request.headers
    key = services.StickyKey(headers.get("X-Lingxi-User", ""), headers.get("X-Lingxi-Conversation", ""))
    return services.route(actor, model, key)


class BatchViewSet(WorkspaceViewSet):
    """Batch predictions of the workspace."""

    queryset = BatchJob.objects.select_related("job")
    serializer_class = BatchJobSerializer
    filterset_class = BatchFilter
    read_permission = "inference.read"
    write_permission = "inference.write"

    @extend_schema(operation_id="predictions_list", summary="List batch predictions")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Label or answer texts, a dataset version or a file",
        request={"application/json": StartBatchSerializer, "multipart/form-data": StartBatchSerializer},
        responses={201: BatchJobSerializer},
    )
    def create(self, request: Request) -> Response:
        """Queue a batch; the model is resolved to one version now."""
        serializer = StartBatchSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        batch_job = self._start(dict(serializer.validated_data))
        return Response(self.get_serializer(batch_job).data, status=201)

    def _start(self, values: dict[str, Any]) -> BatchJob:
        sources = [name for name in ("texts", "dataset_version", "file") if values.get(name)]
        if len(sources) != 1:
            raise Refused("one_source", say("Send exactly one of: texts, dataset_version, file."), field="texts")
        found = services.stable_route(self.actor.workspace, values["model"])
        common = {
            "actor": self.actor,
            "version": found.version,
            "deployment": found.deployment,
            "reference": values["model"],
            "max_new_tokens": values.get("max_new_tokens"),
        }
        if sources == ["texts"]:
            return services.predict_texts(items=values["texts"], **common)
        if sources == ["file"]:
            return services.predict_upload(
                upload=values["file"],
                text_column=values["text_column"],
                context_column=values["context_column"],
                id_column=values["id_column"],
                **common,
            )
        try:
            data = fetch(
                self.actor,
                DatasetVersion.objects.select_related("dataset"),
                self.write_permission,
                within="dataset__workspace",
                pk=values["dataset_version"],
            )
        except Http404 as error:
            raise Refused(
                "unknown_dataset_version",
                say("There is no such dataset version in this workspace."),
                field="dataset_version",
            ) from error
        return services.predict_version(data=data, split=values["split"], **common)

    @extend_schema(summary="One batch")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and counts."""
        return self.etag_response(self._one(pk))

    @extend_schema(
        operation_id="predictions_rows_list",
        summary="The rows of a batch",
        responses=PredictionSerializer(many=True),
        parameters=[
            OpenApiParameter("label", str),
            OpenApiParameter("max_probability", float, description="Only rows the model was at most this sure of."),
            OpenApiParameter("finish", str, enum=Finish.values, description="Of a chat version: how answers ended."),
            OpenApiParameter("answer", str, description="Of a chat version: a part of the answer."),
        ],
    )
    def rows(self, request: Request, pk: int) -> Response:
        """Rows stored so far, also while the batch runs."""
        batch_job = self._one(pk)
        filters = row_filter(request.query_params, batch_job)
        if not filters.is_valid():
            name, words = next(iter(filters.form.errors.items()))
            raise Refused("invalid", str(words[0]), field=name)
        page = self.paginate_queryset(filters.qs)
        return self.get_paginated_response(PredictionSerializer(page, many=True).data)

    @extend_schema(
        summary="Download a batch",
        parameters=[OpenApiParameter("file_format", str, enum=[*FORMATS], description="csv by default.")],
        responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)},
    )
    def export(self, request: Request, pk: int) -> StreamingHttpResponse:
        """All stored rows in order; `csv-spreadsheet` neutralises formulas and is lossy."""
        return download(self._one(pk), request.query_params.get("file_format", "csv"))

    def _one(self, pk: int) -> BatchJob:
        rows = BatchJob.objects.select_related("job", "model_version__family")
        return fetch(self.actor, rows, self.read_permission, pk=pk)


class OnlineViewSet(WorkspaceViewSet):
    """A few texts labelled at once."""

    queryset = OnlineRequest.objects.all()
    serializer_class = OnlineRequestSerializer
    read_permission = "inference.read"
    write_permission = "inference.write"
    spends_tokens = True
    task = Task.CLASSIFICATION

    @extend_schema(summary="Label a few texts now", request=AskSerializer, responses={202: OnlineRequestSerializer})
    def create(self, request: Request) -> Response:
        """The answer is ready within a moment: read it by the returned id."""
        return self._ask(request)

    @extend_schema(summary="The answer to a single request")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, labels with probabilities."""
        return self._answer(pk)

    def _ask(self, request: Request) -> Response:
        serializer = AskSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        found = route_of(self.actor, request, serializer.validated_data["model"])
        texts = serializer.validated_data["texts"]
        services.checked_texts(found.version, texts, self.task)
        made = services.ask(
            actor=self.actor,
            version=found.version,
            texts=texts,
            task=self.task,
            route=found,
            guarded=services.guard_texts(self.actor, found.deployment, texts),
        )
        return Response(self.get_serializer(made).data, status=202)

    def _answer(self, pk: int) -> Response:
        rows = shown_requests().filter(model_version__task=self.task)
        return Response(self.get_serializer(fetch(self.actor, rows, self.read_permission, pk=pk)).data)


class OnlineTagViewSet(OnlineViewSet):
    """A few texts marked at once."""

    serializer_class = OnlineMarkedSerializer
    task = Task.TAGGING

    @extend_schema(
        summary="Mark spans in a few texts now", request=AskSerializer, responses={202: OnlineMarkedSerializer}
    )
    def create(self, request: Request) -> Response:
        """The spans are ready within a moment: read them by the returned id."""
        return self._ask(request)

    @extend_schema(summary="The spans of a few texts")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, the spans of each text: code points, label and probability."""
        return self._answer(pk)


class OnlineEmbedViewSet(OnlineViewSet):
    """A few texts made into vectors at once."""

    serializer_class = OnlineVectorsSerializer
    task = Task.EMBEDDING

    @extend_schema(
        summary="Make vectors of a few texts now", request=AskSerializer, responses={202: OnlineVectorsSerializer}
    )
    def create(self, request: Request) -> Response:
        """The vectors are ready within a moment: read them by the returned id."""
        return self._ask(request)

    @extend_schema(summary="The vectors of a few texts")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, the vector of each text; the dot product of two is their similarity, as a rule the cosine."""
        return self._answer(pk)


class OnlineRankViewSet(OnlineViewSet):
    """A few texts brought into order for a query at once."""

    serializer_class = OnlineRankedSerializer
    task = Task.RERANKING

    @extend_schema(
        summary="Bring a few texts into order for a query now",
        request=AskRankingSerializer,
        responses={202: OnlineRankedSerializer},
    )
    def create(self, request: Request) -> Response:
        """The order is ready within a moment: read it by the returned id."""
        serializer = AskRankingSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        found = route_of(self.actor, request, values.pop("model"))
        services.check_ranking(found.version, values["query"], values["texts"])
        passed = services.guard_texts(self.actor, found.deployment, [values["query"], *values["texts"]])
        made = services.ask_ranking(actor=self.actor, version=found.version, route=found, guarded=passed, **values)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="The order of a few texts")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, index and score of each text, the best first."""
        return self._answer(pk)


class OnlineExtractViewSet(OnlineViewSet):
    """A question answered from a passage at once."""

    serializer_class = OnlineFoundSerializer
    task = Task.EXTRACTION

    @extend_schema(
        summary="Answer a question from a passage now",
        request=AskQuestionSerializer,
        responses={202: OnlineFoundSerializer},
    )
    def create(self, request: Request) -> Response:
        """The answer is ready within a moment: read it by the returned id."""
        serializer = AskQuestionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        found = route_of(self.actor, request, values.pop("model"))
        services.check_question(found.version, values["question"], values["context"])
        passed = services.guard_texts(self.actor, found.deployment, [values["question"], values["context"]])
        made = services.ask_question(actor=self.actor, version=found.version, route=found, guarded=passed, **values)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="The answer to a question")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, the answer with its place in the passage."""
        return self._answer(pk)


class ChatAnswerViewSet(WorkspaceViewSet):
    """A chat answered at once."""

    queryset = Generation.objects.all()
    serializer_class = ChatAnswerSerializer
    read_permission = "inference.read"
    write_permission = "inference.write"
    spends_tokens = True

    @extend_schema(summary="Answer a chat now", request=AskChatSerializer, responses={202: ChatAnswerSerializer})
    def create(self, request: Request) -> Response:
        """The answer is ready within some seconds: read it by the returned id."""
        serializer = AskChatSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        reference = values.pop("model")
        found = route_of(self.actor, request, reference)
        made = services.answer_chat(actor=self.actor, version=found.version, reference=reference, route=found, **values)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="The answer to a chat")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, the answer."""
        rows = written_requests().filter(kind=GenerationKind.CHAT)
        return Response(self.get_serializer(fetch(self.actor, rows, self.read_permission, pk=pk)).data)

"""REST endpoints of training: recipes, jobs, curves, checkpoints."""

import dataclasses
from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import DatasetVersion
from apps.training import services
from apps.training.comparing import differing_options, figures_of
from apps.training.filters import TrainingJobFilter
from apps.training.models import Preflight, TrainingJob
from apps.training.selectors import compared_runs, curves, event_file, event_file_name
from apps.training.serializers import (
    AskPreflightSerializer,
    CheckedSerializer,
    CheckpointSerializer,
    ComparedRunsSerializer,
    CurvesSerializer,
    PreflightSerializer,
    RecipeSerializer,
    SeenSerializer,
    StartTrainingSerializer,
    TrainingJobSerializer,
)
from core.access import fetch
from core.api.views import WorkspaceView, WorkspaceViewSet
from core.errors import Refused
from engine import specs
from words import say


class TrainingJobViewSet(WorkspaceViewSet):
    """Training jobs of the workspace."""

    queryset = TrainingJob.objects.select_related("job")
    serializer_class = TrainingJobSerializer
    filterset_class = TrainingJobFilter
    read_permission = "training.read"
    write_permission = "training.write"

    @extend_schema(operation_id="training_jobs_list", summary="List training jobs")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Start a training job",
        request=StartTrainingSerializer,
        responses={201: TrainingJobSerializer},
    )
    def create(self, request: Request) -> Response:
        """Validated in full before it is queued; all problems come at once."""
        values = _values(request)
        training_job = services.start(
            actor=self.actor,
            recipe=values["recipe"],
            spec=values["spec"],
            version=version_of(self, values["dataset_version"]),
            name=values["name"],
            family_name=values["family_name"],
            priority=values["priority"],
        )
        return Response(self.get_serializer(training_job).data, status=201)

    @extend_schema(
        summary="Check a training job without starting it", request=StartTrainingSerializer, responses=CheckedSerializer
    )
    def validate(self, request: Request) -> Response:
        """The same checks as a start, and the full spec with defaults."""
        values = _values(request)
        parsed, problems = services.check(
            recipe=values["recipe"], spec=values["spec"], version=version_of(self, values["dataset_version"])
        )
        body = {
            "valid": parsed is not None,
            "spec": specs.to_mapping(parsed) if parsed else None,
            "problems": [problem.as_dict() for problem in problems],
        }
        return Response(body)

    @extend_schema(summary="One training job")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State, progress and, at the end, the model version."""
        return self.etag_response(self._one(pk))

    @extend_schema(
        summary="Curves of a training job",
        responses=CurvesSerializer,
        parameters=[OpenApiParameter("after_step", int, description="Only points after this step.")],
    )
    def curves(self, request: Request, pk: int) -> Response:
        """{metric: [[step, value], ...]}."""
        training_job = self._one(pk)
        try:
            after = int(request.query_params.get("after_step", "-1"))
        except ValueError as error:
            raise Refused("invalid", say("after_step must be a whole number."), field="after_step") from error
        after = max(-1, min(after, 2**31 - 1))
        return Response(CurvesSerializer({"curves": curves(training_job, after_step=after)}).data)

    @extend_schema(summary="What the model sees", responses=SeenSerializer)
    def seen(self, request: Request, pk: int) -> Response:
        """The first training rows as tokens, those that carry loss marked; empty until the run has begun."""
        return Response(SeenSerializer(self._one(pk).seen or {"template": None, "rows": []}).data)

    @extend_schema(
        summary="Curves as a TensorBoard event file",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def events(self, request: Request, pk: int) -> HttpResponse:
        """All points of the run in one file, whatever attempts it took."""
        training_job = self._one(pk)
        headers = {"Content-Disposition": f'attachment; filename="{event_file_name(training_job)}"'}
        return HttpResponse(event_file(training_job), content_type="application/octet-stream", headers=headers)

    @extend_schema(summary="Checkpoints of a training job", responses=CheckpointSerializer(many=True))
    def checkpoints(self, request: Request, pk: int) -> Response:
        """The kept checkpoints: the newest and the best."""
        rows = self._one(pk).checkpoints.order_by("-token", "-step")
        return Response(CheckpointSerializer(rows, many=True).data)

    @extend_schema(
        summary="Compare training jobs",
        responses=ComparedRunsSerializer,
        filters=False,
        parameters=[OpenApiParameter("id", int, many=True, description="Up to six jobs; the first is the measure.")],
    )
    def compare(self, request: Request) -> Response:
        """Only the options that differ, and figures with intervals and their distance from the first job."""
        runs = compared_runs(self.actor.workspace, request.query_params.getlist("id"))
        if len(runs) < 2:
            raise Refused("two_needed", say("Name at least two training jobs."), field="id")
        options = [{"option": name, "values": values} for name, values in differing_options(runs)]
        found = {"ids": [run.pk for run in runs], "options": options, "figures": figures_of(runs)}
        return Response(ComparedRunsSerializer(found).data)

    @extend_schema(summary="Run a training job again", request=None, responses={201: TrainingJobSerializer})
    def reproduce(self, request: Request, pk: int) -> Response:
        """An equal run: same spec, seed and data."""
        again = services.reproduce(actor=self.actor, training_job=self._one(pk))
        return Response(self.get_serializer(again).data, status=201)

    def _one(self, pk: int) -> TrainingJob:
        permission = self.read_permission if self.request.method in {"GET", "HEAD"} else self.write_permission
        return fetch(self.actor, TrainingJob.objects.select_related("job"), permission, pk=pk)


def version_of(view: WorkspaceViewSet, pk: int) -> DatasetVersion:
    """The dataset version of that id in the caller's workspace, refused as a field of the body."""
    rows = DatasetVersion.objects.select_related("dataset")
    try:
        return fetch(view.actor, rows, view.write_permission, within="dataset__workspace", pk=pk)
    except Http404 as error:
        raise Refused(
            "unknown_dataset_version",
            say("There is no such dataset version in this workspace."),
            field="dataset_version",
        ) from error


class PreflightViewSet(WorkspaceViewSet):
    """Checks before a start."""

    queryset = Preflight.objects.select_related("job")
    serializer_class = PreflightSerializer
    read_permission = "training.read"
    write_permission = "training.write"

    @extend_schema(
        summary="Check and estimate before a start", request=AskPreflightSerializer, responses=PreflightSerializer
    )
    def create(self, request: Request) -> Response:
        """Problems with their rows, lengths, size, memory and time: the check made before, or one that is queued now."""
        asked = AskPreflightSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = asked.validated_data
        preflight = services.ask_preflight(
            actor=self.actor,
            recipe=values["recipe"],
            spec=values["spec"],
            version=version_of(self, values["dataset_version"]),
        )
        return Response(self.get_serializer(preflight).data)

    @extend_schema(summary="One check before a start")
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag: poll with If-None-Match until `result` is filled or `state` is failed."""
        rows = Preflight.objects.select_related("job")
        return self.etag_response(fetch(self.actor, rows, self.read_permission, pk=pk))


def _values(request: Request) -> dict[str, Any]:
    """The body, with every problem of the outer fields and of the spec at once."""
    serializer = StartTrainingSerializer(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class RecipesView(WorkspaceView):
    """The recipes and their options."""

    read_permission = write_permission = "training.read"

    @extend_schema(summary="Recipes and their options", responses=RecipeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Names, defaults, bounds and meanings, as the form shows them."""
        found = [
            {
                "name": name,
                "data_kinds": recipe.data_kinds,
                "task": recipe.task,
                "options": [
                    {**dataclasses.asdict(info), "default": _plain(info.default)} for info in specs.spec_fields(name)
                ],
            }
            for name, recipe in specs.RECIPES.items()
        ]
        return Response(found)


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value

"""REST endpoints of jobs: list, detail, log, moves, attempts, and what can be done with a job."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from apps.dashboard import selectors, services
from apps.dashboard.filters import JobFilter
from apps.dashboard.serializers import (
    JobAttemptSerializer,
    JobLogSerializer,
    JobSerializer,
    JobTransitionSerializer,
    PlaceSerializer,
    PrioritySerializer,
)
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.jobs.models import Job
from core.jobs.places import place_of

TAG = ["jobs"]
RUNNING = OpenApiExample(
    "A training that runs",
    value={
        "id": 41,
        "kind": "training.run",
        "title": "Fine-tune MiniLM on mails v3",
        "queue": "train",
        "state": "running",
        "phase": "epoch 3 of 5",
        "done_count": 1840,
        "total_count": 3100,
        "unit": "steps",
        "share": 0.59,
        "rate_per_second": 4.2,
    },
    response_only=True,
)


class Jobs(mixins.ListModelMixin, WorkspaceViewSet):
    """Long work of the workspace."""

    read_permission = "jobs.read"
    write_permission = "jobs.manage"
    queryset = Job.objects.select_related("requested_by")
    serializer_class = JobSerializer
    filterset_class = JobFilter

    def _job(self, pk: int, permission: str) -> Job:
        return fetch(self.actor, Job.objects.select_related("requested_by"), permission, pk=pk)

    @extend_schema(summary="List jobs", tags=TAG, examples=[RUNNING])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first; filter by state, queue, kind or words of the title (q)."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a job", tags=TAG, examples=[RUNNING])
    def retrieve(self, request: Request, pk: int) -> Response:
        """Where a job stands, with an ETag: poll with If-None-Match."""
        return self.etag_response(self._job(pk, "jobs.read"))

    @extend_schema(
        summary="Read a job's log",
        tags=TAG,
        responses=JobLogSerializer(many=True),
        filters=False,
        parameters=[OpenApiParameter("q", str, description="Only lines that contain these words.")],
    )
    def logs(self, request: Request, pk: int) -> Response:
        """Log lines, newest first."""
        words = request.query_params.get("q", "").replace("\0", "")
        return self._rows(selectors.log_of(self._job(pk, "jobs.read"), words=words), JobLogSerializer)

    @extend_schema(summary="Read a job's moves", tags=TAG, responses=JobTransitionSerializer(many=True), filters=False)
    def transitions(self, request: Request, pk: int) -> Response:
        """Every change of state, newest first: when, by whom and why."""
        return self._rows(selectors.transitions_of(self._job(pk, "jobs.read")), JobTransitionSerializer)

    @extend_schema(summary="Read a job's attempts", tags=TAG, responses=JobAttemptSerializer(many=True), filters=False)
    def attempts(self, request: Request, pk: int) -> Response:
        """Every worker's try, newest first."""
        return self._rows(selectors.attempts_of(self._job(pk, "jobs.read")), JobAttemptSerializer)

    @extend_schema(summary="Read a job's place in its queue", tags=TAG, responses=PlaceSerializer, filters=False)
    def place(self, request: Request, pk: int) -> Response:
        """How many go before it, what the workspace runs at once, and when it may begin; null unless it waits."""
        return Response(PlaceSerializer({"place": place_of(self._job(pk, "jobs.read"))}).data)

    @extend_schema(summary="Cancel a job", tags=TAG, request=None, responses=JobSerializer)
    def cancel(self, request: Request, pk: int) -> Response:
        """Cancel at once when nothing runs, else ask the worker; a second time is harmless."""
        return self._do(pk, services.cancel)

    @extend_schema(summary="Pause a job", tags=TAG, request=None, responses=JobSerializer)
    def pause(self, request: Request, pk: int) -> Response:
        """Pause now, or ask the worker to save a checkpoint and let go."""
        return self._do(pk, services.pause)

    @extend_schema(summary="Resume a paused job", tags=TAG, request=None, responses=JobSerializer)
    def resume(self, request: Request, pk: int) -> Response:
        """Back to the queue; it goes on from its last checkpoint."""
        return self._do(pk, services.resume)

    @extend_schema(summary="Retry a job", tags=TAG, request=None, responses=JobSerializer)
    def retry(self, request: Request, pk: int) -> Response:
        """Send a failed or cancelled job again with fresh attempts."""
        return self._do(pk, services.retry)

    @extend_schema(
        summary="Change a job's priority",
        tags=TAG,
        request=PrioritySerializer,
        responses=JobSerializer,
        examples=[OpenApiExample("Before others", value={"priority": 10}, request_only=True)],
    )
    def priority(self, request: Request, pk: int) -> Response:
        """Give a queued job another place in the queue."""
        job = self._job(pk, "jobs.manage")
        data = PrioritySerializer(data=request.data)
        data.is_valid(raise_exception=True)
        done = services.prioritise(actor=self.actor, job=job, priority=data.validated_data["priority"])
        return Response(JobSerializer(done).data)

    def _do(self, pk: int, service: Callable[..., Job]) -> Response:
        return Response(JobSerializer(service(actor=self.actor, job=self._job(pk, "jobs.manage"))).data)

    def _rows(self, rows: QuerySet[Any], shape: type[BaseSerializer[Any]]) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shape(page, many=True).data)

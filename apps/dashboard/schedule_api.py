"""REST endpoints of schedules."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.dashboard import scheduling
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from core.schedules.cron import LONGEST, described
from core.schedules.models import Schedule
from words import say

TAG = ["schedules"]
READ, WRITE = "schedules.read", "schedules.write"


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    """What runs when, and how its last run went."""

    name = serializers.CharField(max_length=120)
    action = serializers.CharField(max_length=60, help_text="What runs, such as sentiment.digest.")
    arguments = serializers.DictField(help_text="As the action takes them.")
    expression = serializers.CharField(max_length=LONGEST, help_text="Minute, hour, day of month, month, day of week.")
    description = serializers.SerializerMethodField(help_text="The expression in words.")

    class Meta:
        model = Schedule
        fields = (
            "id", "name", "action", "arguments", "expression", "description", "time_zone", "is_enabled", "next_run_at",
            "last_run_at", "last_seconds", "last_result", "last_error", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = (
            "id", "next_run_at", "last_run_at", "last_seconds", "last_result", "last_error", "created_at", "updated_at",
        )  # fmt: skip

    def get_description(self, schedule: Schedule) -> str:
        """In the reader's language."""
        return described(schedule.expression)


class ScheduleViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Schedules of the workspace."""

    queryset = Schedule.objects.order_by("id")
    serializer_class = ScheduleSerializer
    read_permission, write_permission = READ, WRITE

    @extend_schema(summary="List schedules", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The oldest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a schedule", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(fetch(self.actor, Schedule, READ, pk=pk))

    @extend_schema(
        summary="Create a schedule",
        tags=TAG,
        responses={201: ScheduleSerializer},
        examples=[
            OpenApiExample(
                "A digest every morning",
                {
                    "name": "Morning digest",
                    "action": "sentiment.digest",
                    "arguments": {"monitor": 1, "period": "day", "receivers": [1]},
                    "expression": "0 8 * * 1-5",
                    "time_zone": "Asia/Shanghai",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """It runs from now on; you need the permission of its action as well."""
        values = self._values(request)
        made = scheduling.create(actor=self.actor, action_name=values.pop("action"), **values)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        summary="Change a schedule",
        tags=TAG,
        examples=[OpenApiExample("Pause it", {"is_enabled": False}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; the action stays."""
        schedule = fetch(self.actor, Schedule, WRITE, pk=pk)
        self.check_if_match(schedule)
        values = self._values(request, partial=True)
        if values.pop("action", schedule.action) != schedule.action:
            raise Refused("action_stays", say("A schedule keeps its action."), field="action")
        return self.etag_response(scheduling.change(actor=self.actor, schedule=schedule, **values))

    @extend_schema(summary="Delete a schedule", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """It runs no more."""
        scheduling.delete(actor=self.actor, schedule=fetch(self.actor, Schedule, WRITE, pk=pk))
        return Response(status=204)

    @extend_schema(
        operation_id="schedules_run", summary="Run a schedule now", tags=TAG, request=None, responses={202: None}
    )
    def run(self, request: Request, pk: int) -> Response:
        """As soon as a worker is free."""
        scheduling.run_now(actor=self.actor, schedule=fetch(self.actor, Schedule, WRITE, pk=pk))
        return Response(status=202)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

"""REST endpoints of rules, silences, alerts and replays."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.models import User
from apps.sentiment import selectors_alerts, services
from apps.sentiment import serializers_rules as shapes
from apps.sentiment.filters import AlertFilter
from apps.sentiment.models import Alert, Monitor, Replay, Rule, RuleKind, Silence, Usefulness
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"
SURGE = OpenApiExample(
    "A surge of negative articles of any company",
    {
        "name": "Negative surge", "kind": "surge", "measure": "negative_count", "seconds": 3600, "dimension": "entity",
        "options": {"alpha": 0.0001, "false_discovery_rate": 0.05}, "hold_minutes": 0, "keep_minutes": 120,
    },
    request_only=True,
)  # fmt: skip


class RuleViewSet(WorkspaceViewSet):
    """Rules of monitors."""

    within = "monitor__workspace"
    queryset = Rule.objects.select_related("monitor").prefetch_related(*shapes.RELATIONS).order_by("id")
    serializer_class = shapes.RuleSerializer
    read_permission = READ
    write_permission = WRITE

    def get_serializer_context(self) -> dict[str, Any]:
        """With the workspace whose receivers may be named."""
        context = dict(super().get_serializer_context())
        if not getattr(self, "swagger_fake_view", False):
            context["workspace"] = self.actor.workspace
        return context

    @extend_schema(operation_id="monitors_rules_list", summary="List rules of a monitor", tags=TAG)
    def list(self, request: Request, monitor: int) -> Response:
        """The oldest first."""
        rows = self.get_queryset().filter(monitor=fetch(self.actor, Monitor, READ, pk=monitor))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="monitors_rules_create",
        summary="Create a rule",
        tags=TAG,
        responses={201: shapes.RuleSerializer},
        examples=[SURGE],
    )
    def create(self, request: Request, monitor: int) -> Response:
        """It judges what comes from now on; a back-test shows what it would have said before."""
        found = fetch(self.actor, Monitor, WRITE, pk=monitor)
        columns, relations = self._parts(request)
        made = services.create_rule(actor=self.actor, monitor=found, relations=relations, **columns)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Get a rule", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With what it said last, and an ETag."""
        return self.etag_response(fetch(self.actor, self.get_queryset(), READ, pk=pk, within=self.within))

    @extend_schema(summary="Change a rule", tags=TAG, examples=[OpenApiExample("Off", {"is_enabled": False})])
    def partial_update(self, request: Request, pk: int) -> Response:
        """A rule that decides otherwise begins anew; its open alerts are over."""
        rule = fetch(self.actor, self.get_queryset(), WRITE, pk=pk, within=self.within)
        self.check_if_match(rule)
        columns, relations = self._parts(request, partial=True)
        changed = services.change_rule(actor=self.actor, rule=rule, relations=relations, **columns)
        return self.etag_response(self.get_queryset().get(pk=changed.pk))

    @extend_schema(summary="Delete a rule", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Its alerts stay."""
        rule = fetch(self.actor, self.get_queryset(), WRITE, pk=pk, within=self.within)
        self.check_if_match(rule)
        services.delete_rule(actor=self.actor, rule=rule)
        return Response(status=204)

    @extend_schema(
        operation_id="monitors_rules_back_test",
        summary="Try a rule on the past",
        tags=TAG,
        request=shapes.BackTestSerializer,
        responses={202: shapes.ReplaySerializer},
    )
    def back_test(self, request: Request, monitor: int) -> Response:
        """How often a rule would have fired; it is not saved. Ask the replay until its job has ended."""
        found = fetch(self.actor, Monitor, WRITE, pk=monitor)
        asked = shapes.BackTestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.back_test(actor=self.actor, monitor=found, **dict(asked.validated_data))
        return Response(shapes.ReplaySerializer(made).data, status=202)

    def _parts(self, request: Request, *, partial: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        serializer: Any = self.get_serializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        parts: tuple[dict[str, Any], dict[str, Any]] = serializer.parts()
        return parts


class SilenceViewSet(WorkspaceViewSet):
    """Spans in which nobody is told."""

    within = "monitor__workspace"
    queryset = Silence.objects.order_by("id")
    serializer_class = shapes.SilenceSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_silences_list", summary="List silences of a monitor", tags=TAG)
    def list(self, request: Request, monitor: int) -> Response:
        """The oldest first."""
        rows = self.get_queryset().filter(monitor=fetch(self.actor, Monitor, READ, pk=monitor))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="monitors_silences_create",
        summary="Silence alerts",
        tags=TAG,
        responses={201: shapes.SilenceSerializer},
    )
    def create(self, request: Request, monitor: int) -> Response:
        """Alerts open and close all the same; nobody is told of those that match."""
        found = fetch(self.actor, Monitor, WRITE, pk=monitor)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        pk = values.pop("rule_id", None)
        rule = Rule.objects.filter(monitor=found, pk=pk).first() if pk else None
        if pk and rule is None:
            raise Refused("unknown_rule", say("This monitor has no such rule."), field="rule")
        made = services.add_silence(actor=self.actor, monitor=found, rule=rule, **values)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="End a silence", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Now; one that has not begun is taken away."""
        services.end_silence(actor=self.actor, silence=fetch(self.actor, Silence, WRITE, pk=pk, within=self.within))
        return Response(status=204)


ALERT_FILTERS = [
    OpenApiParameter("monitor", int),
    OpenApiParameter("state", str, enum=["open", "pending", "firing", "resolved"]),
    OpenApiParameter("severity", str, enum=["info", "warning", "critical"]),
    OpenApiParameter("kind", str, enum=RuleKind.values),
    OpenApiParameter("mine", str, enum=["me", "nobody"]),
    OpenApiParameter("usefulness", str, enum=[each for each in Usefulness.values if each]),
]


def of_asked_monitor(rows: QuerySet[Alert], request: Request) -> QuerySet[Alert]:
    """Those of the monitor that a request names, else all."""
    asked = request.query_params.get("monitor")
    if not asked:
        return rows
    return rows.filter(monitor_id=int(asked)) if selectors_alerts.is_id(asked) else rows.none()


class AlertViewSet(WorkspaceViewSet):
    """Alerts of monitors."""

    within = "monitor__workspace"
    queryset = Alert.objects.select_related("assigned_to", "acknowledged_by").order_by("-id")
    serializer_class = shapes.AlertRowSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(
        operation_id="alerts_list",
        summary="List alerts",
        tags=TAG,
        parameters=ALERT_FILTERS,
        responses=shapes.AlertRowSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """Of all monitors or one, the newest first."""
        rows = of_asked_monitor(self.get_queryset(), request).defer("explanation", "evidence")
        filters = AlertFilter(request.query_params, rows, user=self.actor.user)
        if not filters.is_valid():
            raise serializers.ValidationError(filters.errors)
        page = self.paginate_queryset(filters.qs)
        return self.get_paginated_response(shapes.AlertRowSerializer(page, many=True).data)

    @extend_schema(operation_id="alerts_retrieve", summary="Get an alert", tags=TAG, responses=shapes.AlertSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With its explanation and the steps of its life."""
        return Response(shapes.AlertSerializer(self._alert(pk, READ)).data)

    @extend_schema(
        operation_id="alerts_acknowledge",
        summary="Acknowledge an alert",
        tags=TAG,
        request=None,
        responses=shapes.AlertSerializer,
    )
    def acknowledge(self, request: Request, pk: int) -> Response:
        """It is told no more until it is over; the first to do so stays named."""
        return self._after(services.acknowledge(actor=self.actor, alert=self._alert(pk)))

    @extend_schema(
        operation_id="alerts_close", summary="Close an alert", tags=TAG, request=None, responses=shapes.AlertSerializer
    )
    def close(self, request: Request, pk: int) -> Response:
        """While its rule goes on to hold without a break, no new alert of it is opened."""
        return self._after(services.close(actor=self.actor, alert=self._alert(pk)))

    @extend_schema(
        operation_id="alerts_assign", summary="Assign an alert", tags=TAG, request=shapes.AssignSerializer,
        responses=shapes.AlertSerializer,
    )  # fmt: skip
    def assign(self, request: Request, pk: int) -> Response:
        """One person of the workspace answers for it, or nobody."""
        found = self._alert(pk)
        asked = shapes.AssignSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        mail = asked.validated_data["user"]
        user = (
            User.objects.filter(email__iexact=mail, memberships__workspace=self.actor.workspace).first()
            if mail
            else None
        )
        if mail and user is None:
            raise Refused("unknown_person", say("Nobody of this name is in the workspace."), field="user")
        return self._after(services.assign(actor=self.actor, alert=found, user=user))

    @extend_schema(
        operation_id="alerts_note", summary="Add a note to an alert", tags=TAG, request=shapes.NoteSerializer,
        responses=shapes.AlertSerializer,
    )  # fmt: skip
    def note(self, request: Request, pk: int) -> Response:
        """It stands among the steps of its life."""
        found = self._alert(pk)
        asked = shapes.NoteSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.note(actor=self.actor, alert=found, text=asked.validated_data["text"])
        return self._after(found)

    @extend_schema(
        operation_id="alerts_judge", summary="Say whether an alert was of use", tags=TAG, request=shapes.JudgeSerializer,
        responses=shapes.AlertSerializer,
    )  # fmt: skip
    def judge(self, request: Request, pk: int) -> Response:
        """The last word counts; precision of rules and detectors is made of these."""
        found = self._alert(pk)
        asked = shapes.JudgeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        usefulness = asked.validated_data["usefulness"]
        return self._after(services.judge(actor=self.actor, alert=found, usefulness=usefulness))

    def _alert(self, pk: int, permission: str = WRITE) -> Alert:
        rows = Alert.objects.select_related("monitor", "rule", "assigned_to", "acknowledged_by")
        return fetch(self.actor, rows, permission, pk=pk, within=self.within)

    def _after(self, alert: Alert) -> Response:
        return Response(shapes.AlertSerializer(alert).data)


class ReplayViewSet(WorkspaceViewSet):
    """Rules over past spans."""

    within = "monitor__workspace"
    queryset = Replay.objects.select_related("job").order_by("-id")
    serializer_class = shapes.ReplaySerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_replays_list", summary="List replays of a monitor", tags=TAG)
    def list(self, request: Request, monitor: int) -> Response:
        """Back-tests too, the newest first."""
        rows = selectors_alerts.replays_of(fetch(self.actor, Monitor, READ, pk=monitor))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shapes.ReplaySerializer(page, many=True).data)

    @extend_schema(
        operation_id="monitors_replays_create",
        summary="Replay all rules of a monitor",
        tags=TAG,
        request=shapes.SpanSerializer,
        responses={202: shapes.ReplaySerializer},
    )
    def create(self, request: Request, monitor: int) -> Response:
        """Nobody is told. The same rules over the same counts give the same digest."""
        found = fetch(self.actor, Monitor, WRITE, pk=monitor)
        asked = shapes.SpanSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.replay(actor=self.actor, monitor=found, **asked.validated_data)
        return Response(shapes.ReplaySerializer(made).data, status=202)

    @extend_schema(operation_id="replays_retrieve", summary="Get a replay", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """`result` is null until its job has ended."""
        rows = self.get_queryset()
        return Response(shapes.ReplaySerializer(fetch(self.actor, rows, READ, pk=pk, within=self.within)).data)

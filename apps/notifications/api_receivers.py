"""REST endpoints of receivers and deliveries."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.notifications import selectors, services
from apps.notifications import serializers as shapes
from apps.notifications.filters import DeliveryFilter
from apps.notifications.models import Delivery, Receiver
from apps.notifications.models.deliveries import DeliveryState, Severity
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

TAG = ["receivers"]
READ, WRITE = "receivers.read", "receivers.write"
WEBHOOK = OpenApiExample(
    "A webhook",
    {"kind": "webhook", "name": "Incident desk", "url": "https://hooks.example.com/lingxi"},
    request_only=True,
)
MAIL = OpenApiExample(
    "Mail in Chinese",
    {"kind": "mail", "name": "Press office", "language": "zh-hans", "addresses": ["press@example.com"]},
    request_only=True,
)


class ReceiverViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Where messages of the workspace go."""

    queryset = Receiver.objects.prefetch_related("people").order_by("id")
    serializer_class = shapes.ReceiverSerializer
    read_permission, write_permission = READ, WRITE
    shown_once = ("secret",)

    @extend_schema(summary="List receivers", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The oldest first, without their addresses and secrets."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a receiver", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(self._one(pk, READ))

    @extend_schema(
        summary="Create a receiver", tags=TAG, responses={201: shapes.ReceiverMadeSerializer}, examples=[WEBHOOK, MAIL]
    )
    def create(self, request: Request) -> Response:
        """The secret that signs a webhook is in this answer only; null when the request is repeated."""
        receiver, secret = services.create_receiver(actor=self.actor, **self._values(request))
        return Response({**self.get_serializer(receiver).data, "secret": secret}, status=201)

    @extend_schema(
        summary="Change a receiver",
        tags=TAG,
        examples=[OpenApiExample("Switch it off", {"is_enabled": False}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; the kind stays."""
        receiver = self._one(pk, WRITE)
        self.check_if_match(receiver)
        values = self._values(request, partial=True)
        if values.pop("kind", receiver.kind) != receiver.kind:
            raise Refused("kind_stays", say("A receiver keeps its kind."), field="kind")
        services.change_receiver(actor=self.actor, receiver=receiver, **values)
        return self.etag_response(self._one(pk, WRITE))

    @extend_schema(summary="Delete a receiver", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its messages."""
        services.delete_receiver(actor=self.actor, receiver=self._one(pk, WRITE))
        return Response(status=204)

    @extend_schema(
        operation_id="receivers_test",
        summary="Send a test",
        tags=TAG,
        request=None,
        responses={202: shapes.DeliverySerializer(many=True)},
    )
    def test(self, request: Request, pk: int) -> Response:
        """By the way all messages go; its deliveries say later how it went."""
        dispatch = services.send_test(actor=self.actor, receiver=self._one(pk, WRITE))
        rows = Delivery.objects.filter(dispatch=dispatch).select_related("dispatch").order_by("id")
        return Response(shapes.DeliverySerializer(rows, many=True).data, status=202)

    @extend_schema(
        operation_id="receivers_rotate",
        summary="Give a webhook another secret",
        tags=TAG,
        request=None,
        responses=shapes.SecretSerializer,
    )
    def rotate(self, request: Request, pk: int) -> Response:
        """Shown this once; for a day the old one signs beside it."""
        secret = services.rotate_secret(actor=self.actor, receiver=self._one(pk, WRITE))
        return Response({"secret": secret}, headers={"Cache-Control": "no-store"})

    @extend_schema(
        operation_id="receivers_deliveries",
        summary="List deliveries to a receiver",
        tags=TAG,
        parameters=[
            OpenApiParameter("state", str, enum=DeliveryState.values),
            OpenApiParameter("kind", str, description="Kind of message, such as alert.fired."),
            OpenApiParameter("severity", str, enum=Severity.values),
            OpenApiParameter("since", str, description="Day, YYYY-MM-DD."),
            OpenApiParameter("until", str),
        ],
        responses=shapes.DeliverySerializer(many=True),
    )
    def deliveries(self, request: Request, pk: int) -> Response:
        """Newest first."""
        filters = DeliveryFilter(request.query_params, selectors.deliveries_of(self._one(pk, READ)))
        if not filters.is_valid():
            raise serializers.ValidationError(filters.errors)
        page = self.paginate_queryset(filters.qs)
        return self.get_paginated_response(shapes.DeliverySerializer(page, many=True).data)

    def _one(self, pk: int, permission: str) -> Receiver:
        rows = Receiver.objects.select_related("workspace").prefetch_related("people")
        return fetch(self.actor, rows, permission, pk=pk)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = shapes.ReceiverSerializer(
            data=request.data,
            partial=partial,
            context={**self.get_serializer_context(), "workspace": self.actor.workspace},
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class DeliveryViewSet(WorkspaceViewSet):
    """What became of messages."""

    within = "dispatch__receiver__workspace"
    queryset = Delivery.objects.select_related("dispatch__receiver")
    serializer_class = shapes.DeliverySerializer
    read_permission, write_permission = READ, WRITE

    @extend_schema(summary="Get a delivery", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With its state, attempts and the last answer."""
        return self.etag_response(fetch(self.actor, self.queryset, READ, pk=pk, within=self.within))

    @extend_schema(
        operation_id="deliveries_resend", summary="Send a delivery again", tags=TAG, request=None,
        responses={202: shapes.DeliverySerializer},
    )  # fmt: skip
    def resend(self, request: Request, pk: int) -> Response:
        """Under the same id; one that still waits is a 409."""
        delivery = fetch(self.actor, self.queryset, WRITE, pk=pk, within=self.within)
        return Response(self.get_serializer(services.resend(actor=self.actor, delivery=delivery)).data, status=202)

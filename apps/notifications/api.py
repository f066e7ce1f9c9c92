"""REST endpoints of notices: the caller's own, in this workspace."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.notifications import selectors, services
from apps.notifications.models import Notice
from apps.notifications.serializers import MarkedSerializer, NoticeSerializer, UnreadSerializer
from core.api.views import WorkspaceView, WorkspaceViewSet

EXAMPLE = OpenApiExample(
    "A failed job",
    value={
        "id": 12,
        "kind": "job.failed",
        "title": "Failed: Import questions.csv",
        "body": "The file is not valid UTF-8.",
        "page": "datasets/3/imports/7",
        "created_at": "2026-03-01T09:30:00Z",
        "read_at": None,
    },
    response_only=True,
)


class NoticeViewSet(WorkspaceViewSet):
    """The caller's notices."""

    queryset = Notice.objects.all()
    serializer_class = NoticeSerializer
    read_permission = write_permission = "notifications.read"

    def get_queryset(self) -> QuerySet[Any]:
        """Own notices only; with ?unread=true those not read yet."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        rows = rows.filter(user=self.actor.user)
        return rows.filter(read_at=None) if self.request.query_params.get("unread") == "true" else rows

    @extend_schema(
        summary="List my notices",
        parameters=[OpenApiParameter("unread", bool, description="Only those not read yet.")],
        examples=[EXAMPLE],
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Mark a notice as read", request=None, responses=NoticeSerializer)
    def read(self, request: Request, pk: int) -> Response:
        """A second time changes nothing."""
        notice = services.mark_read(actor=self.actor, notice=self.get_object())
        return Response(self.get_serializer(notice).data)


class UnreadView(WorkspaceView):
    """How many are unread, and reading all of them."""

    read_permission = write_permission = "notifications.read"

    @extend_schema(summary="Count my unread notices", responses=UnreadSerializer)
    def get(self, request: Request) -> Response:
        """Bounded, so that it may be asked often."""
        return Response({"unread": selectors.unread_count(self.actor)})

    @extend_schema(summary="Mark all my notices as read", request=None, responses=MarkedSerializer)
    def post(self, request: Request) -> Response:
        """Everything of the caller in this workspace."""
        return Response({"marked": services.mark_all_read(actor=self.actor)})

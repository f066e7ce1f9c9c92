"""REST endpoints of people, workspace, members, invitations, keys and the audit trail."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import exports, selectors, services
from apps.accounts.filters import AuditFilter
from apps.accounts.models import ApiKey, AuditEntry, Invitation, Membership, Workspace
from apps.accounts.serializers import (
    ApiKeyMadeSerializer,
    ApiKeySerializer,
    AuditEntrySerializer,
    InvitationMadeSerializer,
    InvitationSerializer,
    KeyLimitsSerializer,
    MemberSerializer,
    MeSerializer,
    NewApiKeySerializer,
    NewInvitationSerializer,
    PersonProfileSerializer,
    WorkspaceSerializer,
)
from core.access import Actor
from core.api.views import WorkspaceView, WorkspaceViewSet, etag_of
from core.errors import Refused
from core.streaming import streamed
from words import say


class AnyActor(BasePermission):
    """Whoever has a key or a session, whatever its scopes."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether somebody calls at all."""
        return isinstance(request.auth, Actor)


class MeView(WorkspaceView):
    """The caller."""

    permission_classes = (AnyActor,)
    read_permission = write_permission = "workspace.read"

    @extend_schema(
        summary="Who am I",
        responses=MeSerializer,
        examples=[
            OpenApiExample(
                "A key that imports",
                value={
                    "id": 3,
                    "email": "ana@example.org",
                    "profile": {
                        "name": "Ana",
                        "language": "en",
                        "time_zone": "Asia/Shanghai",
                        "theme": "",
                        "mail_notices": True,
                    },
                    "workspace": {"id": 1, "slug": "support", "name": "Support"},
                    "role": "analyst",
                    "permissions": ["datasets.read", "datasets.write"],
                    "api_key": "nightly import",
                    "memberships": [{"workspace": {"id": 1, "slug": "support", "name": "Support"}, "role": "analyst"}],
                },
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """User, workspace, role and permissions; needs no scope."""
        return Response(MeSerializer(self.actor).data)

    @extend_schema(summary="Change my profile", request=PersonProfileSerializer, responses=MeSerializer)
    def patch(self, request: Request) -> Response:
        """For sessions only: a key speaks for a program, not for the person."""
        if self.actor.key is not None:
            raise Refused("session_needed", say("Log in to change your profile; an API key cannot."), status=403)
        given = PersonProfileSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        services.update_profile(user=self.actor.user, **given.validated_data)
        return Response(MeSerializer(self.actor).data)


class WorkspaceDetailView(WorkspaceView):
    """The workspace of the key or session."""

    read_permission = "workspace.read"
    write_permission = "workspace.manage"

    @extend_schema(summary="Show the workspace", responses=WorkspaceSerializer)
    def get(self, request: Request) -> Response:
        """Name, rules and retention periods."""
        data = WorkspaceSerializer(self.actor.workspace).data
        return Response(data, headers={"ETag": etag_of(data)})

    @extend_schema(summary="Change the workspace", request=WorkspaceSerializer, responses=WorkspaceSerializer)
    def patch(self, request: Request) -> Response:
        """Only what is given changes."""
        workspace = Workspace.objects.get(pk=self.actor.workspace.pk)
        given = WorkspaceSerializer(workspace, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        changed = services.update_workspace(actor=self.actor, **given.validated_data)
        return Response(WorkspaceSerializer(changed).data)


class MemberViewSet(WorkspaceViewSet):
    """Members and their roles."""

    queryset = Membership.objects.select_related("user")
    serializer_class = MemberSerializer
    read_permission = "members.read"
    write_permission = "members.manage"

    @extend_schema(summary="List members")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Show a member")
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(self.get_object())

    @extend_schema(summary="Change a member's role")
    def partial_update(self, request: Request, pk: int) -> Response:
        """The last owner keeps the role."""
        member = self.get_object()
        self.check_if_match(member)
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.change_role(actor=self.actor, member=member, role=given.validated_data["role"])
        return Response(self.get_serializer(changed).data)

    @extend_schema(summary="Remove a member")
    def destroy(self, request: Request, pk: int) -> Response:
        """Their keys for this workspace stop working."""
        services.remove_member(actor=self.actor, member=self.get_object())
        return Response(status=204)


class InvitationViewSet(WorkspaceViewSet):
    """Invitations by link."""

    queryset = Invitation.objects.all()
    serializer_class = InvitationSerializer
    shown_once = ("link",)
    read_permission = write_permission = "members.manage"

    @extend_schema(summary="List invitations")
    def list(self, request: Request) -> Response:
        """Newest first, whatever their state."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Invite by link",
        request=NewInvitationSerializer,
        responses={201: InvitationMadeSerializer},
        examples=[
            OpenApiExample(
                "For one person", value={"email": "li@example.org", "role": "analyst", "days": 7}, request_only=True
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """The link is in this answer only, null when the request is repeated."""
        given = NewInvitationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        invitation, token = services.invite(actor=self.actor, **given.validated_data)
        link = request.build_absolute_uri(reverse("invitation", kwargs={"token": token}))
        return Response({**InvitationSerializer(invitation).data, "link": link}, status=201)

    @extend_schema(summary="Revoke an invitation")
    def destroy(self, request: Request, pk: int) -> Response:
        """The link stops working."""
        services.revoke_invitation(actor=self.actor, invitation=self.get_object())
        return Response(status=204)


class ApiKeyViewSet(WorkspaceViewSet):
    """API keys of the workspace."""

    queryset = ApiKey.objects.select_related("user")
    serializer_class = ApiKeySerializer
    shown_once = ("secret",)
    read_permission = write_permission = "keys.manage"

    @extend_schema(summary="List API keys")
    def list(self, request: Request) -> Response:
        """Newest first, revoked and expired ones too."""
        page = self.paginate_queryset(self.get_queryset())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(summary="Show an API key")
    def retrieve(self, request: Request, pk: int) -> Response:
        """Without its secret."""
        return self.etag_response(self.get_object())

    @extend_schema(
        summary="Create an API key",
        request=NewApiKeySerializer,
        responses={201: ApiKeyMadeSerializer},
        examples=[
            OpenApiExample(
                "For imports",
                value={"name": "nightly import", "scopes": ["datasets.read", "datasets.write"]},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """The secret is in this answer only, null when the request is repeated; scopes beyond your own are refused."""
        given = NewApiKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        key, secret = services.create_api_key(actor=self.actor, **given.validated_data)
        return Response({**ApiKeySerializer(key).data, "secret": secret}, status=201)

    @extend_schema(
        summary="Limit an API key",
        request=KeyLimitsSerializer,
        responses=ApiKeySerializer,
        examples=[
            OpenApiExample(
                "Half a million tokens an hour",
                value={"tokens_per_minute": 8000, "concurrent_requests": 4},
                request_only=True,
            )
        ],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; it holds from the key's next request on."""
        key = self.get_object()
        self.check_if_match(key)
        given = KeyLimitsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        changed = services.limit_api_key(actor=self.actor, key=key, **given.validated_data)
        return Response(self.get_serializer(changed).data)

    @extend_schema(summary="Revoke an API key")
    def destroy(self, request: Request, pk: int) -> Response:
        """It stops working at once; the row stays for the record."""
        services.revoke_api_key(actor=self.actor, key=self.get_object())
        return Response(status=204)


class AuditViewSet(WorkspaceViewSet):
    """The audit trail."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    read_permission = write_permission = "audit.read"

    def get_queryset(self) -> QuerySet[Any]:
        """Entries carry a plain workspace id, so that they outlive the workspace."""
        if getattr(self, "swagger_fake_view", False):
            return AuditEntry.objects.none()
        return selectors.audit_entries(self.actor.workspace)

    @extend_schema(summary="List audit entries")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class AuditExportView(AuditViewSet):
    """The audit trail as a file."""

    pagination_class = None

    @extend_schema(
        summary="Export audit entries",
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/x-ndjson"): OpenApiTypes.STR},
        filters=True,
    )
    def export(self, request: Request, kind: str) -> Any:
        """`kind` is csv or jsonl; the filters of the list apply. CSV makes spreadsheet formulas harmless."""
        if kind not in exports.CONTENT_TYPES:
            raise Http404
        rows = self.filter_queryset(self.get_queryset())
        return streamed(
            exports.write(rows, kind),
            filename=f"audit.{kind}",
            content_type=exports.CONTENT_TYPES[kind],
        )

"""REST endpoints of what belongs to persons, not to a workspace: own sessions, workspaces to be made, and people for operators.

A key speaks for a program in one workspace, so these take a log-in.
"""

from typing import Any

from allauth.usersessions.models import UserSession
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import selectors, services
from apps.accounts.api import AnyActor
from apps.accounts.models import User, Workspace
from apps.accounts.serializers import (
    ActiveSerializer,
    NewWorkspaceSerializer,
    PersonRowSerializer,
    SessionSerializer,
    WorkspaceSerializer,
)
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say


class PersonViewSet(WorkspaceViewSet):
    """A person who is logged in; refused to keys."""

    permission_classes = (AnyActor,)
    read_permission = write_permission = "workspace.read"
    filter_backends = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After everything else, so that nobody learns of an address without a key."""
        super().initial(request, *args, **kwargs)
        if self.actor.key is not None:
            raise Refused("session_needed", say("Log in to do this; an API key cannot."), status=403)


class SessionViewSet(PersonViewSet):
    """Browsers in which the caller is logged in."""

    queryset = UserSession.objects.none()
    serializer_class = SessionSerializer
    pagination_class = None

    @extend_schema(summary="List my sessions", responses=SessionSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Last seen first."""
        context = {"session_key": request._request.session.session_key}
        rows = selectors.sessions_of(self.actor.user)
        return Response(SessionSerializer(rows, many=True, context=context).data)

    @extend_schema(summary="End a session of mine")
    def destroy(self, request: Request, pk: int) -> Response:
        """That browser is logged out."""
        if not services.end_sessions(user=self.actor.user, pk=pk):
            raise Http404
        return Response(status=204)


class NewWorkspaceView(PersonViewSet):
    """Workspaces."""

    queryset = Workspace.objects.none()
    serializer_class = WorkspaceSerializer

    @extend_schema(
        summary="Open a workspace",
        request=NewWorkspaceSerializer,
        responses={201: WorkspaceSerializer},
        examples=[OpenApiExample("For a team", value={"name": "Claims"}, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Operators only; the caller owns it."""
        services.require_operator(self.actor.user)
        given = NewWorkspaceSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.open_workspace(by=self.actor.user, name=given.validated_data["name"])
        return Response(WorkspaceSerializer(made).data, status=201)


class PeopleViewSet(PersonViewSet):
    """Everybody of this installation; for operators, a 404 for others."""

    queryset = User.objects.none()
    serializer_class = PersonRowSerializer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Others do not learn that there is such a list."""
        super().initial(request, *args, **kwargs)
        if not self.actor.user.is_operator:
            raise Http404

    @extend_schema(summary="List people")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(selectors.people())
        return self.get_paginated_response(PersonRowSerializer(page, many=True).data)

    @extend_schema(
        summary="Deactivate or reactivate a person",
        request=ActiveSerializer,
        responses=PersonRowSerializer,
        examples=[OpenApiExample("Lock out", value={"is_active": False}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """A deactivated person is locked out everywhere: log-in, sessions and keys."""
        user = get_object_or_404(User, pk=pk)
        given = ActiveSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        change = services.reactivate_user if given.validated_data["is_active"] else services.deactivate_user
        change(by=self.actor.user, user=user)
        return Response(PersonRowSerializer(selectors.people().get(pk=pk)).data)

"""Base classes of the REST API: the actor's workspace, idempotent creates, ETags, rate-limit headers."""

import hashlib
import json
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import Actor, rows_of
from core.api import idempotency
from core.api.problems import PreconditionFailed
from core.api.throttle import give_back


class WorkspaceMixin(APIView):
    """A view below /api/v1; `read_permission` and `write_permission` are required."""

    read_permission: str
    write_permission: str
    action_permissions: ClassVar[dict[str, str]] = {}
    shown_once: ClassVar[tuple[str, ...]] = ()  # fields of an answer that are kept nowhere, not even for a repetition
    spends_tokens: ClassVar[bool] = False  # a POST asks a model version, which counts in tokens and at once
    _idempotent: idempotency.IdempotencyKey | None = None

    @property
    def actor(self) -> Actor:
        """Who calls."""
        actor = self.request.auth
        assert isinstance(actor, Actor)
        return actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, permit and throttle, then look for an earlier answer to this key."""
        super().initial(request, *args, **kwargs)
        row, earlier = idempotency.begin(request, self.actor)
        self._idempotent = row
        if earlier is not None:
            raise Replay(earlier)

    def handle_exception(self, exc: Exception) -> Response:
        """A replayed answer is not an error."""
        if isinstance(exc, Replay):
            return exc.response
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep the answer for the key, and say how many requests are left."""
        if self._idempotent is not None:
            idempotency.finish(self._idempotent, response, without=self.shown_once)
            self._idempotent = None
        actor = getattr(request, "_auth", None)  # without it nobody was let in
        if isinstance(actor, Actor) and not getattr(response, "streaming", False):
            give_back(actor)
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in getattr(request._request, "rate_limit", {}).items():
            response[name] = value
        return response


class Replay(Exception):
    """The answer that the same key got before."""

    def __init__(self, response: Response) -> None:
        super().__init__("replayed")
        self.response = response


class WorkspaceView(WorkspaceMixin):
    """A plain view of the API."""


class WorkspaceViewSet(WorkspaceMixin, viewsets.GenericViewSet[Any]):
    """A set of views over rows of the actor's workspace; `within` is the path to the workspace."""

    within = "workspace"

    def get_queryset(self) -> QuerySet[Any]:
        """Rows of the actor's workspace that the actor may see."""
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        return rows_of(self.actor, rows, self.within)

    def etag_response(self, instance: Model) -> Response:
        """A detail answer with its ETag; 304 when the client already has it."""
        data = self.get_serializer(instance).data
        tag = etag_of(data)
        if tag in _tags(self.request, "If-None-Match"):
            return Response(status=304, headers={"ETag": tag})
        return Response(data, headers={"ETag": tag})

    def check_if_match(self, instance: Model) -> None:
        """Raise 412 when If-Match names another state of `instance` (serialised by `retrieve`)."""
        wanted = _tags(self.request, "If-Match")
        if wanted and "*" not in wanted:
            action, self.action = self.action, "retrieve"
            try:
                tag = etag_of(self.get_serializer(instance).data)
            finally:
                self.action = action
            if tag not in wanted:
                raise PreconditionFailed


def etag_of(data: Any) -> str:
    """A strong ETag of serialised data."""
    text = json.dumps(data, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _tags(request: Request, header: str) -> set[str]:
    return {part.strip().removeprefix("W/") for part in request.headers.get(header, "").split(",") if part.strip()}

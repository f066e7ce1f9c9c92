"""REST endpoints of deployments."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import deployment_serializers as shapes
from apps.inference import services
from apps.inference.arms import arm_figures
from apps.inference.memory import loaded_versions
from apps.inference.models import Deployment, DeploymentEvent
from apps.inference.selectors import alias_of, deployments, named_policy
from apps.registry.selectors import resolve_version
from core.access import fetch
from core.api.views import WorkspaceView, WorkspaceViewSet

TAG = ["deployments"]
MOST_HOURS = 24 * 30


class DeploymentViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """What answers under the aliases of the workspace."""

    queryset = Deployment.objects.select_related("alias__family", "alias__version").order_by("-id")
    serializer_class = shapes.DeploymentSerializer
    read_permission = "inference.read"
    write_permission = "registry.write"

    @extend_schema(summary="List deployments", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a deployment", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Its versions, shares and rules."""
        return self.etag_response(self._one(pk, self.read_permission))

    @extend_schema(
        summary="Set up a deployment",
        tags=TAG,
        request=shapes.CreateDeploymentSerializer,
        responses={201: shapes.DeploymentSerializer},
        examples=[
            OpenApiExample(
                "One tenth for a candidate",
                {
                    "alias": "bot@champion",
                    "candidate": "bot:4",
                    "candidate_share": 0.1,
                    "gates": [{"figure": "error_share", "bound": 0.02, "window_minutes": 30, "min_count": 100}],
                    "reason": "shorter answers",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """One for each alias; 409 when it has one."""
        values = self._values(request, shapes.CreateDeploymentSerializer)
        alias = alias_of(self.actor.workspace, values.pop("alias"))
        made = services.create_deployment(actor=self.actor, alias=alias, **values)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        summary="Change a deployment",
        tags=TAG,
        request=shapes.ChangeDeploymentSerializer,
        responses=shapes.DeploymentSerializer,
        examples=[OpenApiExample("Half of the traffic", {"candidate_share": 0.5}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Candidate, share, shadow, stickiness, gates, retention, memory, guards; candidate null takes it away."""
        deployment = self._one(pk, self.write_permission)
        self.check_if_match(deployment)
        values = self._values(request, shapes.ChangeDeploymentSerializer)
        done = services.change_deployment(actor=self.actor, deployment=deployment, **values)
        return self.etag_response(done)

    @extend_schema(summary="Delete a deployment", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """The alias is answered by the version it names; its history goes, the audit trail stays."""
        services.delete_deployment(actor=self.actor, deployment=self._one(pk, self.write_permission))
        return Response(status=204)

    @extend_schema(
        summary="Promote the candidate",
        tags=TAG,
        request=shapes.DeploymentReasonSerializer,
        responses=shapes.DeploymentSerializer,
        examples=[OpenApiExample("Promote", {"reason": "better for a week"}, request_only=True)],
    )
    def promote(self, request: Request, pk: int) -> Response:
        """The alias names it from now on; 409 when its gate or an approval is missing."""
        return self._act(request, pk, services.promote)

    @extend_schema(
        summary="Roll a deployment back",
        tags=TAG,
        request=shapes.DeploymentReasonSerializer,
        responses=shapes.DeploymentSerializer,
        examples=[OpenApiExample("Roll back", {"reason": "wrong tone"}, request_only=True)],
    )
    def rollback(self, request: Request, pk: int) -> Response:
        """Takes the candidate's traffic away; without any the alias goes back to the version it named before."""
        return self._act(request, pk, services.roll_back)

    @extend_schema(
        summary="List events of a deployment", tags=TAG, responses=shapes.DeploymentEventSerializer(many=True)
    )
    def events(self, request: Request, pk: int) -> Response:
        """Who did what, when and why, newest first."""
        rows = DeploymentEvent.objects.filter(deployment=self._one(pk, self.read_permission)).order_by("-id")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(shapes.DeploymentEventSerializer(page, many=True).data)

    @extend_schema(
        summary="Get the figures of a deployment",
        tags=TAG,
        parameters=[
            OpenApiParameter("hours", int, description=f"So many hours back, 24 by default, {MOST_HOURS} at most.")
        ],
        responses=shapes.DeploymentArmSerializer(many=True),
    )
    def figures(self, request: Request, pk: int) -> Response:
        """Requests, errors and times of the stable version, the candidate and the shadow, beside each other."""
        given = request.query_params.get("hours", "24")
        hours = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 24
        since = timezone.now() - timedelta(hours=min(max(1, hours), MOST_HOURS))
        found = arm_figures(self._one(pk, self.read_permission), since)
        return Response(shapes.DeploymentArmSerializer(list(found.values()), many=True).data)

    def _act(self, request: Request, pk: int, verb: Any) -> Response:
        deployment = self._one(pk, self.write_permission)
        values = self._values(request, shapes.DeploymentReasonSerializer)
        return Response(self.get_serializer(verb(actor=self.actor, deployment=deployment, **values)).data)

    def _values(self, request: Request, kind: Any) -> dict[str, Any]:
        serializer = kind(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if values.get("candidate"):
            values["candidate"] = resolve_version(self.actor.workspace, values["candidate"])
        if values.get("guard_policy") is not None:
            values["guard_policy"] = named_policy(self.actor.workspace, values["guard_policy"])
        return values

    def _one(self, pk: int, permission: str) -> Deployment:
        return fetch(self.actor, deployments(self.actor.workspace), permission, pk=pk)


class LoadedVersions(WorkspaceView):
    """What is in memory."""

    read_permission = "inference.read"
    write_permission = "registry.write"

    @extend_schema(
        summary="List versions in memory",
        tags=TAG,
        operation_id="loaded_versions_list",
        responses=shapes.LoadedVersionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """Of this workspace, in every process that answers; also those that lately could not be loaded or were let go."""
        found = [each for places in loaded_versions(self.actor.workspace).values() for each in places]
        return Response(shapes.LoadedVersionSerializer(found, many=True).data)

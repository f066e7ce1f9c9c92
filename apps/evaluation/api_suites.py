"""REST endpoints of suites, gates, and of what gates decide: aliases and approvals."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import DatasetVersion
from apps.evaluation import selectors, services
from apps.evaluation import serializers_suites as shapes
from apps.evaluation.models import Gate, Suite
from apps.registry import services as registry
from apps.registry.models import Approval, ModelFamily, ModelVersion
from apps.registry.selectors import resolve_version
from apps.registry.serializers import AliasSerializer, ApprovalSerializer
from core.access import Actor, fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused
from words import say

TAG, MODELS = ["suites"], ["models"]
CHECK = {"dataset_version": 4, "split": "test", "figure": "macro_f1", "threshold": 0.9, "bound": "interval"}


def plans(actor: Actor, checks: list[dict[str, Any]]) -> list[services.CheckPlan]:
    """Checks as the services take them; Refused for data of another workspace."""
    wanted = {check["dataset_version_id"] for check in checks} - {None}
    rows = DatasetVersion.objects.select_related("dataset").filter(dataset__workspace=actor.workspace, pk__in=wanted)
    found = {row.pk: row for row in rows}
    if wanted - found.keys():
        raise Refused("unknown_dataset_version", say("There is no such dataset version."), field="dataset_version")
    return [
        services.CheckPlan(
            dataset_version=found.get(check["dataset_version_id"]),
            **{name: value for name, value in check.items() if name != "dataset_version_id"},
        )
        for check in checks
    ]


class Suites(mixins.ListModelMixin, WorkspaceViewSet):
    """Named lists of checks, frozen once used."""

    read_permission = "evaluation.read"
    write_permission = "evaluation.write"
    queryset = Suite.objects.prefetch_related("checks").order_by("-id")
    serializer_class = shapes.SuiteSerializer

    @extend_schema(summary="List suites", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Every revision, newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a suite", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With its checks."""
        return self.etag_response(self._suite("evaluation.read", pk))

    @extend_schema(
        summary="Create a suite",
        tags=TAG,
        responses={201: shapes.SuiteSerializer},
        examples=[
            OpenApiExample(
                "Release",
                value={"name": "Release", "task": "classification", "checks": [CHECK]},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """A draft; it is frozen and hashed when it is first run or required."""
        data = self.get_serializer(data=request.data)
        data.is_valid(raise_exception=True)
        values = dict(data.validated_data)
        checks = plans(self.actor, values.pop("checks", []))
        made = services.create_suite(actor=self.actor, checks=checks, **values)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Delete a suite", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Refused (409) while a model requires it."""
        services.delete_suite(actor=self.actor, suite=self._suite("evaluation.write", pk))
        return Response(status=204)

    @extend_schema(
        summary="Set the checks of a suite",
        tags=TAG,
        request=shapes.ChecksSerializer,
        responses=shapes.SuiteSerializer,
        examples=[OpenApiExample("One check", value={"checks": [CHECK]}, request_only=True)],
    )
    def checks(self, request: Request, pk: int) -> Response:
        """Of a draft; 409 for a suite that was used."""
        suite = self._suite("evaluation.write", pk)
        data = shapes.ChecksSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        made = services.set_checks(
            actor=self.actor, suite=suite, checks=plans(self.actor, data.validated_data["checks"])
        )
        return Response(self.get_serializer(made).data)

    @extend_schema(
        summary="Begin the next revision of a suite",
        tags=TAG,
        request=None,
        responses={201: shapes.SuiteSerializer},
    )
    def revise(self, request: Request, pk: int) -> Response:
        """A draft with the same checks under the same name."""
        made = services.revise_suite(actor=self.actor, suite=self._suite("evaluation.write", pk))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="List runs of a suite", tags=TAG, responses=shapes.SuiteRunSerializer(many=True))
    def runs(self, request: Request, pk: int) -> Response:
        """The versions it was run on, newest first."""
        rows = self.paginate_queryset(selectors.runs_of(self._suite("evaluation.read", pk)))
        return self.get_paginated_response(shapes.SuiteRunSerializer(rows, many=True).data)

    @extend_schema(
        summary="Run a suite",
        tags=TAG,
        request=shapes.SuiteRunWriteSerializer,
        responses={202: shapes.VerdictSerializer},
        examples=[OpenApiExample("Candidate", value={"model_version": "intents@candidate"}, request_only=True)],
    )
    def run(self, request: Request, pk: int) -> Response:
        """Start the evaluations that are missing; the suite is frozen from here on."""
        suite = self._suite("evaluation.write", pk)
        data = shapes.SuiteRunWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        version = resolve_version(self.actor.workspace, data.validated_data["model_version"])
        run = services.run_suite(actor=self.actor, suite=suite, model_version=version)
        found = selectors.verdict_of(run.suite, version)
        return Response(shapes.VerdictSerializer(found, context=_about(version)).data, status=202)

    def _suite(self, permission: str, pk: int) -> Suite:
        found: Suite = fetch(self.actor, self.get_queryset(), permission, pk=pk)
        return found


class VersionSuites(WorkspaceViewSet):
    """What a version passed."""

    read_permission = "evaluation.read"
    write_permission = "evaluation.write"
    queryset = ModelVersion.objects.select_related("family").defer("samples", "metrics", "files")

    @extend_schema(summary="List verdicts on a model version", tags=TAG, responses=shapes.VerdictSerializer(many=True))
    def list(self, request: Request, pk: int) -> Response:
        """Of every suite that was run on it or is required of it, the required one first."""
        version = fetch(self.actor, self.queryset, "evaluation.read", pk=pk)
        found = [verdict for _suite, verdict, _required in selectors.suites_for(version)]
        return Response(shapes.VerdictSerializer(found, many=True, context=_about(version)).data)


class Gates(WorkspaceViewSet):
    """The suite a model requires."""

    read_permission = "evaluation.read"
    write_permission = "registry.approve"
    queryset = Gate.objects.select_related("family", "suite")
    within = "family__workspace"
    serializer_class = shapes.GateSerializer

    @extend_schema(summary="Get the gate of a model", tags=MODELS)
    def retrieve(self, request: Request, pk: int) -> Response:
        """404 when the model requires no suite."""
        return self.etag_response(fetch(self.actor, self.queryset, "evaluation.read", within=self.within, family=pk))

    @extend_schema(
        summary="Set the gate of a model",
        tags=MODELS,
        examples=[OpenApiExample("Gate", value={"suite": 3, "aliases": ["champion"]}, request_only=True)],
    )
    def update(self, request: Request, pk: int) -> Response:
        """The aliases move from now on only to versions that passed the suite, or by a rollback."""
        family = fetch(self.actor, ModelFamily, "registry.approve", pk=pk)
        data = self.get_serializer(data=request.data)
        data.is_valid(raise_exception=True)
        suite = fetch(self.actor, Suite, "registry.approve", pk=data.validated_data["suite_id"])
        aliases = data.validated_data["family"]["protected_aliases"]
        gate = services.set_gate(actor=self.actor, family=family, suite=suite, aliases=aliases)
        return Response(self.get_serializer(gate).data)

    @extend_schema(summary="Remove the gate of a model", tags=MODELS, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """Its aliases move freely again."""
        services.set_gate(
            actor=self.actor, family=fetch(self.actor, ModelFamily, "registry.approve", pk=pk), suite=None
        )
        return Response(status=204)


class AliasMoves(WorkspaceViewSet):
    """Aliases, moved through the gate."""

    read_permission = "registry.read"
    write_permission = "registry.write"
    queryset = ModelFamily.objects.all()
    serializer_class = AliasSerializer

    @extend_schema(
        summary="Move an alias",
        tags=MODELS,
        request=shapes.AliasWriteSerializer,
        examples=[
            OpenApiExample(
                "Promote", value={"name": "champion", "version": 12, "reason": "better on refunds"}, request_only=True
            )
        ],
    )
    def create(self, request: Request, pk: int) -> Response:
        """Point an alias to a version; 409 with the failing figures when the required suite is not passed."""
        family = fetch(self.actor, ModelFamily, "registry.write", pk=pk)
        data = shapes.AliasWriteSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        version = fetch(self.actor, ModelVersion, "registry.write", pk=data.validated_data.pop("version"))
        alias = services.move_alias(actor=self.actor, family=family, version=version, **data.validated_data)
        return Response(AliasSerializer(alias).data)


class Decisions(WorkspaceViewSet):
    """Answers to requests for approval."""

    read_permission = "registry.read"
    write_permission = "registry.approve"
    within = "version__workspace"
    queryset = Approval.objects.select_related("version__family", "requested_by", "decided_by")
    serializer_class = ApprovalSerializer

    @extend_schema(
        summary="Decide about an approval",
        tags=MODELS,
        request=shapes.ApprovalDecisionSerializer,
        examples=[
            OpenApiExample("Approve", value={"decision": "approve", "note": "looked at 50 rows"}, request_only=True)
        ],
    )
    def decide(self, request: Request, pk: int) -> Response:
        """Approve (the required suite must be passed, the alias asked for moves) or decline.

        With four eyes on, not one's own request.
        """
        approval = fetch(self.actor, self.queryset, "registry.approve", within=self.within, pk=pk)
        data = shapes.ApprovalDecisionSerializer(data=request.data)
        data.is_valid(raise_exception=True)
        verb = services.approve if data.validated_data["decision"] == "approve" else registry.reject
        done = verb(actor=self.actor, approval=approval, note=data.validated_data["note"])
        return Response(ApprovalSerializer(done).data)


def _about(version: ModelVersion) -> dict[str, Any]:
    gate = selectors.gate_of(version.family_id)
    return {"model_version": version.pk, "required": gate.suite_id if gate else None}

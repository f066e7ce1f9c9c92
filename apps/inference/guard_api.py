"""REST endpoints of guard policies and of what they decided."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import services
from apps.inference.guard_forms import MOST_TESTED, DecisionFilter
from apps.inference.guards.models import Direction
from apps.inference.models import Deployment, GuardDecision, GuardPolicy
from apps.inference.services.policies import FIELDS
from apps.registry.models import ModelVersion
from core.access import fetch
from core.api.views import WorkspaceViewSet

TAG = ["guards"]


class GuardPolicySerializer(serializers.ModelSerializer[GuardPolicy]):
    """What is looked for in prompts and answers, and what is done about it."""

    classifier = serializers.IntegerField(
        source="classifier_id", required=False, allow_null=True, help_text="A version that classifies."
    )
    name = serializers.CharField(max_length=80)
    deployments = serializers.ListField(
        child=serializers.IntegerField(min_value=1),
        required=False,
        write_only=True,
        help_text="Deployments that this policy guards instead of the default.",
    )

    class Meta:
        model = GuardPolicy
        fields = ("id", *FIELDS, "deployments", "created_at", "changed_at")
        read_only_fields = ("id", "created_at", "changed_at")
        extra_kwargs = {"terms": {"help_text": "Other ways of writing them are found as well."}}


class GuardTrialSerializer(serializers.Serializer[Any]):
    """A text to be tried."""

    text = serializers.CharField(max_length=MOST_TESTED, trim_whitespace=False)
    direction = serializers.ChoiceField(Direction.choices, default=Direction.INPUT)


class GuardFindingSerializer(serializers.Serializer[Any]):
    """What one guard found and what is done about it."""

    stage = serializers.CharField()
    rule = serializers.CharField()
    action = serializers.CharField()
    reason = serializers.CharField()
    score = serializers.FloatField(allow_null=True)
    spans = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()), help_text="[start, end] in code points."
    )


class GuardTriedSerializer(serializers.Serializer[Any]):
    """The text as it would be read, and the decisions behind it."""

    text = serializers.CharField()
    is_blocked = serializers.BooleanField()
    decisions = GuardFindingSerializer(many=True)


class GuardDecisionSerializer(serializers.ModelSerializer[GuardDecision]):
    """One decision; never the text."""

    reason = serializers.CharField(read_only=True)

    class Meta:
        model = GuardDecision
        fields = (
            "id", "policy", "generation", "api_key", "direction", "stage", "rule", "action", "reason", "score", "part",
            "spans", "created_at",
        )  # fmt: skip
        read_only_fields = fields


class GuardPolicyViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Guard policies of the workspace."""

    queryset = GuardPolicy.objects.all()
    serializer_class = GuardPolicySerializer
    read_permission = "inference.read"
    write_permission = "workspace.manage"

    @extend_schema(summary="List guard policies", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a guard policy", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(fetch(self.actor, GuardPolicy, self.read_permission, pk=pk))

    @extend_schema(
        summary="Create a guard policy",
        tags=TAG,
        responses={201: GuardPolicySerializer},
        examples=[
            OpenApiExample(
                "Redact personal data, block two terms",
                {
                    "name": "House",
                    "is_default": True,
                    "personal_input": "redact",
                    "personal_output": "redact",
                    "terms": ["badword", "赌博网站"],
                    "terms_output": "block",
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """As the default it holds at once for every request that no other policy guards."""
        made = services.create_policy(actor=self.actor, **self._values(request))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        summary="Change a guard policy",
        tags=TAG,
        examples=[OpenApiExample("Block injections", {"injection_input": "block"}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes."""
        policy = fetch(self.actor, GuardPolicy, self.write_permission, pk=pk)
        self.check_if_match(policy)
        done = services.change_policy(actor=self.actor, policy=policy, **self._values(request, partial=True))
        return self.etag_response(done)

    @extend_schema(summary="Delete a guard policy", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """409 while a deployment names it or answers are written under it; decisions stay."""
        policy = fetch(self.actor, GuardPolicy, self.write_permission, pk=pk)
        services.delete_policy(actor=self.actor, policy=policy)
        return Response(status=204)

    @extend_schema(
        summary="Try a guard policy",
        tags=TAG,
        request=GuardTrialSerializer,
        responses=GuardTriedSerializer,
        examples=[OpenApiExample("A prompt", {"text": "I am ana@example.com"}, request_only=True)],
    )
    def test(self, request: Request, pk: int) -> Response:
        """What it decides about a text; nothing is kept."""
        policy = fetch(self.actor, GuardPolicy, self.write_permission, pk=pk)
        given = GuardTrialSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        tried = services.try_policy(policy, given.validated_data["text"], given.validated_data["direction"])
        return Response(GuardTriedSerializer(tried).data)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if "classifier_id" in values:
            pk = values.pop("classifier_id")
            values["classifier"] = fetch(self.actor, ModelVersion, self.read_permission, pk=pk) if pk else None
        if "deployments" in values:
            values["deployments"] = [
                fetch(self.actor, Deployment, self.read_permission, pk=pk) for pk in values["deployments"]
            ]
        return values


class GuardDecisionViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """What policies decided."""

    queryset = GuardDecision.objects.order_by("-id")
    serializer_class = GuardDecisionSerializer
    filterset_class = DecisionFilter
    read_permission = write_permission = "inference.read"

    @extend_schema(summary="List guard decisions", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Newest first; reasons and places, never texts."""
        return super().list(request, *args, **kwargs)

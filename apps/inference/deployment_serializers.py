"""Deployments as the API shows and takes them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.inference.gates import FIGURES, MOST_WINDOW_MINUTES
from apps.inference.memory import STATES
from apps.inference.models import Arm, Deployment, DeploymentEvent
from apps.inference.services.deployments import MOST_RETENTION_DAYS


class RolloutGateSerializer(serializers.Serializer[Any]):
    """A bound on the candidate's figures; beyond it its share becomes 0."""

    figure = serializers.ChoiceField(list(FIGURES), help_text="Shares lie between 0 and 1, times are in seconds.")
    bound = serializers.FloatField(min_value=0)
    window_minutes = serializers.IntegerField(default=60, min_value=1, max_value=MOST_WINDOW_MINUTES)
    min_count = serializers.IntegerField(default=50, min_value=1, help_text="Answers before the gate is looked at.")


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    """What answers under an alias."""

    alias = serializers.CharField(source="__str__", read_only=True, help_text="As requests name it: name@alias.")
    version = serializers.IntegerField(source="alias.version_id", read_only=True, help_text="What the alias names.")
    serving = serializers.IntegerField(
        source="serving_id", read_only=True, allow_null=True, help_text="What answers until that is loaded and tried."
    )
    candidate = serializers.IntegerField(source="candidate_id", read_only=True, allow_null=True)
    gates = RolloutGateSerializer(many=True, read_only=True)
    guard_policy = serializers.IntegerField(
        source="guard_policy_id", read_only=True, allow_null=True, help_text="Null: the workspace's default guards it."
    )
    warm_error = serializers.CharField(read_only=True)

    class Meta:
        model = Deployment
        fields = (
            "id", "alias", "version", "serving", "candidate", "candidate_share", "is_candidate_ready", "is_shadow",
            "sticky", "gates", "retention_days", "is_pinned", "is_warm", "guard_policy", "warm_error", "created_at",
        )  # fmt: skip
        read_only_fields = fields


CHANGEABLE: tuple[str, ...] = (
    "candidate", "candidate_share", "is_shadow", "sticky", "gates", "retention_days", "is_pinned", "is_warm", "guard_policy",
    "reason",
)  # fmt: skip


class ChangeDeploymentSerializer(serializers.ModelSerializer[Deployment]):
    """What may be changed; what is left out stays."""

    candidate = serializers.CharField(
        required=False, allow_null=True, max_length=140, help_text="A version: id, name:number or name@alias."
    )
    candidate_share = serializers.FloatField(required=False, min_value=0, max_value=1)
    retention_days = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=MOST_RETENTION_DAYS
    )
    gates = RolloutGateSerializer(many=True, required=False)
    guard_policy = serializers.IntegerField(
        required=False,
        allow_null=True,
        help_text="Id of a policy; null is the workspace's default. Needs workspace.manage.",
    )
    reason = serializers.CharField(required=False, max_length=1000, allow_blank=True)

    class Meta:
        model = Deployment
        fields = CHANGEABLE


class CreateDeploymentSerializer(ChangeDeploymentSerializer):
    """An alias, and how it is answered."""

    alias = serializers.CharField(max_length=300, help_text="name@alias; a name alone is its champion.")

    class Meta(ChangeDeploymentSerializer.Meta):
        fields = ("alias", *CHANGEABLE)


class DeploymentReasonSerializer(serializers.Serializer[Any]):
    """Why something is done."""

    reason = serializers.CharField(required=False, default="", max_length=1000, allow_blank=True)


class DeploymentArmSerializer(serializers.Serializer[Any]):
    """What one side did; times in seconds, null where nothing was answered."""

    arm = serializers.ChoiceField(Arm.choices)
    count = serializers.IntegerField()
    error_count = serializers.IntegerField()
    error_share = serializers.FloatField(allow_null=True)
    first_p50_seconds = serializers.FloatField(allow_null=True)
    first_p95_seconds = serializers.FloatField(allow_null=True)
    whole_p50_seconds = serializers.FloatField(allow_null=True)
    whole_p95_seconds = serializers.FloatField(allow_null=True)
    thumbs_count = serializers.IntegerField(help_text="Given in this time to what the side said.")
    thumbs_up_share = serializers.FloatField(allow_null=True)


class DeploymentEventSerializer(serializers.ModelSerializer[DeploymentEvent]):
    """One entry of the history."""

    reason = serializers.CharField(read_only=True)
    detail = serializers.SerializerMethodField()

    class Meta:
        model = DeploymentEvent
        fields = ("id", "kind", "at", "by", "reason", "detail")
        read_only_fields = fields

    @extend_schema_field(serializers.DictField())
    def get_detail(self, event: DeploymentEvent) -> dict[str, Any]:
        """What was before and after, and the figures it rests on."""
        found: dict[str, Any] = event.detail
        return found


class LoadedVersionSerializer(serializers.Serializer[Any]):
    """One version in the memory of one process."""

    version = serializers.IntegerField(help_text="Id of the model version.")
    process = serializers.CharField(help_text="Host and process.")
    use = serializers.CharField(help_text="A task, writing (streams and batches) or explain.")
    state = serializers.ChoiceField(list(STATES))
    reason = serializers.CharField(help_text="Why it could not be loaded.")
    bytes = serializers.IntegerField()
    loaded_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    is_pinned = serializers.BooleanField()
    way = serializers.CharField(help_text="What multiplies: torch, openvino fp32, openvino int8 or remote.")
    equal_share = serializers.FloatField(
        allow_null=True, help_text="Of int8: the share of answers to texts of its own that are those of fp32."
    )

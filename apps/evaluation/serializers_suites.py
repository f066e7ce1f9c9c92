"""Shapes of suites, verdicts and gates in the API."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from apps.datasets.models import Split
from apps.evaluation.models import Bound, Direction, Gate, Suite, SuiteCheck, SuiteRun
from apps.evaluation.services import LARGEST_ANSWER_TOKENS
from apps.evaluation.tasks import DATA_KINDS
from apps.evaluation.verdicts import STATES, Verdict


class CheckSerializer(serializers.ModelSerializer[Any]):
    """One figure on one frozen split, and the threshold it must keep."""

    dataset_version = serializers.IntegerField(
        source="dataset_version_id",
        min_value=1,
        allow_null=True,
        default=None,
        help_text="Null for the figure forgetting, which is measured on the tasks of a version's lineage.",
    )
    split = serializers.ChoiceField(
        choices=Split.choices, default="test", allow_blank=True, help_text="Empty: all rows."
    )
    figure = serializers.CharField(
        max_length=60,
        help_text="A headline figure of an evaluation, e.g. macro_f1; forgetting for the largest loss on an earlier task.",
    )
    direction = serializers.ChoiceField(choices=Direction.choices, default=Direction.AT_LEAST)
    bound = serializers.ChoiceField(
        choices=Bound.choices, default=Bound.VALUE, help_text="interval: the worse end of the 95 % interval counts."
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=17, help_text="Of the bootstrap.")
    max_new_tokens = serializers.IntegerField(min_value=1, max_value=LARGEST_ANSWER_TOKENS, default=128)

    class Meta:
        model = SuiteCheck
        fields: tuple[str, ...] = (
            "dataset_version", "split", "figure", "direction", "threshold", "bound", "seed", "max_new_tokens",
        )  # fmt: skip


class SuiteSerializer(serializers.ModelSerializer[Any]):
    """One revision of a named list of checks; frozen under its hash once it was used."""

    task = serializers.ChoiceField(choices=[str(task) for task in DATA_KINDS])
    checks = CheckSerializer(many=True, required=False)
    is_sealed = serializers.BooleanField(read_only=True)

    class Meta:
        model = Suite
        fields = (
            "id", "name", "revision", "task", "description", "is_sealed", "content_hash", "sealed_at", "checks",
            "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "revision", "content_hash", "sealed_at", "created_at")
        validators: list[Any] = []


class ChecksSerializer(serializers.Serializer[Any]):
    """All checks of a draft, in their order."""

    checks = CheckSerializer(many=True)


class CheckVerdictSerializer(CheckSerializer):
    """How one check came out."""

    def to_representation(self, found: Any) -> Any:
        """The check's columns, and what was measured."""
        figure: Mapping[str, float | None] = found.figure or {}
        return {
            **super().to_representation(found.check),
            "state": found.state,
            "value": figure.get("value"),
            "low": figure.get("low"),
            "high": figure.get("high"),
            "evaluation": found.evaluation.pk if found.evaluation else None,
            "why": str(found.why),
        }

    state = serializers.ChoiceField(choices=STATES, read_only=True)
    value = serializers.FloatField(read_only=True, allow_null=True)
    low = serializers.FloatField(read_only=True, allow_null=True)
    high = serializers.FloatField(read_only=True, allow_null=True)
    evaluation = serializers.IntegerField(read_only=True, allow_null=True)
    why = serializers.CharField(read_only=True, help_text="What a waiting or failed check lacks.")

    class Meta(CheckSerializer.Meta):
        fields = (*CheckSerializer.Meta.fields, "state", "value", "low", "high", "evaluation", "why")


class VerdictSerializer(serializers.Serializer[Any]):
    """How a suite came out on a model version."""

    suite = serializers.IntegerField(source="suite.pk")
    name = serializers.CharField(source="suite.name")
    revision = serializers.IntegerField(source="suite.revision")
    content_hash = serializers.CharField(source="suite.content_hash")
    model_version = serializers.SerializerMethodField()
    state = serializers.ChoiceField(choices=STATES)
    is_required = serializers.SerializerMethodField(
        help_text="Whether the model requires it for its protected aliases."
    )
    checks = CheckVerdictSerializer(many=True)

    def get_model_version(self, found: Verdict) -> int:
        """Id of the version."""
        return int(self.context["model_version"])

    def get_is_required(self, found: Verdict) -> bool:
        """From the model's gate."""
        return found.suite.pk == self.context.get("required")


class SuiteRunSerializer(serializers.ModelSerializer[Any]):
    """A version that a suite was run on."""

    class Meta:
        model = SuiteRun
        fields = ("id", "suite", "model_version", "created_at")
        read_only_fields = fields


class SuiteRunWriteSerializer(serializers.Serializer[Any]):
    """On what a suite is run."""

    model_version = serializers.CharField(max_length=200, help_text="Id, name@alias, name:number or name.")


class GateSerializer(serializers.ModelSerializer[Any]):
    """The suite a model requires, and the aliases that move only with it."""

    aliases = serializers.ListField(
        child=serializers.CharField(max_length=40), source="family.protected_aliases", max_length=10, min_length=1
    )
    suite = serializers.IntegerField(source="suite_id", min_value=1)

    class Meta:
        model = Gate
        fields = ("suite", "aliases")


class AliasWriteSerializer(serializers.Serializer[Any]):
    """Where an alias shall point."""

    name = serializers.CharField(max_length=40, help_text="Small letters, digits and hyphens, e.g. champion.")
    version = serializers.IntegerField(min_value=1, help_text="Id of a version of this model.")
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    evidence = serializers.DictField(
        required=False,
        default=dict,
        help_text="Anything that speaks for the move; gate and approval are filled in here.",
    )


class ApprovalDecisionSerializer(serializers.Serializer[Any]):
    """The answer to a request for approval."""

    decision = serializers.ChoiceField(choices=["approve", "reject"])
    note = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")

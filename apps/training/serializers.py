"""Training jobs as the API shows and takes them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.training.models import Checkpoint, Preflight, TrainingJob
from core.api.spoken import SpokenJSONField, SpokenListField
from engine import specs


class TrainingJobSerializer(serializers.ModelSerializer[TrainingJob]):
    """A training job with the state of its core job."""

    state = serializers.CharField(source="job.state", read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True, help_text="Id below /jobs, with log and progress.")
    phase = serializers.CharField(source="job.phase", read_only=True)
    done_count = serializers.IntegerField(source="job.done_count", read_only=True)
    total_count = serializers.IntegerField(source="job.total_count", read_only=True, allow_null=True)
    remaining_seconds = serializers.FloatField(source="job.remaining_seconds", read_only=True, allow_null=True)
    error_code = serializers.CharField(source="job.error_code", read_only=True)
    error_message = serializers.CharField(source="job.error_message", read_only=True)
    error_hint = serializers.CharField(source="job.error_hint", read_only=True)
    problems = SpokenListField(child=serializers.DictField(), read_only=True)
    started_at = serializers.DateTimeField(source="job.started_at", read_only=True, allow_null=True)
    finished_at = serializers.DateTimeField(source="job.finished_at", read_only=True, allow_null=True)

    estimate = serializers.JSONField(read_only=True, help_text="What was computed before the start, {} until then.")
    measured = serializers.JSONField(source="summary", read_only=True, help_text="What the finished run measured.")

    class Meta:
        model = TrainingJob
        fields = (
            "id", "name", "recipe", "spec", "spec_hash", "dataset_version", "family_name", "threads", "micro_batch",
            "model_version", "reproduced_from", "sweep", "pruned_at_epoch", "problems", "estimate", "measured",
            "created_at", "job", "state", "phase", "done_count",
            "total_count", "remaining_seconds", "error_code", "error_message", "error_hint", "started_at",
            "finished_at",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Fine-tune a classifier",
            {"recipe": "classify", "dataset_version": 1, "name": "Intents", "spec": {"epochs": 3, "seed": 17}},
            request_only=True,
        )
    ]
)
class StartTrainingSerializer(serializers.Serializer[Any]):
    """What starts a training job; options left out keep their defaults."""

    recipe = serializers.ChoiceField(choices=list(specs.RECIPES))
    dataset_version = serializers.IntegerField(min_value=1)
    spec = serializers.DictField(required=False, default=dict, help_text="Options of the recipe, see GET /recipes.")
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    family_name = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    priority = serializers.IntegerField(required=False, default=0, min_value=-100, max_value=100)


class CheckedSerializer(serializers.Serializer[Any]):
    """The answer to a dry run."""

    valid = serializers.BooleanField()
    spec = serializers.DictField(allow_null=True, help_text="All options with defaults filled in.")
    problems = SpokenListField(child=serializers.DictField())


class AskPreflightSerializer(serializers.Serializer[Any]):
    """Options to check on data before a start."""

    recipe = serializers.ChoiceField(choices=list(specs.RECIPES))
    dataset_version = serializers.IntegerField(min_value=1)
    spec = serializers.DictField(required=False, default=dict, help_text="Options of the recipe, see GET /recipes.")


class PreflightSerializer(serializers.ModelSerializer[Preflight]):
    """A check before a start; `result` is {} until a worker has made it."""

    state = serializers.CharField(source="job.state", read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True)
    error_code = serializers.CharField(source="job.error_code", read_only=True)
    error_message = serializers.CharField(source="job.error_message", read_only=True)
    error_hint = serializers.CharField(source="job.error_hint", read_only=True)
    can_start = serializers.SerializerMethodField(help_text="null until the check is made.")
    result = SpokenJSONField(
        read_only=True,
        help_text="problems (with example ids), rows, lengths (quantiles and histogram), truncated_share, parameters "
        "(total, trainable), estimate (steps, memory_bytes, seconds), seen (the first rows as the model reads them).",
    )

    class Meta:
        model = Preflight
        fields = (
            "id", "recipe", "spec", "spec_hash", "dataset_version", "job", "state", "error_code", "error_message",
            "error_hint", "can_start", "result", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_can_start(self, preflight: Preflight) -> bool | None:
        """Whether no error was found."""
        return not preflight.errors if preflight.is_done else None


class SeenSerializer(serializers.Serializer[Any]):
    """What the model sees of the first training rows."""

    template = serializers.DictField(help_text="name and hash", allow_null=True)
    rows = serializers.ListField(
        child=serializers.DictField(),
        help_text="example_id, tokens, special (positions), learnt ([start, end) spans), labels, token_count, "
        "learnt_count, is_cut",
    )


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    """One checkpoint of a run."""

    class Meta:
        model = Checkpoint
        fields = ("id", "step", "metrics", "is_best", "created_at")


class CurvesSerializer(serializers.Serializer[Any]):
    """Metric curves, thinned to about a thousand points each."""

    curves = serializers.SerializerMethodField()

    @extend_schema_field(
        {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
            },
        }
    )
    def get_curves(self, value: Any) -> Any:
        """[[step, value], ...] by metric."""
        return value["curves"]


class DifferingSerializer(serializers.Serializer[Any]):
    """An option that is not the same in all jobs."""

    option = serializers.CharField()
    values = serializers.ListField(child=serializers.JSONField(allow_null=True), help_text="In the order of ids.")


class BesideSerializer(serializers.Serializer[Any]):
    """One figure of one job."""

    figure = serializers.DictField(allow_null=True, help_text="value, low, high")
    delta = serializers.FloatField(allow_null=True, help_text="Value minus that of the first job.")


class FigureRowSerializer(serializers.Serializer[Any]):
    """One figure of all jobs."""

    split = serializers.CharField()
    name = serializers.CharField()
    cells = BesideSerializer(many=True)


class ComparedRunsSerializer(serializers.Serializer[Any]):
    """Training jobs beside each other."""

    ids = serializers.ListField(child=serializers.IntegerField())
    options = DifferingSerializer(many=True)
    figures = FigureRowSerializer(many=True)


class RecipeFieldSerializer(serializers.Serializer[Any]):
    """One option of a recipe."""

    name = serializers.CharField()
    type = serializers.CharField()
    default = serializers.JSONField(allow_null=True)
    meaning = serializers.CharField()
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    choices = serializers.ListField(child=serializers.CharField())


class RecipeSerializer(serializers.Serializer[Any]):
    """A recipe and its options."""

    name = serializers.CharField()
    data_kinds = serializers.ListField(child=serializers.CharField(), help_text="Dataset kinds it learns from.")
    task = serializers.CharField(help_text="What the version it makes does.")
    fields_ = RecipeFieldSerializer(many=True)

    def get_fields(self) -> dict[str, Any]:
        """`fields` is a word DRF keeps for itself, so the option list is renamed on the way out."""
        found = super().get_fields()
        found["options"] = found.pop("fields_")
        return found

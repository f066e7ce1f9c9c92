"""Shapes of the evaluation room in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.datasets.models import Split
from apps.evaluation.models import Comparison, EvaluationJob, ExampleResult
from apps.evaluation.services import LARGEST_ANSWER_TOKENS
from core.api.jobs import JobProgressSerializer

ANY_OBJECT = {"type": "object", "additionalProperties": True}


class EvaluationSerializer(serializers.ModelSerializer[Any]):
    """An evaluation in lists."""

    job = JobProgressSerializer(read_only=True)
    headline = serializers.SerializerMethodField(help_text="Figure -> value, low and high of its 95 % interval.")

    class Meta:
        model = EvaluationJob
        fields: tuple[str, ...] = (
            "id",
            "model_version",
            "dataset_version",
            "split",
            "seed",
            "max_new_tokens",
            "row_count",
            "headline",
            "job",
            "created_at",
        )
        read_only_fields = fields

    @extend_schema_field(ANY_OBJECT)
    def get_headline(self, row: EvaluationJob) -> dict[str, Any]:
        """Empty until the job is done."""
        return row.headline


class EvaluationDetailSerializer(EvaluationSerializer):
    """An evaluation with all its figures."""

    metrics = serializers.SerializerMethodField(help_text="Headline, per label, confusion, calibration, ROC-AUC.")

    class Meta(EvaluationSerializer.Meta):
        fields = (*EvaluationSerializer.Meta.fields, "metrics")
        read_only_fields = fields

    @extend_schema_field(ANY_OBJECT)
    def get_metrics(self, row: EvaluationJob) -> dict[str, Any]:
        """Empty until the job is done."""
        return dict(row.metrics)


class EvaluationWriteSerializer(serializers.Serializer[Any]):
    """What shall be measured on what."""

    model_version = serializers.CharField(max_length=200, help_text="Id, name@alias, name:number or name.")
    dataset_version = serializers.IntegerField(min_value=1)
    split = serializers.ChoiceField(
        choices=Split.choices, default="test", help_text="Empty: all rows.", allow_blank=True
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=17, help_text="Of the bootstrap.")
    max_new_tokens = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ANSWER_TOKENS, default=128, help_text="Longest answer a chat version writes."
    )


class ExampleResultSerializer(serializers.ModelSerializer[Any]):
    """How one example fared."""

    class Meta:
        model = ExampleResult
        fields = (
            "example_id", "text", "gold", "predicted", "gold_spans", "predicted_spans", "gold_text", "predicted_text",
            "answer_tokens", "f1", "found_at", "first_at", "candidates", "probability", "loss", "correct",
        )  # fmt: skip
        read_only_fields = fields


class ExampleResultPageSerializer(serializers.Serializer[Any]):
    """A page of example rows; `next` is the query to go on with."""

    next = serializers.CharField(allow_null=True, help_text="Query string of the next page, e.g. before=0.03:17.")
    previous = serializers.CharField(allow_null=True)
    results = ExampleResultSerializer(many=True)


class ComparisonSerializer(serializers.ModelSerializer[Any]):
    """Two evaluations tested against each other."""

    job = JobProgressSerializer(read_only=True)
    figures = serializers.SerializerMethodField(
        help_text="Second minus first with paired bootstrap intervals: accuracy and macro F1, of taggers the figures of "
        "entities, of readers exact answers and F1, of vectors and of re-ranking MRR and recall, of chat versions loss and exact answers; "
        "McNemar's test, of chat versions also Wilcoxon's signed ranks of the losses."
    )

    class Meta:
        model = Comparison
        fields = ("id", "first", "second", "figures", "job", "created_at")
        read_only_fields = fields

    @extend_schema_field(ANY_OBJECT)
    def get_figures(self, row: Comparison) -> dict[str, Any]:
        """Empty until the job is done."""
        return dict(row.figures)


class ComparisonWriteSerializer(serializers.Serializer[Any]):
    """Ids of two finished evaluations on the same rows."""

    first = serializers.IntegerField(min_value=1)
    second = serializers.IntegerField(min_value=1)


class FlipSerializer(serializers.Serializer[Any]):
    """One example as both sides saw it."""

    example_id = serializers.IntegerField()
    text = serializers.CharField()
    gold = serializers.ListField(child=serializers.CharField())
    first = serializers.ListField(child=serializers.CharField())
    first_probability = serializers.FloatField()
    second = serializers.ListField(child=serializers.CharField())
    second_probability = serializers.FloatField()
    gold_spans = serializers.ListField(child=serializers.DictField(), allow_null=True)
    first_spans = serializers.ListField(child=serializers.DictField(), allow_null=True)
    second_spans = serializers.ListField(child=serializers.DictField(), allow_null=True)
    gold_text = serializers.CharField()
    first_text = serializers.CharField()
    first_loss = serializers.FloatField()
    second_text = serializers.CharField()
    second_loss = serializers.FloatField()


class FlipPageSerializer(serializers.Serializer[Any]):
    """A page of flips; `next` is the query to go on with."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = FlipSerializer(many=True)

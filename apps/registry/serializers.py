"""Shapes of the registry in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.registry.models import (
    Alias,
    AliasMove,
    Approval,
    BaseModel,
    CardRevision,
    ExportKind,
    ModelFamily,
    ModelVersion,
    VersionCheck,
    VersionExport,
    VersionImport,
)
from core.api.jobs import JobProgressSerializer
from engine.specs.remote import DIALECTS

ANY_OBJECT = {"type": "object", "additionalProperties": True}


class BaseModelSerializer(serializers.ModelSerializer[Any]):
    """Pretrained weights that a training can start from."""

    is_built_in = serializers.BooleanField(read_only=True)
    languages = serializers.ListField(child=serializers.CharField(max_length=10), required=False, max_length=50)

    class Meta:
        model = BaseModel
        fields = (
            "id",
            "name",
            "kind",
            "reference",
            "revision",
            "task_family",
            "languages",
            "licence",
            "note",
            "is_built_in",
            "created_at",
        )
        read_only_fields = ("id", "is_built_in", "created_at")
        validators: list[Any] = []


class AliasSerializer(serializers.ModelSerializer[Any]):
    """An alias and where it points."""

    version = serializers.PrimaryKeyRelatedField[Any](read_only=True)
    number = serializers.IntegerField(source="version.number", read_only=True)

    class Meta:
        model = Alias
        fields = ("name", "version", "number", "moved_at")
        read_only_fields = fields


class ReasonSerializer(serializers.Serializer[Any]):
    """Why something is done."""

    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")


class AliasMoveSerializer(serializers.ModelSerializer[Any]):
    """One move of an alias."""

    class Meta:
        model = AliasMove
        fields = (
            "id",
            "alias",
            "kind",
            "from_version_id",
            "from_number",
            "to_version_id",
            "to_number",
            "at",
            "by",
            "reason",
            "evidence",
        )
        read_only_fields = fields


class ModelFamilySerializer(serializers.ModelSerializer[Any]):
    """A model: the name under which versions are counted."""

    aliases = AliasSerializer(many=True, read_only=True)
    newest_id = serializers.IntegerField(read_only=True, allow_null=True, help_text="Id of the newest version.")

    class Meta:
        model = ModelFamily
        fields = ("id", "name", "task", "last_number", "newest_id", "aliases", "protected_aliases", "created_at")
        read_only_fields = fields


class ModelVersionSerializer(serializers.ModelSerializer[Any]):
    """A model version in lists."""

    name = serializers.CharField(source="family.name", read_only=True)
    aliases = serializers.SlugRelatedField[Any](slug_field="name", many=True, read_only=True)
    headline = serializers.SerializerMethodField(help_text="Figure -> value, low and high of its 95 % interval.")

    class Meta:
        model = ModelVersion
        fields: tuple[str, ...] = (
            "id",
            "family",
            "name",
            "number",
            "aliases",
            "state",
            "source",
            "task",
            "recipe",
            "description",
            "base_model",
            "dataset_version",
            "parent",
            "content_hash",
            "size_bytes",
            "headline",
            "created_at",
        )
        read_only_fields = fields

    @extend_schema_field(ANY_OBJECT)
    def get_headline(self, version: ModelVersion) -> dict[str, Any]:
        """Figures of the test split, else of dev."""
        return version.headline


class ModelVersionDetailSerializer(ModelVersionSerializer):
    """Everything that is known of a version but its example rows."""

    metrics = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()
    spec = serializers.SerializerMethodField()
    environment = serializers.SerializerMethodField()
    timings = serializers.SerializerMethodField()

    class Meta(ModelVersionSerializer.Meta):
        fields = (
            *ModelVersionSerializer.Meta.fields,
            "labels",
            "multi_label",
            "parameter_count",
            "metrics",
            "spec",
            "spec_hash",
            "seed",
            "environment",
            "template_hash",
            "timings",
            "dataset_hash",
            "weights_hash",
            "files",
            "verified_at",
        )
        read_only_fields = fields

    weights_hash = serializers.CharField(read_only=True)

    @extend_schema_field(ANY_OBJECT)
    def get_metrics(self, version: ModelVersion) -> dict[str, Any]:
        """Split -> figures with intervals, per label, confusion and calibration."""
        return dict(version.metrics)

    @extend_schema_field({"type": "array", "items": ANY_OBJECT})
    def get_files(self, version: ModelVersion) -> list[dict[str, Any]]:
        """Path, bytes and sha256 of every file."""
        return list(version.files)

    @extend_schema_field(ANY_OBJECT)
    def get_spec(self, version: ModelVersion) -> dict[str, Any]:
        """The validated settings of the run."""
        return dict(version.spec)

    @extend_schema_field(ANY_OBJECT)
    def get_environment(self, version: ModelVersion) -> dict[str, Any]:
        """Library versions and hardware."""
        return dict(version.environment)

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "number"}})
    def get_timings(self, version: ModelVersion) -> dict[str, float]:
        """Seconds by phase."""
        return dict(version.timings)


class DescriptionSerializer(serializers.Serializer[Any]):
    """The free text of a version."""

    description = serializers.CharField(max_length=5000, allow_blank=True)


class SampleSerializer(serializers.Serializer[Any]):
    """One example of the test split and how the version fared."""

    example_id = serializers.IntegerField(required=False)
    text = serializers.CharField()
    gold = serializers.ListField(child=serializers.CharField())
    predicted = serializers.ListField(child=serializers.CharField())
    probability = serializers.FloatField()
    loss = serializers.FloatField()
    correct = serializers.BooleanField()


class CardSerializer(serializers.ModelSerializer[Any]):
    """One revision of a model card."""

    class Meta:
        model = CardRevision
        fields = (
            "number",
            "generated",
            "intended_use",
            "limits",
            "licence",
            "privacy",
            "notes",
            "created_at",
        )
        read_only_fields = ("number", "generated", "created_at")


class ApprovalRequestSerializer(ReasonSerializer):
    """What is asked for."""

    alias = serializers.CharField(
        max_length=40,
        required=False,
        allow_blank=True,
        default="",
        help_text="An alias that shall name the version once it is approved.",
    )


class ApprovalSerializer(serializers.ModelSerializer[Any]):
    """A request for approval and its answer."""

    requested_by = serializers.StringRelatedField[Any](read_only=True)
    decided_by = serializers.StringRelatedField[Any](read_only=True)
    evidence = serializers.DictField(
        read_only=True, help_text="The required suite with its hash, thresholds and figures."
    )

    class Meta:
        model = Approval
        fields = (
            "id",
            "version",
            "alias",
            "reason",
            "requested_by",
            "requested_at",
            "decision",
            "decided_by",
            "decided_at",
            "is_self_approval",
            "note",
            "evidence",
        )
        read_only_fields = fields


class ExportWriteSerializer(serializers.Serializer[Any]):
    """As what a version shall leave."""

    kind = serializers.ChoiceField(choices=ExportKind.choices, default=ExportKind.ARCHIVE)


class ModelExportSerializer(serializers.ModelSerializer[Any]):
    """A zip of a version, being made or ready."""

    job = JobProgressSerializer(read_only=True)
    parity = serializers.DictField(
        read_only=True,
        help_text="What ran the converted files, on how many fixed texts; the largest difference of a logit, its "
        "tolerance, the share of equal decisions, and whether it passed. Of a version of int8 weights also how far its own logits are "
        "from those of the floats it leaves as (int8_difference). Empty for an archive and until measured.",
    )

    class Meta:
        model = VersionExport
        fields = ("id", "version", "kind", "job", "parity", "bytes", "sha256")
        read_only_fields = fields


class ModelImportSerializer(serializers.ModelSerializer[Any]):
    """An uploaded zip on its way to becoming a version."""

    job = JobProgressSerializer(read_only=True)

    class Meta:
        model = VersionImport
        fields = ("id", "name", "filename", "description", "version", "job")
        read_only_fields = fields


class ModelImportWriteSerializer(serializers.Serializer[Any]):
    """A zip of a Hugging Face folder to register."""

    name = serializers.CharField(max_length=80)
    file = serializers.FileField()
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True, default="")


class ModelConnectionSerializer(serializers.Serializer[Any]):
    """A model on another server that speaks OpenAI's API."""

    name = serializers.CharField(max_length=80)
    address = serializers.CharField(max_length=300, help_text="Up to /v1: https://vllm.example.com/v1")
    model = serializers.CharField(max_length=300, help_text="The model's name on that server.")
    dialect = serializers.ChoiceField(DIALECTS, default="openai")
    context_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=100_000_000)
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True, default="")


class ModelCheckSerializer(serializers.ModelSerializer[Any]):
    """A comparison of a version's files with their hashes."""

    job = JobProgressSerializer(read_only=True)
    problems = serializers.SerializerMethodField(help_text="What differs; null until looked at.")

    class Meta:
        model = VersionCheck
        fields = ("id", "version", "job", "problems")
        read_only_fields = fields

    @extend_schema_field({"type": ["array", "null"], "items": ANY_OBJECT})
    def get_problems(self, check: VersionCheck) -> list[dict[str, str]] | None:
        """Path and problem (missing, altered, additional)."""
        return None if check.problems is None else list(check.problems)


class FigureBesideSerializer(serializers.Serializer[Any]):
    """One headline figure of all compared versions."""

    name = serializers.CharField()
    values = serializers.ListField(child=serializers.JSONField(allow_null=True), help_text="value, low, high; or null.")
    clear = serializers.BooleanField(allow_null=True, help_text="The intervals of first and last do not touch.")


class SettingBesideSerializer(serializers.Serializer[Any]):
    """A setting in which compared versions differ."""

    name = serializers.CharField()
    values = serializers.ListField(child=serializers.JSONField(allow_null=True))


class ComparedSerializer(serializers.Serializer[Any]):
    """Versions side by side; `values` follow the order of `versions`."""

    versions = serializers.ListField(child=serializers.IntegerField())
    figures = FigureBesideSerializer(many=True)
    settings = SettingBesideSerializer(many=True)

"""Datasets, examples, imports, versions and exports as the API shows and takes them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.datasets.models import (
    BadRow,
    Dataset,
    DatasetVersion,
    Example,
    ExampleRevision,
    ExportJob,
    ImportJob,
    Kind,
    Split,
)
from apps.datasets.services.splitting import METHODS
from core.api.parsers import JsonTextField
from core.jobs.models import Job

JsonObject = {"type": "object", "additionalProperties": True}


@extend_schema_field(JsonObject)
class ObjectField(serializers.DictField):
    """A JSON object."""


class JobBriefSerializer(serializers.ModelSerializer[Job]):
    """The job that does long work: state, progress and, when it failed, why."""

    remaining_seconds = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields = (
            "id", "state", "phase", "done_count", "total_count", "unit", "remaining_seconds", "error_code",
            "error_message", "error_hint", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Service questions",
            {
                "name": "Service questions",
                "kind": "classification",
                "labels": ["lost_card", "refund"],
                "language": "en",
            },
            request_only=True,
        )
    ]
)
class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A collection of examples of one kind."""

    kind = serializers.ChoiceField(choices=Kind.choices)
    labels = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    language = serializers.CharField(max_length=20, required=False, allow_blank=True)
    multi_label = serializers.BooleanField(required=False)

    class Meta:
        model = Dataset
        fields = (
            "id", "name", "description", "kind", "multi_label", "labels", "language", "example_count", "revision",
            "split_settings", "created_at", "updated_at", "archived_at",
        )  # fmt: skip
        read_only_fields = (
            "id", "example_count", "revision", "split_settings", "created_at", "updated_at", "archived_at",
        )  # fmt: skip


class DatasetChangeSerializer(serializers.Serializer[Any]):
    """What can be changed of a dataset."""

    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=5000, required=False, allow_blank=True)
    language = serializers.CharField(max_length=20, required=False, allow_blank=True)
    multi_label = serializers.BooleanField(required=False)
    labels = serializers.ListField(child=serializers.CharField(max_length=200), required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A labelled text",
            {
                "id": 41, "external_id": "mail-7", "record": {"text": "My card is gone", "labels": ["lost_card"]},
                "meta": {"channel": "mail"}, "labels": ["lost_card"], "split": "train", "length": 15, "revision": 1,
                "created_at": "2026-11-23T10:00:00Z", "updated_at": "2026-11-23T10:00:00Z", "deleted_at": None,
            },
            response_only=True,
        )
    ]
)  # fmt: skip
class ExampleSerializer(serializers.ModelSerializer[Example]):
    """One record of a dataset; its fields depend on the kind."""

    record = ObjectField()
    meta = ObjectField()
    labels = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Example
        fields = (
            "id", "external_id", "record", "meta", "labels", "split", "length", "revision", "created_at",
            "updated_at", "deleted_at",
        )  # fmt: skip
        read_only_fields = fields


class NewExampleSerializer(serializers.Serializer[Any]):
    """One record to add. With an external id it replaces the example of that id."""

    record = JsonTextField(help_text="The canonical record of the dataset's kind, with optional meta.")
    external_id = serializers.CharField(max_length=500, required=False, allow_null=True, allow_blank=True)
    split = serializers.CharField(max_length=10, required=False, allow_blank=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Two questions",
            {
                "items": [
                    {"external_id": "q1", "record": {"text": "Where is my card?", "labels": ["lost_card"]}},
                    {"external_id": "q2", "record": {"text": "我的钱呢？", "labels": []}, "split": "test"},
                ]
            },
            request_only=True,
        )
    ]
)
class AddExamplesSerializer(serializers.Serializer[Any]):
    """Up to 1,000 records."""

    items = NewExampleSerializer(many=True, allow_empty=False)


class AddedSerializer(serializers.Serializer[Any]):
    """What became of one record."""

    status = serializers.ChoiceField(choices=["new", "updated", "unchanged", "bad"])
    id = serializers.IntegerField(required=False)
    code = serializers.CharField(required=False)
    field = serializers.CharField(required=False)
    message = serializers.CharField(required=False)


class AddedListSerializer(serializers.Serializer[Any]):
    """One result for each record, in their order."""

    results = AddedSerializer(many=True)


class ExampleChangeSerializer(serializers.Serializer[Any]):
    """What can be changed of an example; `revision` guards against overwriting somebody's change."""

    record = ObjectField(required=False)
    split = serializers.ChoiceField(choices=Split.choices, required=False, allow_blank=True)
    revision = serializers.IntegerField(required=False, min_value=1)


class RestoreSerializer(serializers.Serializer[Any]):
    """Which earlier state; without it a deleted example comes back as it was."""

    history = serializers.IntegerField(required=False, min_value=1, help_text="Id of an entry of the history.")


class RevisionSerializer(serializers.ModelSerializer[ExampleRevision]):
    """What an example was before a change."""

    record = ObjectField()
    meta = ObjectField()
    by = serializers.CharField(source="by.email", default="", read_only=True)

    class Meta:
        model = ExampleRevision
        fields = ("id", "revision", "at", "by", "source", "record", "meta", "split", "deleted")
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Relabel what a search finds",
            {"action": "relabel", "labels": ["refund"], "filter": {"q": "money back", "split": "train"}},
            request_only=True,
        )
    ]
)
class BulkSerializer(serializers.Serializer[Any]):
    """One action on many examples: by ids, or all that a filter finds (the same names as in the list)."""

    action = serializers.ChoiceField(choices=["relabel", "split", "delete"])
    labels = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=100)
    split = serializers.ChoiceField(choices=Split.choices, required=False, allow_blank=True)
    ids = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False, max_length=500)
    filter = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of ids and filter."""
        if ("ids" in attrs) == ("filter" in attrs):
            raise serializers.ValidationError("Give either ids or filter.")
        return attrs


class ChangedSerializer(serializers.Serializer[Any]):
    """How many rows changed."""

    changed = serializers.IntegerField()


class ImportSerializer(serializers.ModelSerializer[ImportJob]):
    """A file on its way into a dataset."""

    job = JobBriefSerializer(read_only=True, allow_null=True)
    options = ObjectField()
    mapping = ObjectField()
    columns = serializers.ListField(child=serializers.CharField())
    origin = ObjectField(help_text="Of requests that became examples: how they were chosen.")

    class Meta:
        model = ImportJob
        fields = (
            "id", "source", "url", "file_name", "file_bytes", "file_hash", "options", "mapping", "columns", "origin", "dry_run",
            "new_count", "updated_count", "unchanged_count", "bad_count", "created_at", "job",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample("From an address", {"url": "https://data.example.org/questions.csv.gz"}, request_only=True),
        OpenApiExample(
            "With columns",
            {
                "url": "https://data.example.org/mails.jsonl",
                "mapping": {"columns": {"text": "body", "label": "topic", "external_id": "mail_id"}},
                "dry_run": True,
            },
            request_only=True,
        ),
    ]
)
class NewImportSerializer(serializers.Serializer[Any]):
    """A file (multipart) or an address; format and columns are guessed where they are not given."""

    file = serializers.FileField(required=False, max_length=1000)
    url = serializers.CharField(required=False, max_length=2000)
    options = JsonTextField(required=False, help_text="How to read: format, encoding, delimiter, header ...")
    mapping = JsonTextField(required=False, help_text='{"columns": {"text": "body", "label": "topic"}, ...}')
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Count and check, store nothing.")
    start = serializers.BooleanField(required=False, default=True, help_text="false: wait for columns and start.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one source; options and mapping are objects."""
        if ("file" in attrs) == ("url" in attrs):
            raise serializers.ValidationError("Give either file or url.")
        return _objects(attrs)


class StartImportSerializer(serializers.Serializer[Any]):
    """Last changes before an import starts."""

    options = JsonTextField(required=False)
    mapping = JsonTextField(required=False)
    dry_run = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Options and mapping are objects."""
        return _objects(attrs)


def _objects(attrs: dict[str, Any]) -> dict[str, Any]:
    for name in ("options", "mapping"):
        if name in attrs and not isinstance(attrs[name], dict):
            raise serializers.ValidationError({name: "This must be a JSON object."})
    return attrs


class PreviewRowSerializer(serializers.Serializer[Any]):
    """One of the first rows: the record it becomes, or why not."""

    number = serializers.IntegerField()
    record = ObjectField(allow_null=True)
    external_id = serializers.CharField(allow_null=True)
    split = serializers.CharField()
    problems = serializers.ListField(child=serializers.CharField())


class BadRowSerializer(serializers.ModelSerializer[BadRow]):
    """One refused row."""

    class Meta:
        model = BadRow
        fields = ("id", "row", "line", "code", "field", "message", "snippet")
        read_only_fields = fields


class ProfileSerializer(serializers.Serializer[Any]):
    """What the dataset is like, and the job that looks or looked."""

    report = ObjectField(help_text="Empty until the first profile is done.")
    outdated = serializers.BooleanField()
    job = JobBriefSerializer(allow_null=True)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "80/10/10, every label alike",
            {"method": "stratified", "train": 0.8, "dev": 0.1, "test": 0.1, "seed": 7, "keep": True},
            request_only=True,
        )
    ]
)
class SplitSerializer(serializers.Serializer[Any]):
    """How to divide a dataset; shares add up to 1."""

    method = serializers.ChoiceField(choices=list(METHODS), default="stratified")
    train = serializers.FloatField(min_value=0, max_value=1, default=0.8)
    dev = serializers.FloatField(min_value=0, max_value=1, default=0.1)
    test = serializers.FloatField(min_value=0, max_value=1, default=0.1)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    group_key = serializers.CharField(max_length=200, default="", allow_blank=True)
    keep = serializers.BooleanField(default=True)
    preview = serializers.BooleanField(default=False, help_text="true: only say the counts.")


class SplitResultSerializer(serializers.Serializer[Any]):
    """The counts of a preview, or the job that divides."""

    splits = serializers.DictField(child=serializers.IntegerField(), required=False)
    labels = serializers.ListField(child=ObjectField(), required=False)
    exact = serializers.BooleanField(required=False)
    job = JobBriefSerializer(required=False)


class VersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    """A frozen state of a dataset; `frozen_at` is null while it is written."""

    job = JobBriefSerializer(read_only=True, allow_null=True)
    counts = ObjectField()
    labels = serializers.ListField(child=serializers.CharField())
    previous = serializers.IntegerField(source="previous.number", default=None, read_only=True, allow_null=True)

    class Meta:
        model = DatasetVersion
        fields = (
            "id", "number", "note", "content_hash", "file_hash", "file_bytes", "row_count", "counts", "labels",
            "previous", "created_at", "frozen_at", "job",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(examples=[OpenApiExample("With a note", {"note": "first full month"}, request_only=True)])
class FreezeSerializer(serializers.Serializer[Any]):
    """What to say of a version."""

    note = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class DiffSerializer(serializers.Serializer[Any]):
    """What changed since the version before: counts, and the first example ids of each kind of change."""

    previous = serializers.IntegerField(allow_null=True)
    added = serializers.IntegerField(default=0)
    removed = serializers.IntegerField(default=0)
    changed = serializers.IntegerField(default=0)
    relabelled = serializers.IntegerField(default=0)
    moved = serializers.IntegerField(default=0)
    unchanged = serializers.IntegerField(default=0)
    examples = serializers.DictField(child=serializers.ListField(child=serializers.IntegerField()), default=dict)


class ExportSerializer(serializers.ModelSerializer[ExportJob]):
    """A file of a dataset or version; download it at /file until it expires."""

    job = JobBriefSerializer(read_only=True)
    version = serializers.IntegerField(source="version.number", default=None, read_only=True, allow_null=True)
    options = ObjectField()
    filters = ObjectField()
    dropped = serializers.ListField(child=serializers.CharField(), help_text="What the format could not keep.")
    ready = serializers.BooleanField(read_only=True)

    class Meta:
        model = ExportJob
        fields = (
            "id", "version", "format", "options", "filters", "file_name", "file_bytes", "file_hash", "row_count",
            "dropped", "ready", "created_at", "expires_at", "job",
        )  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(
    examples=[OpenApiExample("Version 2 as JSON Lines", {"format": "jsonl", "version": 2}, request_only=True)]
)
class NewExportSerializer(serializers.Serializer[Any]):
    """What goes out and how."""

    format = serializers.CharField(max_length=20)
    version = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**31 - 1)
    split = serializers.ChoiceField(choices=Split.choices, required=False, allow_null=True, allow_blank=True)
    options = serializers.DictField(child=serializers.CharField(), required=False)

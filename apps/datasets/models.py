"""Tables of the datasets room: datasets, examples with history, imports, exports, frozen versions, corrections."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from core.jobs.models import Job
from core.jobs.states import State
from core.words import WordsField, WordsJSONField


class Kind(models.TextChoices):
    """What a record of a dataset says; `engine.specs.records` holds the fields."""

    CLASSIFICATION = "classification", _("Classification")
    SPANS = "spans", _("Token spans")
    PAIRS = "pairs", _("Text pairs")
    QA = "qa", _("Question answering")
    CHAT = "chat", _("Chat")
    PREFERENCE = "preference", _("Preference pairs")
    CORPUS = "corpus", _("Plain corpus")


class Split(models.TextChoices):
    """The part of a dataset an example is in."""

    NONE = "", _("No split")
    TRAIN = "train", _("Train")
    DEV = "dev", _("Dev")
    TEST = "test", _("Test")


class Dataset(models.Model):
    """A named collection of examples of one kind."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=120)
    description = models.TextField(max_length=5000, blank=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    multi_label = models.BooleanField(default=False)
    labels = ArrayField(models.CharField(max_length=200), default=list, blank=True)  # in the order people gave them
    language = models.CharField(max_length=20, blank=True)
    example_count = models.BigIntegerField(default=0)  # not deleted; moved in the same transaction as the rows
    revision = models.BigIntegerField(default=0)  # grows with every change of the examples
    next_version = models.PositiveIntegerField(default=1)
    split_settings = models.JSONField(default=dict, blank=True)  # method, shares, seed, group_key of the last split
    profile = models.JSONField(default=dict, blank=True)
    profile_revision = models.BigIntegerField(null=True, blank=True)
    profile_job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    split_job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="dataset_workspace")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "name"], name="dataset_name_once"),
            models.CheckConstraint(condition=models.Q(kind__in=Kind.values), name="dataset_kind_known"),
            models.CheckConstraint(condition=models.Q(example_count__gte=0), name="dataset_count_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_labels(self) -> bool:
        """Whether people label examples of this kind."""
        return self.kind in {Kind.CLASSIFICATION, Kind.SPANS}


class Example(models.Model):
    """One record of a dataset; `record` is canonical and without its meta, which stands beside it."""

    # DO_NOTHING here is ON DELETE CASCADE in the database (migration 0002): Django would load every row first
    dataset = models.ForeignKey(Dataset, models.DO_NOTHING, related_name="examples", db_index=False)
    external_id = models.CharField(max_length=500, null=True, blank=True)
    record = models.JSONField()
    meta = models.JSONField(default=dict, blank=True)
    text = models.TextField()  # what lists show and search looks at: the first 20,000 characters
    labels = ArrayField(models.TextField(), default=list, blank=True)  # each label once, for filters
    split = models.CharField(max_length=10, choices=Split.choices, default=Split.NONE, blank=True)
    content_hash = models.CharField(max_length=64)
    occurrence = models.PositiveIntegerField(default=1)  # the n-th equal record without an external id
    search = SearchVectorField(null=True)
    length = models.PositiveIntegerField(default=0)  # characters of the whole text
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["dataset", "id"], condition=models.Q(deleted_at=None), name="example_page"),
            models.Index(fields=["dataset", "split", "id"], condition=models.Q(deleted_at=None), name="example_split"),
            GinIndex(fields=["dataset", "labels"], name="example_labels"),
            GinIndex(fields=["dataset", "search"], name="example_search"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dataset", "external_id"],
                condition=models.Q(external_id__isnull=False),
                name="example_external_id_once",
            ),
            models.UniqueConstraint(
                fields=["dataset", "content_hash", "occurrence"],
                condition=models.Q(external_id=None),
                name="example_content_once",
            ),
            models.CheckConstraint(condition=models.Q(split__in=Split.values), name="example_split_known"),
        ]

    def __str__(self) -> str:
        return self.text[:60]

    @property
    def whole_record(self) -> dict[str, Any]:
        """The canonical record with its meta, as formats and hashes want it."""
        return {**self.record, "meta": self.meta} if self.meta else dict(self.record)


class ExampleRevision(models.Model):
    """What an example was before a change; rows are only ever added."""

    example = models.ForeignKey(Example, models.DO_NOTHING, related_name="revisions", db_index=False)
    revision = models.PositiveIntegerField()  # the number the example had before
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    source = models.CharField(max_length=20)  # edit | bulk | import | api | delete | restore
    record = models.JSONField()
    meta = models.JSONField(default=dict, blank=True)
    split = models.CharField(max_length=10, blank=True)
    deleted = models.BooleanField(default=False)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["example", "-id"], name="example_revision_example")]

    def __str__(self) -> str:
        return f"revision {self.revision} of example {self.example_id}"


class Source(models.TextChoices):
    """Where an import's rows come from."""

    UPLOAD = "upload", _("Upload")
    URL = "url", pgettext_lazy("web", "Address")
    REQUESTS = "requests", _("Requests to model versions")


class ImportJob(models.Model):
    """A file on its way into a dataset; without a job it waits for a person to check the columns."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="imports")
    job = models.OneToOneField(Job, models.CASCADE, null=True, blank=True, related_name="import_job")
    source = models.CharField(max_length=10, choices=Source.choices)
    url = models.CharField(max_length=2000, blank=True)
    file_name = models.CharField(max_length=255, blank=True)
    file_path = models.CharField(max_length=500, blank=True)  # below HOME; empty once the file is cleaned up
    file_bytes = models.BigIntegerField(default=0)
    file_hash = models.CharField(max_length=64, blank=True)  # sha256
    options = models.JSONField(default=dict, blank=True)  # formats.options.ReadOptions
    mapping = models.JSONField(default=dict, blank=True)  # formats.mapping.Mapping
    columns = models.JSONField(default=list, blank=True)
    origin = models.JSONField(default=dict, blank=True)  # of rows that another room gave: how they were chosen
    dry_run = models.BooleanField(default=False)
    position = models.JSONField(default=list, blank=True)  # offset, row, line: where to go on
    new_count = models.BigIntegerField(default=0)
    updated_count = models.BigIntegerField(default=0)
    unchanged_count = models.BigIntegerField(default=0)
    bad_count = models.BigIntegerField(default=0)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["dataset", "-id"], name="import_dataset")]

    def __str__(self) -> str:
        return self.file_name or self.url or f"import {self.pk}"

    @property
    def row_count(self) -> int:
        """Rows dealt with so far."""
        return self.new_count + self.updated_count + self.unchanged_count + self.bad_count

    @property
    def file_gone(self) -> bool:
        """Whether the file was removed after its retention period."""
        return not self.file_path


class BadRow(models.Model):
    """One row that was refused: its number, why, and how it begins."""

    import_job = models.ForeignKey(ImportJob, models.CASCADE, related_name="bad_rows", db_index=False)
    row = models.BigIntegerField()
    line = models.BigIntegerField(default=0)
    code = models.CharField(max_length=60)
    field = models.CharField(max_length=200, blank=True)
    message = WordsField()
    snippet = models.TextField(blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["import_job", "id"], name="bad_row_import")]

    def __str__(self) -> str:
        return f"row {self.row}: {self.message}"


class ImportSeen(models.Model):
    """How often a running import has met a record or an id; removed when the import ends.

    It makes the occurrence number of equal rows exact across batches and restarts in constant memory.
    """

    import_job = models.ForeignKey(ImportJob, models.CASCADE, related_name="+")
    key = models.CharField(max_length=70)
    count = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["import_job", "key"], name="import_seen_once")]

    def __str__(self) -> str:
        return self.key


class FrozenVersions(models.Manager["DatasetVersion"]):
    """Only versions that are whole and frozen."""

    def get_queryset(self) -> models.QuerySet["DatasetVersion"]:
        """Without those still being written."""
        return super().get_queryset().filter(frozen_at__isnull=False)


class DatasetVersion(models.Model):
    """A frozen state of a dataset: a Parquet file, its content hash, counts; a trigger refuses changes.

    `objects` gives frozen ones only; `everything` also those whose job is not done.
    """

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="versions")
    job = models.OneToOneField(Job, models.SET_NULL, null=True, blank=True, related_name="dataset_version")
    number = models.PositiveIntegerField()
    note = models.CharField(max_length=500, blank=True)
    dataset_revision = models.BigIntegerField(default=0)  # the dataset's revision that was frozen
    content_hash = models.CharField(max_length=64, blank=True)
    path = models.CharField(max_length=500, blank=True)  # below HOME
    file_bytes = models.BigIntegerField(default=0)
    file_hash = models.CharField(max_length=64, blank=True)  # sha256 of the Parquet file
    row_count = models.BigIntegerField(default=0)
    counts = models.JSONField(default=dict, blank=True)  # {"splits": {...}, "labels": {...}, "label_splits": {...}}
    labels = ArrayField(models.CharField(max_length=200), default=list, blank=True)
    previous = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    profile = models.JSONField(default=dict, blank=True)  # of the dataset, when it was current at the freeze
    diff = models.JSONField(default=dict, blank=True)  # to the previous version: counts and the first ids of each kind
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    frozen_at = models.DateTimeField(null=True, blank=True)

    objects = FrozenVersions()
    everything: ClassVar[models.Manager["DatasetVersion"]] = models.Manager()

    class Meta:
        base_manager_name = "everything"
        constraints: ClassVar = [models.UniqueConstraint(fields=["dataset", "number"], name="dataset_version_once")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"


class ExportJob(models.Model):
    """A dataset or a frozen version on its way out as a file that expires."""

    dataset = models.ForeignKey(Dataset, models.CASCADE, related_name="exports")
    version = models.ForeignKey(DatasetVersion, models.CASCADE, null=True, blank=True, related_name="exports")
    job = models.OneToOneField(Job, models.CASCADE, related_name="export_job")
    format = models.CharField(max_length=20)
    options = models.JSONField(default=dict, blank=True)  # formats.writers.WriteOptions
    filters = models.JSONField(default=dict, blank=True)  # of a dataset export: split, label
    path = models.CharField(max_length=500, blank=True)  # below HOME; empty once expired
    file_name = models.CharField(max_length=255, blank=True)
    file_bytes = models.BigIntegerField(default=0)
    file_hash = models.CharField(max_length=64, blank=True)
    row_count = models.BigIntegerField(default=0)
    dropped = WordsJSONField(default=list, blank=True)  # sentences on what the format could not keep
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["dataset", "-id"], name="export_dataset")]

    def __str__(self) -> str:
        return self.file_name or f"export {self.pk}"

    @property
    def ready(self) -> bool:
        """Whether the file can be downloaded."""
        return self.job.state == State.SUCCEEDED and bool(self.path)


class Correction(models.Model):
    """What a person said is right about a text met elsewhere: plain values, so that it outlives its source.

    Rows are only added; of one text and aspect the newest is current. One without a label takes back the one before.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="corrections")
    text_hash = models.CharField(max_length=64)
    text = models.TextField()
    task = models.CharField(
        max_length=20, default="classification", db_default="classification"
    )  # what it is a label for
    aspect = models.CharField(
        max_length=200, blank=True, default="", db_default=""
    )  # as the room that writes it names what it speaks of: "sentiment", "topic:12", "target:7"
    label = models.CharField(max_length=200, blank=True)
    previous_label = models.CharField(max_length=200, blank=True, default="", db_default="")  # what a version had said
    model_version = models.CharField(max_length=160, blank=True, default="", db_default="")  # which, by its name then
    model_version_id = models.BigIntegerField(null=True)
    note = models.CharField(max_length=500, blank=True, default="", db_default="")
    is_current = models.BooleanField(default=True, db_default=True)
    author = models.CharField(max_length=300)
    author_id = models.BigIntegerField(null=True)
    source = models.CharField(max_length=60)  # e.g. "sentiment", "bots"
    source_id = models.CharField(max_length=60, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "text_hash"], name="correction_text")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "text_hash", "aspect"],
                condition=models.Q(is_current=True),
                name="correction_current_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.label}: {self.text[:60]}"

    @property
    def number(self) -> str:
        """The last part of `source_id`: the number of its text in the room that wrote it."""
        return self.source_id.rsplit("/", 1)[-1]


class FilePurpose(models.TextChoices):
    """What a file of the OpenAI-compatible API is for."""

    FINE_TUNE = "fine-tune"
    FINE_TUNE_RESULTS = "fine-tune-results"
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


class FileState(models.TextChoices):
    """Whether a file was looked into."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


class ApiFile(models.Model):
    """A file that came, or goes, by /v1/files."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="api_files")
    purpose = models.CharField(max_length=20, choices=FilePurpose.choices)
    name = models.CharField(max_length=255)
    path = models.CharField(max_length=500)  # below HOME
    bytes = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=FileState.choices, default=FileState.PROCESSED)
    problem = WordsField(blank=True)  # why its state is error
    kind = models.CharField(max_length=20, choices=Kind.choices, blank=True)  # of a fine-tune file: chat or preference
    row_count = models.BigIntegerField(null=True)
    job = models.OneToOneField(Job, models.SET_NULL, null=True, blank=True, related_name="api_file")  # looks into it
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["workspace", "purpose", "-id"], name="api_file_purpose"),
            models.Index(fields=["expires_at"], condition=models.Q(expires_at__isnull=False), name="api_file_expiry"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def ends_at(self) -> datetime | None:
        """When it goes by itself: by its own wish or the workspace's retention of files, whichever is sooner."""
        days = self.workspace.file_retention_days
        kept_until = None if days is None else self.created_at + timedelta(days=days)
        return min((each for each in (self.expires_at, kept_until) if each is not None), default=None)

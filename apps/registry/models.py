"""Tables of the registry: base models, families, frozen versions, aliases with history, approvals and cards."""

from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.registry.tasks import PAGES, TaskPage
from apps.registry.tasks import Task as Task
from core.jobs.models import Job
from core.storage import home


class BaseKind(models.TextChoices):
    """Where the weights of a base model come from."""

    PACKAGE = "package", _("Installed package")
    FOLDER = "folder", _("Folder on the server")
    HUB = "hub", _("Hub id")


class BaseModel(models.Model):
    """Pretrained weights that training starts from; without a workspace it is built in and seen by all."""

    FAMILIES: ClassVar = [("encoder", _("Encoder")), ("decoder", _("Decoder")), ("seq2seq", _("Encoder and decoder"))]

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, null=True, related_name="base_models")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=BaseKind.choices)
    reference = models.CharField(max_length=300)  # package name, folder or hub id
    revision = models.CharField(max_length=80, blank=True)
    task_family = models.CharField(max_length=20, choices=FAMILIES)
    languages = ArrayField(models.CharField(max_length=10), default=list, blank=True)
    licence = models.CharField(max_length=80, blank=True)
    note = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("base model")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["workspace", "kind", "reference", "revision"], nulls_distinct=False, name="base_model_once"
            ),
            models.CheckConstraint(condition=models.Q(kind__in=BaseKind.values), name="base_model_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_built_in(self) -> bool:
        """Whether it comes with the installation."""
        return self.workspace_id is None

    def as_spec(self) -> dict[str, str]:
        """The reference as a training spec writes it."""
        return {"kind": self.kind, "name": self.reference, "revision": self.revision}


FAMILY_NAME_CHARACTERS = 240  # a name that fine-tuning makes holds the names of base, workspace and suffix


class ModelFamily(models.Model):
    """The name under which versions are counted; `last_number` never goes back, so numbers are never reused."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="model_families")
    name = models.CharField(max_length=FAMILY_NAME_CHARACTERS)
    task = models.CharField(max_length=30)
    last_number = models.PositiveIntegerField(default=0)
    protected_aliases = ArrayField(models.SlugField(max_length=40), default=list, blank=True)  # move with evidence only
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("model family")
        constraints: ClassVar = [models.UniqueConstraint("workspace", Lower("name"), name="model_family_name_once")]

    def __str__(self) -> str:
        return self.name


class Source(models.TextChoices):
    """How a version came to be."""

    TRAINING = "training", _("Training")
    IMPORT = "import", _("Import")
    REMOTE = "remote", _("Another server")


class VersionState(models.TextChoices):
    """Whether the files are what was registered."""

    READY = "ready", _("Ready")
    DAMAGED = "damaged", _("Damaged")


class ModelVersion(models.Model):
    """A frozen model: files with hashes, labels, figures and everything needed to make it again.

    A trigger refuses changes of all columns but description, state, verified_at and created_by.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="model_versions")
    family = models.ForeignKey(ModelFamily, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=10, choices=Source.choices)
    origin = models.CharField(max_length=80, blank=True)  # names what made it, e.g. "training:12"; registered once
    recipe = models.CharField(max_length=40)
    task = models.CharField(max_length=30)
    labels = ArrayField(models.TextField(), default=list)
    multi_label = models.BooleanField(default=False)
    folder = models.CharField(max_length=300)  # relative to HOME
    files = models.JSONField(default=list)  # [{"path", "bytes", "sha256"}], sorted by path
    content_hash = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField(default=0)
    parameter_count = models.BigIntegerField(null=True)
    metrics = models.JSONField(default=dict)  # split -> figures with intervals
    samples = models.JSONField(default=list)  # rows of the test split, wrong and confident first
    spec = models.JSONField(default=dict)
    spec_hash = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField(null=True)
    environment = models.JSONField(default=dict)
    template_hash = models.CharField(max_length=64, blank=True)
    timings = models.JSONField(default=dict)  # seconds by phase
    dataset_version = models.ForeignKey(
        "datasets.DatasetVersion", models.RESTRICT, null=True, related_name="model_versions"
    )
    dataset_hash = models.CharField(max_length=64, blank=True)
    base_model = models.ForeignKey(BaseModel, models.RESTRICT, null=True, related_name="versions")
    parent = models.ForeignKey("self", models.RESTRICT, null=True, related_name="children")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    description = models.TextField(blank=True)
    state = models.CharField(max_length=10, choices=VersionState.choices, default=VersionState.READY)
    verified_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("model version")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["family", "number"], name="model_version_number_once"),
            models.UniqueConstraint(
                fields=["workspace", "origin"], condition=~models.Q(origin=""), name="model_version_origin_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="model_version_workspace")]

    def __str__(self) -> str:
        return f"{self.family.name} v{self.number}"

    @property
    def is_remote(self) -> bool:
        """Whether another server answers for it: its folder says where, and holds no weights."""
        return self.source == Source.REMOTE

    @property
    def path(self) -> Path:
        """The folder on disk."""
        return home() / self.folder

    @property
    def task_page(self) -> TaskPage:
        """What pages show of versions of this task; of an unknown one as of a classifier."""
        return PAGES.get(self.task, PAGES[Task.CLASSIFICATION])

    @property
    def weights_hash(self) -> str:
        """sha256 of the weights alone, which two equal runs share."""
        return next((str(file["sha256"]) for file in self.files if file["path"] == "model.safetensors"), "")

    @property
    def report_split(self) -> str:
        """The split whose figures stand for the version: test, else dev, else the first."""
        return next((name for name in ("test", "dev") if name in self.metrics), next(iter(self.metrics), ""))

    @property
    def report(self) -> dict[str, Any]:
        """The figures of `report_split`; empty for a version that was never measured."""
        found: dict[str, Any] = self.metrics.get(self.report_split, {})
        return found

    @property
    def headline(self) -> dict[str, dict[str, float]]:
        """Figure name -> {"value", "low", "high"}."""
        found: dict[str, dict[str, float]] = self.report.get("headline", {})
        return found


class Alias(models.Model):
    """A movable name of a family, such as champion; it alone says which version is meant."""

    family = models.ForeignKey(ModelFamily, models.CASCADE, related_name="aliases")
    name = models.SlugField(max_length=40)
    version = models.ForeignKey(ModelVersion, models.RESTRICT, related_name="aliases")
    moved_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("alias")
        constraints: ClassVar = [models.UniqueConstraint(fields=["family", "name"], name="alias_once")]

    def __str__(self) -> str:
        return f"{self.family.name}@{self.name}"


class MoveKind(models.TextChoices):
    """What was done to an alias."""

    MOVE = "move", _("Moved")
    ROLLBACK = "rollback", _("Rolled back")
    REMOVE = "remove", _("Removed")


class AliasMove(models.Model):
    """One move of an alias, never changed: a trigger refuses UPDATE and DELETE.

    Versions are kept as ids and numbers, so that the history outlives them.
    """

    family = models.ForeignKey(ModelFamily, models.CASCADE, related_name="alias_moves")
    alias = models.CharField(max_length=40)
    kind = models.CharField(max_length=10, choices=MoveKind.choices)
    from_version_id = models.BigIntegerField(null=True)
    from_number = models.PositiveIntegerField(null=True)
    to_version_id = models.BigIntegerField(null=True)
    to_number = models.PositiveIntegerField(null=True)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=300)
    by_user_id = models.BigIntegerField(null=True)
    reason = models.TextField(blank=True)
    evidence = models.JSONField(default=dict)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["family", "-id"], name="alias_move_family")]

    def __str__(self) -> str:
        return f"{self.alias}: {self.from_number} -> {self.to_number}"


class Decision(models.TextChoices):
    """Where a request for approval stands."""

    OPEN = "open", _("Waiting")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")


class Approval(models.Model):
    """A request that somebody looks at a version (and lets an alias name it), and the answer."""

    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="approvals")
    alias = models.SlugField(max_length=40, blank=True)  # moves to the version once it is approved
    reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    decision = models.CharField(max_length=10, choices=Decision.choices, default=Decision.OPEN)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    is_self_approval = models.BooleanField(default=False)
    note = models.TextField(blank=True)
    evidence = models.JSONField(default=dict)  # what the gate found when it was approved; empty without a gate

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version"], condition=models.Q(decision="open"), name="approval_open_once"),
            models.CheckConstraint(condition=models.Q(decision__in=Decision.values), name="approval_decision_known"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.decision}"


class CardRevision(models.Model):
    """One state of a version's card: what the platform knows, and what people wrote beside it."""

    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="card_revisions")
    number = models.PositiveIntegerField()
    generated = models.TextField()
    intended_use = models.TextField(blank=True)
    limits = models.TextField(blank=True)
    licence = models.CharField(max_length=120, blank=True)
    privacy = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["version", "number"], name="card_revision_once")]

    def __str__(self) -> str:
        return f"{self.version} card {self.number}"


class ExportKind(models.TextChoices):
    """What a version leaves as."""

    ARCHIVE = "archive", _("Archive, to be imported again")
    MERGED = "merged", _("Hugging Face folder")
    ADAPTER = "adapter", _("Adapter")
    ONNX = "onnx", _("ONNX")
    GGUF = "gguf", _("GGUF for llama.cpp")


class VersionExport(models.Model):
    """A version being packed as a zip; every kind but the archive is converted, and measured against the version."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="version_export")
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="exports")
    kind = models.CharField(max_length=10, choices=ExportKind.choices, default=ExportKind.ARCHIVE)
    parity = models.JSONField(default=dict)  # as engine.export measures it; empty for an archive and until measured
    path = models.CharField(max_length=300, blank=True)  # relative to HOME; empty until done
    bytes = models.BigIntegerField(null=True)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(kind__in=ExportKind.values), name="version_export_kind_known")
        ]

    def __str__(self) -> str:
        return f"export of {self.version}"


class VersionImport(models.Model):
    """An uploaded zip on its way to becoming a version."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="version_import")
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=80)
    filename = models.CharField(max_length=200)
    upload = models.CharField(max_length=300)  # relative to HOME
    description = models.TextField(blank=True)
    version = models.ForeignKey(ModelVersion, models.SET_NULL, null=True, related_name="imports")

    def __str__(self) -> str:
        return f"import of {self.filename}"


class VersionCheck(models.Model):
    """A comparison of a version's files with their registered hashes."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="version_check")
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="checks")
    problems = models.JSONField(null=True)  # [{"path", "problem"}]; null until looked at

    def __str__(self) -> str:
        return f"check of {self.version}"

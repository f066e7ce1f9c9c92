"""Training jobs, their metric points and checkpoints."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.registry.options import RECIPES
from core.jobs.models import Job
from core.jobs.states import State
from core.words import WordsJSONField

"""The recipes in a word or two; one that is not named here goes by its code."""


class TrainingJob(models.Model):
    """One run of a recipe over a frozen dataset version; the core job holds its state."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="training_jobs")
    job = models.OneToOneField(Job, models.CASCADE, related_name="training")
    name = models.CharField(max_length=120)
    recipe = models.CharField(max_length=20)
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64)
    dataset_version = models.ForeignKey("datasets.DatasetVersion", models.PROTECT, related_name="training_jobs")
    family_name = models.CharField(max_length=80)  # the finished version is registered under this name
    threads = models.PositiveSmallIntegerField(default=0)  # fixed at the first attempt: resume is bit-equal
    micro_batch = models.PositiveIntegerField(null=True, blank=True)  # halved after running out of memory
    model_version = models.OneToOneField(
        "registry.ModelVersion", models.SET_NULL, null=True, blank=True, related_name="training_job"
    )
    reproduced_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="repeats")
    problems = WordsJSONField(default=list, blank=True)
    summary = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="training_workspace")]

    def __str__(self) -> str:
        return self.name

    @property
    def recipe_name(self) -> str:
        """The recipe for people."""
        return str(RECIPES.get(self.recipe, self.recipe))

    @property
    def succeeded(self) -> bool:
        """Whether the run ended well."""
        return self.job.state == State.SUCCEEDED


class MetricPoint(models.Model):
    """One measured value; told again after a resume it replaces itself."""

    training_job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="points")
    name = models.CharField(max_length=60)
    step = models.PositiveIntegerField()
    value = models.FloatField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["training_job", "name", "step"], name="metric_point_once")
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.step}={self.value}"


class Checkpoint(models.Model):
    """A whole checkpoint on disk, inserted under the live lease only."""

    training_job = models.ForeignKey(TrainingJob, models.CASCADE, related_name="checkpoints")
    token = models.BigIntegerField()
    step = models.PositiveIntegerField()
    path = models.CharField(max_length=300)  # below LINGXI_HOME
    metrics = models.JSONField(default=dict)
    is_best = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["training_job", "token", "step"], name="checkpoint_once")
        ]

    def __str__(self) -> str:
        return f"step {self.step}"

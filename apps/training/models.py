"""Training jobs, their metric points and checkpoints."""

from dataclasses import dataclass
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.registry.models import FAMILY_NAME_CHARACTERS
from apps.registry.options import RECIPES
from core.jobs.models import Job
from core.jobs.states import State
from core.words import WordsJSONField
from engine.specs.recipes import LOWER_IS_BETTER


@dataclass(frozen=True)
class Compared:
    """One figure that was estimated before the start and measured at the end."""

    name: str
    estimated: float
    measured: float | None

    @property
    def error_share(self) -> float | None:
        """Estimated over measured, minus one: above 0 the estimate was too high."""
        return self.estimated / self.measured - 1 if self.measured else None


class TrainingJob(models.Model):
    """One run of a recipe over a frozen dataset version; the core job holds its state."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="training_jobs")
    job = models.OneToOneField(Job, models.CASCADE, related_name="training")
    name = models.CharField(max_length=120)
    recipe = models.CharField(max_length=20)
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64)
    dataset_version = models.ForeignKey("datasets.DatasetVersion", models.PROTECT, related_name="training_jobs")
    base_version = models.ForeignKey(
        "registry.ModelVersion", models.PROTECT, null=True, blank=True, related_name="continued_by"
    )  # the version it starts from
    family_name = models.CharField(
        max_length=FAMILY_NAME_CHARACTERS
    )  # the finished version is registered under this name
    threads = models.PositiveSmallIntegerField(default=0)  # fixed at the first attempt: resume is bit-equal
    micro_batch = models.PositiveIntegerField(null=True, blank=True)  # halved after running out of memory
    model_version = models.OneToOneField(
        "registry.ModelVersion", models.SET_NULL, null=True, blank=True, related_name="training_job"
    )
    sweep = models.ForeignKey("Sweep", models.SET_NULL, null=True, blank=True, related_name="runs")
    trial_number = models.PositiveIntegerField(null=True, blank=True)  # of its sweep, from 0
    trial = models.JSONField(default=dict, blank=True)  # the options that the sweep chose for it
    pruned_at_epoch = models.PositiveIntegerField(null=True, blank=True)
    reproduced_from = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="repeats")
    problems = WordsJSONField(default=list, blank=True)
    estimate = models.JSONField(default=dict, blank=True)  # what the check before the start said, see engine.preflight
    seen = models.JSONField(default=dict, blank=True)  # the first rows as the model reads them, see engine.seen
    summary = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="training_workspace")]
        constraints: ClassVar = [models.UniqueConstraint(fields=["sweep", "trial_number"], name="trial_once")]

    def __str__(self) -> str:
        return self.name

    @property
    def recipe_name(self) -> str:
        """The recipe for people."""
        return str(RECIPES.get(self.recipe, self.recipe))

    @property
    def compared(self) -> list[Compared]:
        """Estimate beside measurement, as far as either is known."""
        said, found = self.estimate.get("estimate", {}), self.summary
        pairs = {name: (said.get(name), found.get(name)) for name in ("memory_bytes", "seconds", "steps")}
        return [Compared(name, *pair) for name, pair in pairs.items() if pair[0] is not None]

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


class Preflight(models.Model):
    """The check of one recipe's options on one dataset version, done by a worker before anything is started."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="preflights")
    job = models.OneToOneField(Job, models.CASCADE, related_name="preflight")
    recipe = models.CharField(max_length=20)
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64)  # covers recipe, options and base model
    dataset_version = models.ForeignKey("datasets.DatasetVersion", models.CASCADE, related_name="preflights")
    result = WordsJSONField(default=dict, blank=True)  # as engine.preflight tells it
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["workspace", "spec_hash", "dataset_version"], name="preflight_once")
        ]

    def __str__(self) -> str:
        return f"{self.recipe} {self.spec_hash[:12]} on {self.dataset_version_id}"

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The problems that forbid a start."""
        return [found for found in self.result.get("problems", []) if found["severity"] == "error"]

    @property
    def is_done(self) -> bool:
        """Whether the check was made; a job that failed has told why."""
        return bool(self.result)


class Sweep(models.Model):
    """A search for the best options of a recipe: child training jobs within a space; the core job decides what is next."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="sweeps")
    job = models.OneToOneField(Job, models.CASCADE, related_name="sweep")
    name = models.CharField(max_length=120)
    recipe = models.CharField(max_length=20)
    spec = models.JSONField()  # what all runs share
    space = models.JSONField()  # option -> values or range, see engine.specs.search
    strategy = models.CharField(max_length=10)
    budget = models.PositiveSmallIntegerField()  # runs at most
    objective = models.CharField(max_length=40)  # a dev metric of the recipe, without "dev_"
    pruning = models.BooleanField(default=True)  # stop runs that fall behind others at the same epoch (ASHA)
    parallel = models.PositiveSmallIntegerField(default=1)
    seed = models.PositiveIntegerField(default=17)
    dataset_version = models.ForeignKey("datasets.DatasetVersion", models.PROTECT, related_name="sweeps")
    family_name = models.CharField(max_length=80)
    calls = models.PositiveIntegerField(default=0)  # how often a run that ended has asked for the next decision
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="sweep_workspace")]

    def __str__(self) -> str:
        return self.name

    @property
    def lower_is_better(self) -> bool:
        """The direction of the objective."""
        return self.objective in LOWER_IS_BETTER


AUTO = "auto"  # a hyperparameter that the recipe decides


class FineTuningJob(models.Model):
    """A job of /v1/fine_tuning/jobs: files become a frozen dataset version, and that an ordinary training job.

    `job` imports, freezes and starts the training; from then on the training's own job says where it stands.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="fine_tuning_jobs")
    job = models.OneToOneField(Job, models.CASCADE, related_name="fine_tuning")
    training = models.OneToOneField(
        TrainingJob, models.CASCADE, null=True, blank=True, related_name="fine_tuning"
    )  # once the data is frozen
    dataset = models.ForeignKey(
        "datasets.Dataset", models.SET_NULL, null=True, blank=True, related_name="fine_tuning_jobs"
    )
    model = models.CharField(max_length=300)  # as the caller wrote it
    base = models.JSONField()  # what it named, as a training spec writes it
    family_name = models.CharField(max_length=FAMILY_NAME_CHARACTERS)  # ft:<base>:<workspace>:<suffix>
    method = models.CharField(max_length=20)  # supervised | dpo
    hyperparameters = models.JSONField()  # n_epochs, batch_size, learning_rate_multiplier, beta: a number or "auto"
    suffix = models.CharField(max_length=64, blank=True)
    seed = models.BigIntegerField()
    metadata = models.JSONField(default=dict, blank=True)
    integrations = models.JSONField(default=list, blank=True)
    training_file = models.BigIntegerField()  # numbers of files, which may be deleted once they were read
    validation_file = models.BigIntegerField(null=True, blank=True)
    result_file = models.ForeignKey(
        "datasets.ApiFile", models.SET_NULL, null=True, blank=True, related_name="fine_tuning_jobs"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="fine_tuning_workspace")]

    def __str__(self) -> str:
        return self.family_name

    @property
    def at_work(self) -> Job:
        """The job that says where it stands now."""
        return self.training.job if self.training else self.job

    @property
    def status(self) -> str:
        """The state in OpenAI's words, which know no pause: a paused training waits like a queued one."""
        state = self.at_work.state
        if self.training is None:
            return str(state) if state in {State.FAILED, State.CANCELLED} else "validating_files"
        return State.QUEUED.value if state == State.PAUSED else str(state)

"""Tables of the evaluation room: evaluations, rows per example, comparisons, suites of checks and required suites."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.registry.models import ModelFamily, ModelVersion
from core.jobs.models import Job

TEXT_KEPT = 2_000
FORGETTING = "forgetting"  # the figure of a check that is held against the tasks of a version's lineage


class EvaluationJob(models.Model):
    """One model version measured on one frozen dataset version (or one split of it)."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="evaluation")
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="evaluations")
    model_version = models.ForeignKey(ModelVersion, models.RESTRICT, related_name="evaluations")
    dataset_version = models.ForeignKey(DatasetVersion, models.RESTRICT, related_name="evaluations")
    split = models.CharField(max_length=10, blank=True)  # empty: all rows
    seed = models.BigIntegerField(default=17)
    max_new_tokens = models.PositiveIntegerField(default=128)  # longest answer a chat version writes
    metrics = models.JSONField(default=dict)  # as engine.evaluate makes them; empty until done
    row_count = models.PositiveIntegerField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("evaluation")
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="evaluation_workspace")]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def headline(self) -> dict[str, dict[str, float]]:
        """Figure name -> {"value", "low", "high"}; empty until done."""
        found: dict[str, dict[str, float]] = self.metrics.get("headline", {})
        return found

    @property
    def is_done(self) -> bool:
        """Whether figures and rows are there."""
        return bool(self.metrics)

    @property
    def is_corpus(self) -> bool:
        """Whether plain texts were measured: their rows hold no answers."""
        return "bytes" in self.metrics


class ExampleResult(models.Model):
    """How one example fared in one evaluation.

    A classifier fills gold, predicted and the probability of its decision; a tagger also the spans themselves, and gold and
    predicted hold their labels; a reader gold_text, predicted_text and f1; a chat version gold_text, predicted_text,
    answer_tokens and the geometric mean probability of a token of the given answers. Of a version that makes vectors a row
    is a query: gold_text is the most similar wanted text, predicted_text that of all, probability its similarity; of one
    that scores pairs the same after re-ranking, with first_at from before. On preferences gold_text is the chosen answer,
    predicted_text the rejected one, probability that of preferring the chosen one, which is right when it gained more.
    `rank` orders wrong rows first, of a classifier the surest (1 - probability; right ones 3 - probability), of a chat
    version those whose given answer it finds least likely (probability; right ones 2 + probability).
    """

    evaluation = models.ForeignKey(EvaluationJob, models.CASCADE, related_name="rows", db_index=False)
    example_id = models.BigIntegerField()
    text = models.TextField()  # the first TEXT_KEPT characters
    gold = ArrayField(models.TextField())
    predicted = ArrayField(models.TextField())
    gold_text = models.TextField(default="", db_default="")  # the first TEXT_KEPT characters, as of predicted_text
    predicted_text = models.TextField(default="", db_default="")
    gold_spans = models.JSONField(null=True)  # [{"start", "end", "label"}], code points, as of predicted_spans
    predicted_spans = models.JSONField(null=True)
    answer_tokens = models.PositiveIntegerField(null=True)
    f1 = models.FloatField(null=True)  # of a reader: of the words of its answer
    found_at = models.PositiveIntegerField(null=True)  # of a query: the place of the first wanted text, from 1
    first_at = models.PositiveIntegerField(null=True)  # of a re-ranked query: the place in the search before
    candidates = models.JSONField(null=True)  # of a query: the first texts, [{"text", "score", "wanted"}]
    probability = models.FloatField()
    loss = models.FloatField()
    correct = models.BooleanField()
    rank = models.FloatField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["evaluation", "example_id"], name="example_result_once")
        ]
        indexes: ClassVar = [
            models.Index(fields=["evaluation", "rank", "id"], name="example_result_rank"),
            models.Index(fields=["evaluation", "loss", "-id"], name="example_result_loss"),
            models.Index(fields=["evaluation", "probability", "id"], name="example_result_probability"),
        ]

    def __str__(self) -> str:
        return f"example {self.example_id}"


class Comparison(models.Model):
    """Two evaluations on the same rows, tested against each other."""

    job = models.OneToOneField(Job, models.CASCADE, related_name="comparison")
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    first = models.ForeignKey(EvaluationJob, models.CASCADE, related_name="+")
    second = models.ForeignKey(EvaluationJob, models.CASCADE, related_name="+")
    figures: Any = models.JSONField(default=dict)  # as engine.paired makes them; empty until done
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("comparison")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["first", "second"], name="comparison_once"),
            models.CheckConstraint(condition=~models.Q(first=models.F("second")), name="comparison_of_two"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Direction(models.TextChoices):
    """On which side of its threshold a figure is good."""

    AT_LEAST = ">=", _("at least")
    AT_MOST = "<=", _("at most")


class Bound(models.TextChoices):
    """What of a figure is held against the threshold."""

    VALUE = "value", _("the value")
    INTERVAL = "interval", _("the worse end of its interval")


class Suite(models.Model):
    """One revision of a named list of checks for one task.

    It is a draft until it is first run or required; then it is sealed: hashed, and a trigger refuses changes of it and
    of its checks. What should be different then is another revision under the same name.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="suites")
    name = models.CharField(max_length=80)
    revision = models.PositiveIntegerField(default=1)
    task = models.CharField(max_length=30)
    description = models.TextField(blank=True)
    content_hash = models.CharField(max_length=64, blank=True)  # of task, checks and the way figures are made
    sealed_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("evaluation suite")
        constraints: ClassVar = [
            models.UniqueConstraint("workspace", Lower("name"), "revision", name="suite_revision_once")
        ]

    def __str__(self) -> str:
        return f"{self.name} r{self.revision}"

    @property
    def is_sealed(self) -> bool:
        """Whether its checks can no longer change."""
        return self.sealed_at is not None


class SuiteCheck(models.Model):
    """One figure on one frozen split, and the threshold it must keep.

    Without data it bounds what a version may forget of the tasks of its lineage, as a difference of shares.
    """

    suite = models.ForeignKey(Suite, models.CASCADE, related_name="checks")
    position = models.PositiveIntegerField()
    dataset_version = models.ForeignKey(DatasetVersion, models.RESTRICT, null=True, related_name="suite_checks")
    split = models.CharField(max_length=10, blank=True)  # empty: all rows
    figure = models.CharField(max_length=60)  # a headline figure of the evaluation
    direction = models.CharField(max_length=2, choices=Direction.choices, default=Direction.AT_LEAST)
    threshold = models.FloatField()
    bound = models.CharField(max_length=10, choices=Bound.choices, default=Bound.VALUE)
    seed = models.BigIntegerField(default=17)  # of the bootstrap
    max_new_tokens = models.PositiveIntegerField(default=128)

    class Meta:
        verbose_name = _("check of a suite")
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["suite", "position"], name="suite_check_once"),
            models.CheckConstraint(condition=models.Q(direction__in=Direction.values), name="suite_check_direction"),
            models.CheckConstraint(
                condition=models.Q(dataset_version=None, figure=FORGETTING)
                | (models.Q(dataset_version__isnull=False) & ~models.Q(figure=FORGETTING)),
                name="suite_check_data",
            ),
            models.CheckConstraint(condition=models.Q(bound__in=Bound.values), name="suite_check_bound"),
        ]

    def __str__(self) -> str:
        return f"{self.figure} {self.direction} {self.threshold:g}"


class SuiteRun(models.Model):
    """A suite tried on a model version; both are frozen, so there is one run and it has one outcome."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    suite = models.ForeignKey(Suite, models.CASCADE, related_name="runs")
    model_version = models.ForeignKey(ModelVersion, models.CASCADE, related_name="suite_runs")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["suite", "model_version"], name="suite_run_once")]

    def __str__(self) -> str:
        return f"{self.suite} on {self.model_version}"


class SuiteResult(models.Model):
    """The evaluation that answers one check of a run; the verdict follows from its figures."""

    run = models.ForeignKey(SuiteRun, models.CASCADE, related_name="results")
    suite_check = models.ForeignKey(SuiteCheck, models.CASCADE, related_name="results")
    evaluation = models.ForeignKey(EvaluationJob, models.RESTRICT, related_name="suite_results")

    class Meta:
        verbose_name = _("result of a suite")
        constraints: ClassVar = [models.UniqueConstraint(fields=["run", "suite_check"], name="suite_result_once")]

    def __str__(self) -> str:
        return f"{self.run} #{self.suite_check_id}"


class Gate(models.Model):
    """The suite that a version must pass before a protected alias of its family may name it.

    Which aliases are protected stands with the family, where they are moved.
    """

    family = models.OneToOneField(ModelFamily, models.CASCADE, related_name="gate")
    suite = models.ForeignKey(Suite, models.RESTRICT, related_name="gates")

    class Meta:
        verbose_name = _("required suite")

    def __str__(self) -> str:
        return f"{self.family}: {self.suite}"

"""Tables of the evaluation room: evaluations, one row per example, paired comparisons."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.datasets.models import DatasetVersion
from apps.registry.models import ModelVersion
from core.jobs.models import Job

TEXT_KEPT = 2_000


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


class ExampleResult(models.Model):
    """How one example fared in one evaluation.

    A classifier fills gold, predicted and the probability of its decision; a chat version gold_text, predicted_text,
    answer_tokens and the geometric mean probability of a token of the given answers.
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
    answer_tokens = models.PositiveIntegerField(null=True)
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

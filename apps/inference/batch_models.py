"""Batches that came by /v1/batches: the state OpenAI's clients read, and one row for each request of their file.

Beside them, the rows of a batch prediction whose answers are being written.
"""

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.jobs.models import Job
from core.openai.ids import public_id
from core.words import WordsField, WordsJSONField


class BatchState(models.TextChoices):
    """Where a batch is, in OpenAI's words."""

    VALIDATING = "validating", _("Being checked")
    FAILED = "failed", _("Failed")
    IN_PROGRESS = "in_progress", _("Running")
    FINALIZING = "finalizing", _("Files are made")
    COMPLETED = "completed", _("Completed")
    EXPIRED = "expired", _("Expired")
    CANCELLING = "cancelling", _("Being cancelled")
    CANCELLED = "cancelled", _("Cancelled")


class ItemState(models.TextChoices):
    """Where one request of a batch is."""

    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("At work")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")


BATCH_ENDED = (BatchState.FAILED, BatchState.COMPLETED, BatchState.EXPIRED, BatchState.CANCELLED)


BADGES: dict[str, str] = {
    BatchState.VALIDATING: "queued",
    BatchState.FAILED: "failed",
    BatchState.COMPLETED: "succeeded",
    BatchState.EXPIRED: "failed",
    BatchState.CANCELLED: "cancelled",
    ItemState.WAITING: "queued",
    ItemState.COMPLETED: "succeeded",
}
"""State of a batch or of a request -> the state of jobs that looks like it; all others run."""


class ApiBatch(models.Model):
    """A file of requests to one endpoint; its model is resolved once, when its file was found good.

    The job does the work and is claimed, beaten and swept like any other; `state` is what callers see.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="api_batches")
    job = models.OneToOneField(Job, models.CASCADE, related_name="api_batch")
    endpoint = models.CharField(max_length=40)
    input_file = models.BigIntegerField()  # the number of a file, which may be gone
    input_name = models.CharField(max_length=255, blank=True)
    reference = models.CharField(max_length=300, blank=True)  # the model as the lines name it
    model_version = models.ForeignKey("registry.ModelVersion", models.RESTRICT, null=True, related_name="api_batches")
    deployment = models.ForeignKey(
        "inference.Deployment", models.SET_NULL, null=True, blank=True, related_name="+"
    )  # of the alias that the lines name: its guards, and how long it keeps texts
    completion_window = models.CharField(max_length=10)
    output_seconds = models.PositiveIntegerField(null=True)  # how long the files it makes are kept
    metadata = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=12, choices=BatchState.choices, default=BatchState.VALIDATING)
    errors = WordsJSONField(default=list, blank=True)  # of its file: [{"code", "message", "param", "line"}]
    total_count = models.PositiveIntegerField(default=0)
    completed_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    prompt_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    answer_tokens = models.BigIntegerField(default=0)
    output_file = models.ForeignKey("datasets.ApiFile", models.SET_NULL, null=True, blank=True, related_name="+")
    error_file = models.ForeignKey("datasets.ApiFile", models.SET_NULL, null=True, blank=True, related_name="+")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    api_key = models.ForeignKey("accounts.ApiKey", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    in_progress_at = models.DateTimeField(null=True, blank=True)
    finalizing_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(null=True, blank=True)
    cancelling_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="api_batch_workspace")]

    def __str__(self) -> str:
        return self.input_name or self.public_id

    @property
    def public_id(self) -> str:
        """The id under which callers know it."""
        return public_id("batch", self.pk)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in BATCH_ENDED

    @property
    def may_cancel(self) -> bool:
        """Whether cancelling would do anything."""
        return self.state in (BatchState.VALIDATING, BatchState.IN_PROGRESS)

    @property
    def done_count(self) -> int:
        """Requests that have a result, be it an error."""
        return self.completed_count + self.failed_count

    @property
    def percent(self) -> int:
        """Progress in whole percent."""
        return int(100 * self.done_count / self.total_count) if self.total_count else 0

    @property
    def colour(self) -> str:
        """The state of a job whose badge looks right."""
        return BADGES.get(str(self.state), "running")

    def is_late(self, now: datetime) -> bool:
        """Whether its time is over."""
        return now >= self.expires_at


class BatchItem(models.Model):
    """One line of a batch's file and, once it is there, its one result."""

    batch = models.ForeignKey(ApiBatch, models.CASCADE, related_name="items", db_index=False)
    position = models.PositiveIntegerField()  # from 0, in the order of the file
    line = models.PositiveIntegerField()  # from 1, empty lines counted
    custom_id = models.CharField(max_length=512)
    body = models.JSONField()
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.WAITING, db_default="waiting")
    attempt_count = models.PositiveSmallIntegerField(default=0, db_default=0)
    generation = models.OneToOneField(
        "inference.Generation", models.SET_NULL, null=True, blank=True, related_name="batch_item"
    )  # that writes, or wrote, the answer
    status_code = models.PositiveSmallIntegerField(null=True)  # of the response; none where nothing was tried
    response = models.JSONField(null=True)  # the body, also of a refusal
    error_code = models.CharField(max_length=60, blank=True, default="", db_default="")  # why nothing was tried
    error_message = WordsField(blank=True, default="", db_default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["batch", "position"], name="batch_item_once"),
            models.UniqueConstraint(fields=["batch", "custom_id"], name="batch_item_custom_id"),
        ]
        indexes: ClassVar = [models.Index(fields=["batch", "state", "position"], name="batch_item_state")]

    def __str__(self) -> str:
        return self.custom_id

    @property
    def colour(self) -> str:
        """The state of a job whose badge looks right."""
        return BADGES.get(str(self.state), "running")

    @property
    def gist(self) -> str:
        """A line of its result for people: an answer, a label, the reason why there is none."""
        if self.error_message:
            return str(self.error_message)
        told = self.response or {}
        if "error" in told:
            return str(told["error"]["message"])
        first = (told.get("choices") or told.get("data") or told.get("results") or [{}])[0]
        if "message" in first:
            return str(first["message"]["content"])
        if "embedding" in first:
            return ""
        return str(first.get("text") or first.get("label") or first.get("score") or first.get("relevance_score") or "")


class RowAtWork(models.Model):
    """A row of a batch prediction whose answer is being written; it goes when the answer is stored as a Prediction."""

    batch_job = models.ForeignKey("inference.BatchJob", models.CASCADE, related_name="rows_at_work", db_index=False)
    position = models.BigIntegerField()  # from 0, in the order of the input
    generation = models.OneToOneField(
        "inference.Generation", models.SET_NULL, null=True, blank=True, related_name="row_at_work"
    )  # none where it is to be asked for again
    attempt_count = models.PositiveSmallIntegerField(default=1, db_default=1)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["batch_job", "position"], name="row_at_work_once")]

    def __str__(self) -> str:
        return f"row {self.position}"

"""Tables of jobs: the row that is the truth, its moves, attempts and log lines."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.jobs.states import ENDED, State
from core.words import WordsField, WordsJSONField


class Stop(models.TextChoices):
    """What a person asked of a running job."""

    NONE = "", ""
    CANCEL = "cancel", _("Cancel")
    PAUSE = "pause", _("Pause")


class Job(models.Model):
    """One piece of long work; the domain row of its kind holds a OneToOne to it."""

    kind = models.CharField(max_length=40)
    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="jobs")
    queue = models.CharField(max_length=10)
    title = WordsField()
    page = models.CharField(max_length=200, blank=True)  # path below the workspace, for links
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    priority = models.SmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    stop_requested = models.CharField(max_length=10, choices=Stop.choices, default=Stop.NONE, blank=True)
    can_pause = models.BooleanField(default=False)

    lease_token = models.BigIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=120, blank=True)
    attempt_count = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)

    phase = WordsField(blank=True)
    done_count = models.BigIntegerField(default=0)
    total_count = models.BigIntegerField(null=True, blank=True)
    unit = models.CharField(max_length=20, blank=True)
    rate_per_second = models.FloatField(null=True, blank=True)

    error_code = models.CharField(max_length=60, blank=True)
    error_message = WordsField(blank=True)
    error_hint = WordsField(blank=True)
    result = WordsJSONField(default=dict, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    run_after = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    progressed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(
                fields=["queue", "-priority", "run_after", "id"],
                condition=models.Q(state="queued"),
                name="job_queue",
            ),
            models.Index(fields=["lease_expires_at"], condition=models.Q(state="running"), name="job_lease"),
            models.Index(fields=["workspace", "-id"], name="job_workspace"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="job_state_known"),
            models.CheckConstraint(condition=models.Q(done_count__gte=0), name="job_done_not_negative"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk} {self.kind} {self.state}"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state in ENDED

    @property
    def share(self) -> float | None:
        """Progress as a share 0..1, None while the total is unknown."""
        if self.state == State.SUCCEEDED:
            return 1.0
        if not self.total_count:
            return None
        return min(1.0, self.done_count / self.total_count)

    @property
    def percent(self) -> int | None:
        """Progress in whole percent."""
        return None if self.share is None else int(self.share * 100)

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated time to the end of the current phase."""
        if self.state != State.RUNNING or not self.rate_per_second or not self.total_count:
            return None
        return max(0.0, (self.total_count - self.done_count) / self.rate_per_second)

    @property
    def duration(self) -> timedelta | None:
        """Wall time since the first start."""
        if self.started_at is None:
            return None
        end: datetime = self.finished_at or timezone.now()
        return end - self.started_at

    @property
    def may_cancel(self) -> bool:
        """Whether cancelling would do anything."""
        return not self.ended and self.stop_requested != Stop.CANCEL

    @property
    def may_pause(self) -> bool:
        """Whether this job can be paused now."""
        return self.can_pause and self.state in {State.QUEUED, State.RUNNING} and not self.stop_requested

    @property
    def may_resume(self) -> bool:
        """Whether this job waits for a person to go on."""
        return self.state == State.PAUSED

    @property
    def may_retry(self) -> bool:
        """Whether a person may send it again."""
        return self.state in {State.FAILED, State.CANCELLED}


class JobTransition(models.Model):
    """One move of a job: from where, to where, by whom and why; never changed."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="transitions")
    at = models.DateTimeField(default=timezone.now)
    from_state = models.CharField(max_length=10, blank=True)
    to_state = models.CharField(max_length=10)
    by = models.CharField(max_length=200, blank=True)
    reason = WordsField(blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["job", "id"], name="job_transition_job")]

    def __str__(self) -> str:
        return f"{self.from_state} -> {self.to_state}"


class JobAttempt(models.Model):
    """One worker's try at a job."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="attempts")
    token = models.BigIntegerField()
    worker = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, blank=True)
    note = WordsField(blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["job", "token"], name="job_attempt_token_once")]

    def __str__(self) -> str:
        return f"attempt {self.token} of job {self.job_id}"


class JobLog(models.Model):
    """One log line of a job, for people."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="log_lines")
    at = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=10, default="info")
    message = WordsField()
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["job", "id"], name="job_log_job")]

    def __str__(self) -> str:
        return str(self.message)[:80]

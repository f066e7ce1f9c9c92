"""Schedules of a workspace."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.words import WordsField


class Schedule(models.Model):
    """An action of the installation's table, run by cron.

    `next_run_at` is moved by whoever finds it due; the run that is then owed stands in `planned_at` until it was done, so that
    a lost message or a dead worker loses none. `run_token` grows with every claim: an older runner's result is refused.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="schedules")
    name = models.CharField(_("Name"), max_length=120)
    action = models.CharField(max_length=60)
    arguments = models.JSONField(default=dict)
    expression = models.CharField(_("Cron expression"), max_length=100)
    time_zone = models.CharField(_("Time zone"), max_length=60, default="UTC")
    is_enabled = models.BooleanField(_("Runs"), default=True)
    next_run_at = models.DateTimeField(null=True, blank=True)  # null: paused
    planned_at = models.DateTimeField(null=True, blank=True)  # of the run that is owed
    lease_until = models.DateTimeField(null=True, blank=True)  # of whoever runs it now
    run_token = models.BigIntegerField(default=0)
    attempt_count = models.PositiveSmallIntegerField(default=0)  # of the run that is owed
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_seconds = models.FloatField(null=True, blank=True)
    last_result = WordsField(blank=True)
    last_error = WordsField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "core"
        verbose_name = _("schedule")
        constraints: ClassVar = [models.UniqueConstraint("workspace", Lower("name"), name="schedule_name")]
        indexes: ClassVar = [
            models.Index(fields=["next_run_at"], condition=models.Q(is_enabled=True), name="schedule_due"),
            models.Index(fields=["planned_at"], condition=models.Q(planned_at__isnull=False), name="schedule_owed"),
        ]

    def __str__(self) -> str:
        return self.name

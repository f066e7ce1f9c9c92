"""Notices to people in the dashboard."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from core.words import WordsField


class Notice(models.Model):
    """Something a person should know, in their language at the time it happened."""

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=40)  # "job.succeeded", "job.failed", ...
    event_key = models.CharField(max_length=100)  # the same event notifies once
    title = WordsField()
    body = WordsField(blank=True)
    page = models.CharField(max_length=200, blank=True)  # path below the workspace
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["user", "event_key"], name="notice_once")]
        indexes: ClassVar = [
            models.Index(fields=["user", "workspace", "-id"], name="notice_list"),
            models.Index(fields=["user", "workspace"], condition=models.Q(read_at=None), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return str(self.title)

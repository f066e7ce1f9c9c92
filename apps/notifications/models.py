"""Notices to people, and what became of each mail about them."""

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

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


class Channel(models.TextChoices):
    """Ways outside the dashboard by which a notice reaches a person."""

    MAIL = "mail", _("Mail")


class Delivery(models.Model):
    """One attempt after the other to bring a notice to a person over one channel."""

    class State(models.TextChoices):
        """Where a delivery is."""

        WAITING = "waiting", _("Waiting")
        SENDING = "sending", _("Sending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")

    notice = models.ForeignKey(Notice, models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    address = models.CharField(max_length=254)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)  # while sending: when the sender counts as dead
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["notice", "channel"], name="delivery_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["waiting", "sending", "sent", "failed"]), name="delivery_state_known"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(state__in=["waiting", "sending"]), name="delivery_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.address}: {self.state}"


MAX_ATTEMPTS = 5
SENDER_DEAD_AFTER = timedelta(minutes=5)
FIRST_PAUSE = timedelta(minutes=1)


def pause_after(attempt_count: int) -> timedelta:
    """How long to wait after the n-th failed attempt: 1, 2, 4, 8 minutes."""
    factor: int = 2 ** (attempt_count - 1)
    return FIRST_PAUSE * factor

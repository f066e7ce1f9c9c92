"""Messages to receivers, and what became of each: one row for every address that a notice or a message goes to."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.notifications.models.notices import Notice
from apps.notifications.models.receivers import Receiver
from core.words import WordsField, WordsJSONField

MAX_ATTEMPTS = 8
SENDER_DEAD_AFTER = timedelta(minutes=5)
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
LONGEST_WAIT = timedelta(hours=6)  # that a Retry-After is heeded


class Severity(models.TextChoices):
    """How much it matters."""

    INFO = "info", _("Information")
    WARNING = "warning", _("Warning")
    CRITICAL = "critical", _("Critical")


class Dispatch(models.Model):
    """One message to one receiver; `content` holds lines, facts, payload and html. The same event is sent once."""

    receiver = models.ForeignKey(Receiver, models.CASCADE, related_name="dispatches", db_index=False)
    kind = models.CharField(max_length=40)
    event_key = models.CharField(max_length=200)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.INFO)
    title = WordsField()
    content = WordsJSONField(default=dict)
    page = models.CharField(max_length=200, blank=True)  # path below the workspace
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("message")
        constraints: ClassVar = [models.UniqueConstraint(fields=["receiver", "event_key"], name="dispatch_once")]
        indexes: ClassVar = [models.Index(fields=["receiver", "-id"], name="dispatch_list")]

    def __str__(self) -> str:
        return str(self.title)


class Attachment(models.Model):
    """A file that goes with a message by mail."""

    dispatch = models.ForeignKey(Dispatch, models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=100)
    content_type = models.CharField(max_length=100)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.name


class Channel(models.TextChoices):
    """Ways by which a notice or a message reaches an address."""

    MAIL = "mail", _("Mail")
    WEBHOOK = "webhook", _("Webhook")
    APPRISE = "apprise", _("Chat service")
    PEOPLE = "people", _("Notices")


class DeliveryState(models.TextChoices):
    """Where a delivery is."""

    WAITING = "waiting", _("Waiting")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Failed")


class Delivery(models.Model):
    """One attempt after the other to bring a notice or a message to one address over one channel."""

    State = DeliveryState

    notice = models.ForeignKey(Notice, models.CASCADE, null=True, related_name="deliveries")
    dispatch = models.ForeignKey(Dispatch, models.CASCADE, null=True, related_name="deliveries")
    channel = models.CharField(max_length=10, choices=Channel.choices)
    address = models.CharField(max_length=254)  # as it may be shown
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    attempt_limit = models.PositiveSmallIntegerField(default=MAX_ATTEMPTS)  # raised when somebody sends it again
    next_try_at = models.DateTimeField(default=timezone.now)  # while sending: when the sender counts as dead
    status = models.PositiveSmallIntegerField(null=True)  # of the last answer, HTTP or SMTP
    answer = models.TextField(blank=True)  # its first words
    seconds = models.FloatField(null=True)  # that the last attempt took
    last_error = WordsField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["notice", "channel"], name="delivery_once"),
            models.UniqueConstraint(fields=["dispatch", "address"], name="delivery_to_address_once"),
            models.CheckConstraint(
                condition=models.Q(state__in=["waiting", "sending", "sent", "failed"]), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(notice=None, dispatch__isnull=False) | models.Q(notice__isnull=False, dispatch=None),
                name="delivery_of_one",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(state__in=["waiting", "sending"]), name="delivery_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} to {self.address}: {self.state}"


def pause_after(attempt_count: int) -> timedelta:
    """How long to wait after the n-th failed attempt: 1, 2, 4, 8, 16, 32 minutes, then an hour."""
    factor: int = 2 ** max(0, attempt_count - 1)
    return min(FIRST_PAUSE * factor, LONGEST_PAUSE)

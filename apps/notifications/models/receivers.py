"""Where a workspace's messages go outside the dashboard, or to whom inside it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.sealing import SealedField


class ReceiverKind(models.TextChoices):
    """How a message travels."""

    MAIL = "mail", _("Mail")
    WEBHOOK = "webhook", _("Webhook (signed)")
    APPRISE = "apprise", _("Chat service (Apprise)")
    PEOPLE = "people", _("People of the workspace")


class Receiver(models.Model):
    """A named address of a workspace.

    `url` and the secrets are sealed in the database and shown nowhere; `shown_url` is what people may see of the address.
    An empty template stands for the default of the language.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="receivers")
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=10, choices=ReceiverKind.choices)
    language = models.CharField(max_length=10, choices=settings.LANGUAGES, default="en")
    is_enabled = models.BooleanField(default=True)
    addresses = models.JSONField(default=list)  # of kind mail
    url = SealedField(blank=True)  # of kinds webhook and apprise
    shown_url = models.CharField(max_length=200, blank=True)
    secret = SealedField(blank=True)  # signs webhooks
    previous_secret = SealedField(blank=True)  # signs beside the new one until `previous_until`
    previous_until = models.DateTimeField(null=True, blank=True)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+", blank=True)
    subject_template = models.CharField(max_length=300, blank=True)
    body_template = models.TextField(blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("receiver")
        constraints: ClassVar = [
            models.UniqueConstraint("workspace", Lower("name"), name="receiver_name"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["mail", "webhook", "apprise", "people"]), name="receiver_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name

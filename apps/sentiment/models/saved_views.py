"""Filters of a monitor's pages that people keep under a name."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.models import Membership
from apps.sentiment.models.monitors import Monitor
from core.access import Actor


class ViewKind(models.TextChoices):
    """Whose filters a view keeps; the live page has those of the articles."""

    ARTICLES = "articles", _("Articles")
    TRENDS = "trends", _("Trends")


class SavedView(models.Model):
    """What somebody looked at: `filters` holds the values of the page's form as plain ones, name -> text or list of texts.

    `names` says what the rows among them were called ("topic:12" -> "Recall"), so that one that is gone has a name still.
    It belongs to a membership: whoever leaves the workspace takes their views along.
    """

    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="saved_views", db_index=False)
    owner = models.ForeignKey(Membership, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=ViewKind.choices)
    name = models.CharField(_("Name"), max_length=100)
    is_shared = models.BooleanField(_("Shared with the workspace"), default=False)
    filters = models.JSONField(default=dict)
    names = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("saved view")
        constraints: ClassVar = [
            models.UniqueConstraint("monitor", "kind", "owner", Lower("name"), name="saved_view_name")
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def seen_by(cls, actor: Actor) -> models.QuerySet["SavedView"]:
        """Their own and those that are shared (core.access.rows_of), whatever their role."""
        return cls.objects.filter(models.Q(is_shared=True) | models.Q(owner__user=actor.user))


class OpeningView(models.Model):
    """The view with which a page opens for one person; `monitor` and `kind` are those of the view."""

    member = models.ForeignKey(Membership, models.CASCADE, related_name="+", db_index=False)
    monitor = models.ForeignKey(Monitor, models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=ViewKind.choices)
    view = models.ForeignKey(SavedView, models.CASCADE, related_name="openings")

    class Meta:
        verbose_name = _("opening view")
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["member", "monitor", "kind"], name="opening_view_once")
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {self.view_id}"

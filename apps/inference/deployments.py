"""Tables of deployments: what answers under an alias, beside it a candidate with a share of the traffic, and the history."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.words import WordsField


class Arm(models.TextChoices):
    """Which side of a deployment answered."""

    STABLE = "stable", _("Stable")
    CANDIDATE = "candidate", _("Candidate")
    SHADOW = "shadow", _("Shadow")  # the candidate too, beside the stable version and unseen


class Sticky(models.TextChoices):
    """Whose requests all go to the same side."""

    CONVERSATION = "conversation", _("Those of one conversation")
    USER = "user", _("Those of one end user")
    NONE = "none", _("None: each request is drawn by itself")


class Deployment(models.Model):
    """How requests for an alias are answered: by the version it names, or for a share of them by a candidate.

    The alias alone says which version is approved. `serving` is the version that answers now where it must be warm
    first: it follows the alias as soon as the next version was loaded and tried.
    """

    workspace = models.ForeignKey(settings.WORKSPACE_MODEL, models.CASCADE, related_name="deployments")
    alias = models.OneToOneField("registry.Alias", models.RESTRICT, related_name="deployment")
    candidate = models.ForeignKey("registry.ModelVersion", models.RESTRICT, null=True, blank=True, related_name="+")
    candidate_share = models.FloatField(default=0.0)  # of the requests, 0..1; of a shadow those it answers too
    is_shadow = models.BooleanField(default=False)
    sticky = models.CharField(max_length=20, choices=Sticky.choices, default=Sticky.CONVERSATION)
    gates = models.JSONField(default=list, blank=True)  # [apps.inference.gates.Gate as a mapping, ...]
    retention_days = models.PositiveIntegerField(null=True, blank=True)  # of texts; null keeps them, 0 stores none
    is_pinned = models.BooleanField(default=False)  # its versions stay in memory
    is_warm = models.BooleanField(default=True)  # a version is loaded and tried before it gets traffic
    serving = models.ForeignKey("registry.ModelVersion", models.RESTRICT, null=True, blank=True, related_name="+")
    is_candidate_ready = models.BooleanField(default=False)  # it was loaded and tried
    warm_error = WordsField(blank=True)  # why the next version could not be made ready
    guard_policy = models.ForeignKey(
        "inference.GuardPolicy", models.RESTRICT, null=True, blank=True, related_name="deployments"
    )  # null: the workspace's default
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("deployment")
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(candidate_share__gte=0, candidate_share__lte=1), name="deployment_candidate_share"
            ),
            models.CheckConstraint(
                condition=models.Q(candidate_share=0) | models.Q(candidate__isnull=False),
                name="deployment_share_has_candidate",
            ),
            models.CheckConstraint(condition=models.Q(sticky__in=Sticky.values), name="deployment_sticky_known"),
        ]
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="deployment_workspace")]

    def __str__(self) -> str:
        return str(self.alias)

    @property
    def waiting_version(self) -> Any:
        """The version that the alias names and that is not warm yet; None when the named one answers."""
        is_behind = self.is_warm and self.serving_id is not None and self.serving_id != self.alias.version_id
        return self.alias.version if is_behind else None

    @property
    def answering(self) -> Any:
        """The stable version that answers now."""
        return self.serving if self.waiting_version else self.alias.version


class EventKind(models.TextChoices):
    """What happened to a deployment."""

    CREATED = "created", _("Set up")
    CHANGED = "changed", _("Settings changed")
    PROMOTED = "promoted", _("Candidate promoted")
    ROLLED_BACK = "rolled_back", _("Rolled back")
    GATE = "gate", _("Taken back by a gate")
    SWITCHED = "switched", _("Traffic switched")
    READY = "ready", _("Candidate loaded and tried")
    NOT_READY = "not_ready", _("Could not be loaded")


class DeploymentEvent(models.Model):
    """One entry of a deployment's history, never changed: a trigger refuses UPDATE and DELETE."""

    deployment = models.ForeignKey(Deployment, models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20, choices=EventKind.choices)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=300, blank=True)  # empty: Lingxi itself
    by_user_id = models.BigIntegerField(null=True)
    reason = WordsField(blank=True)
    detail = models.JSONField(default=dict)  # what was before and after, figures, numbers of versions

    class Meta:
        indexes: ClassVar = [models.Index(fields=["deployment", "-id"], name="deployment_event")]

    def __str__(self) -> str:
        return f"{self.kind} {self.at}"

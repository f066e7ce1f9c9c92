"""Users, workspaces, memberships, invitations, API keys and the append-only audit trail."""

import hashlib
import secrets
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.accounts.actions import action_name
from apps.accounts.roles import ROLE_NAMES
from core.limits import Limits


class UserManager(BaseUserManager["User"]):
    """Makes users by e-mail address."""

    def create_user(self, email: str, password: str | None = None, **columns: Any) -> "User":
        """A new active user; without a password only single sign-on or a reset lets them in."""
        user = self.model(email=email.strip().lower(), **columns)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        """By address, whatever its case."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """A person; rights come from memberships, never from the user."""

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=120, blank=True)
    language = models.CharField(max_length=10, blank=True)
    time_zone = models.CharField(max_length=60, blank=True)
    theme = models.CharField(max_length=10, blank=True)
    mail_notices = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)  # may make workspaces and see the installation's health
    created_at = models.DateTimeField(default=timezone.now)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(Lower("email"), name="user_email_once")]

    def __str__(self) -> str:
        return self.email

    def display_name(self) -> str:
        """The name, else the part of the address before the @."""
        return self.name or self.email.split("@")[0]


class Workspace(models.Model):
    """A tenant: everything belongs to exactly one."""

    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    four_eyes = models.BooleanField(default=False)  # approving needs a second person
    audit_retention_days = models.PositiveIntegerField(null=True, blank=True)
    job_retention_days = models.PositiveIntegerField(null=True, blank=True, default=365)
    file_retention_days = models.PositiveIntegerField(null=True, blank=True, default=30)
    key_requests_per_minute = models.PositiveIntegerField(null=True, blank=True)  # of each key without its own limit
    key_tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    key_concurrent_requests = models.PositiveIntegerField(null=True, blank=True)
    requests_per_month = models.PositiveBigIntegerField(null=True, blank=True)  # of all keys and pages together
    tokens_per_month = models.PositiveBigIntegerField(null=True, blank=True)
    is_guarded = models.BooleanField(default=False)  # a guard policy is its default: spares others the question
    is_demo = models.BooleanField(default=False)
    deleting_at = models.DateTimeField(null=True, blank=True)  # asked for: nobody enters any more

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user's role in a workspace."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=list(ROLE_NAMES.items()))
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)  # when the person last changed to this workspace

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["workspace", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} {self.role}"


def hash_token(token: str) -> str:
    """Tokens have 256 random bits, so one round of SHA-256 is enough to keep them."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(prefix: str) -> str:
    """A fresh secret with a readable prefix."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


class InvitationState(models.TextChoices):
    """What became of a link."""

    OPEN = "open", _("Valid")
    ACCEPTED = "accepted", _("Accepted")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")


class ApiKeyState(models.TextChoices):
    """Whether a key works."""

    ACTIVE = "active", _("Active")
    REVOKED = "revoked", _("Revoked")
    EXPIRED = "expired", _("Expired")


class Invitation(models.Model):
    """A link by which someone joins a workspace with a role."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254, blank=True)  # empty: whoever has the link
    role = models.CharField(max_length=20, choices=list(ROLE_NAMES.items()))
    token_hash = models.CharField(max_length=64, unique=True)
    invited_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.email or f"link {self.pk}"

    @property
    def open(self) -> bool:
        """Whether the link still works."""
        return self.accepted_at is None and self.revoked_at is None and self.expires_at > timezone.now()

    @property
    def state(self) -> InvitationState:
        """What became of it by now."""
        if self.accepted_at:
            return InvitationState.ACCEPTED
        if self.revoked_at:
            return InvitationState.REVOKED
        return InvitationState.OPEN if self.open else InvitationState.EXPIRED


class ApiKey(models.Model):
    """A secret for programs: shown once, stored hashed, scoped and expiring."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    key_hash = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=40))
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)  # empty: the workspace's limit for keys
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    concurrent_requests = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace", "-id"], name="api_key_workspace")]

    def __str__(self) -> str:
        return self.name

    @property
    def limits(self) -> Limits:
        """What the key may do: its own limits, else the workspace's, else the installation's."""
        place = self.workspace
        return Limits(
            requests=self.requests_per_minute or place.key_requests_per_minute or settings.API_RATE_PER_MINUTE,
            tokens=self.tokens_per_minute or place.key_tokens_per_minute,
            at_once=self.concurrent_requests or place.key_concurrent_requests,
        )

    @property
    def state(self) -> ApiKeyState:
        """Whether it works now."""
        if self.revoked_at:
            return ApiKeyState.REVOKED
        ended = self.expires_at is not None and self.expires_at <= timezone.now()
        return ApiKeyState.EXPIRED if ended else ApiKeyState.ACTIVE


class AuditEntry(models.Model):
    """Who did what and when; a trigger refuses UPDATE and DELETE.

    Plain ids instead of foreign keys: the trail outlives what it speaks of.
    """

    at = models.DateTimeField(default=timezone.now)
    workspace_id = models.BigIntegerField(null=True)
    user_id = models.BigIntegerField(null=True)
    key_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=300)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=60, blank=True)
    object_label = models.CharField(max_length=300, blank=True)
    detail = models.JSONField(default=dict)
    ip = models.GenericIPAddressField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["workspace_id", "-id"], name="audit_workspace")]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object_label}"

    @property
    def action_name(self) -> str:
        """The action in the reader's words."""
        return action_name(self.action)

"""People, workspaces, keys and the audit trail as the API shows and takes them."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from apps.accounts.models import (
    ApiKey,
    ApiKeyState,
    AuditEntry,
    Invitation,
    InvitationState,
    Membership,
    User,
    Workspace,
)
from apps.accounts.roles import PERMISSIONS, ROLE_NAMES
from core.access import Actor
from core.limits import LARGEST_LIMIT
from core.requests import zones

ROLES = list(ROLE_NAMES.items())


class WorkspaceRefSerializer(serializers.ModelSerializer[Workspace]):
    """A workspace in a few words."""

    class Meta:
        model = Workspace
        fields = ("id", "slug", "name")


class MyMembershipSerializer(serializers.ModelSerializer[Membership]):
    """A workspace of the caller."""

    workspace = WorkspaceRefSerializer()

    class Meta:
        model = Membership
        fields = ("workspace", "role")


class PersonProfileSerializer(serializers.ModelSerializer[User]):
    """What a person may change about themselves."""

    language = serializers.ChoiceField(choices=[code for code, _name in settings.LANGUAGES], allow_blank=True)
    theme = serializers.ChoiceField(choices=["light", "dark"], allow_blank=True)
    time_zone = serializers.CharField(allow_blank=True, max_length=60)

    class Meta:
        model = User
        fields = ("name", "language", "time_zone", "theme", "mail_notices")

    def validate_time_zone(self, value: str) -> str:
        """A name of the IANA database."""
        if value and value not in zones():
            raise serializers.ValidationError(_("Name a time zone such as Asia/Shanghai."))
        return value


class MeSerializer(serializers.Serializer[Actor]):
    """Who calls, in which workspace, and what they may."""

    id = serializers.IntegerField(source="user.pk")
    email = serializers.EmailField(source="user.email")
    profile = PersonProfileSerializer(source="user")
    workspace = WorkspaceRefSerializer()
    role = serializers.ChoiceField(choices=ROLES)
    permissions = serializers.SerializerMethodField()
    api_key = serializers.CharField(source="key.name", default=None, allow_null=True)
    memberships = serializers.SerializerMethodField()

    def get_permissions(self, actor: Actor) -> list[str]:
        """Sorted names."""
        return sorted(actor.permissions)

    def get_memberships(self, actor: Actor) -> list[dict[str, Any]]:
        """All workspaces of a person; a key speaks of its own only."""
        rows = Membership.objects.select_related("workspace").filter(user=actor.user, workspace__deleting_at=None)
        if actor.key is not None:
            rows = rows.filter(workspace=actor.workspace)
        return list(MyMembershipSerializer(rows.order_by("id"), many=True).data)


class WorkspaceSerializer(serializers.ModelSerializer[Workspace]):
    """A workspace and its settings."""

    class Meta:
        model = Workspace
        fields = (
            "id", "slug", "name", "four_eyes", "audit_retention_days", "job_retention_days", "file_retention_days",
            "key_requests_per_minute", "key_tokens_per_minute", "key_concurrent_requests", "requests_per_month",
            "tokens_per_month", "is_demo", "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "slug", "is_demo", "created_at")
        extra_kwargs = {
            name: {"min_value": 1, "max_value": 36500, "help_text": "Days; null keeps for ever."}
            for name in ("audit_retention_days", "job_retention_days", "file_retention_days")
        } | {
            name: {"min_value": 1, "max_value": LARGEST_LIMIT, "help_text": meaning}
            for name, meaning in (
                ("key_requests_per_minute", "Of each API key without a limit of its own; null: the installation's."),
                ("key_tokens_per_minute", "Of each API key without a limit of its own; null: no limit."),
                ("key_concurrent_requests", "Of each API key without a limit of its own; null: no limit."),
                ("requests_per_month", "Of the whole workspace in a calendar month (UTC); null: no limit."),
                ("tokens_per_month", "Of the whole workspace in a calendar month (UTC); null: no limit."),
            )
        }


class PersonSerializer(serializers.ModelSerializer[User]):
    """A person in a few words."""

    class Meta:
        model = User
        fields = ("id", "email", "name", "is_active", "last_login")


class MemberSerializer(serializers.ModelSerializer[Membership]):
    """Someone's role here."""

    user = PersonSerializer(read_only=True)

    class Meta:
        model = Membership
        fields = ("id", "user", "role", "created_at")
        read_only_fields = ("id", "created_at")


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """A link by which someone joins."""

    state = serializers.ChoiceField(choices=InvitationState.choices, read_only=True)

    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "state", "created_at", "expires_at", "accepted_at", "revoked_at")
        read_only_fields = fields


class NewInvitationSerializer(serializers.Serializer[Any]):
    """Who is invited, as what, for how long."""

    email = serializers.EmailField(required=False, allow_blank=True, max_length=254)
    role = serializers.ChoiceField(choices=ROLES)
    days = serializers.IntegerField(default=7, min_value=1, max_value=30)


class InvitationMadeSerializer(InvitationSerializer):
    """An invitation with its link, which is shown this once."""

    link = serializers.URLField(read_only=True, allow_null=True)

    class Meta:
        model = Invitation
        fields = (*InvitationSerializer.Meta.fields, "link")
        read_only_fields = fields


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key without its secret."""

    user = serializers.EmailField(source="user.email", read_only=True)
    state = serializers.ChoiceField(choices=ApiKeyState.choices, read_only=True)
    scopes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = ApiKey
        fields = (
            "id", "name", "prefix", "user", "scopes", "state", "created_at", "expires_at", "last_used_at", "revoked_at",
            "requests_per_minute", "tokens_per_minute", "concurrent_requests",
        )  # fmt: skip
        read_only_fields = fields


class NewApiKeySerializer(serializers.Serializer[Any]):
    """Name, scopes and expiry of a key."""

    name = serializers.CharField(max_length=80)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(PERMISSIONS)), allow_empty=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class KeyLimitsSerializer(serializers.Serializer[Any]):
    """What a key may do; null leaves a limit to the workspace."""

    requests_per_minute = serializers.IntegerField(
        min_value=1, max_value=LARGEST_LIMIT, allow_null=True, required=False
    )
    tokens_per_minute = serializers.IntegerField(min_value=1, max_value=LARGEST_LIMIT, allow_null=True, required=False)
    concurrent_requests = serializers.IntegerField(
        min_value=1, max_value=LARGEST_LIMIT, allow_null=True, required=False
    )


class ApiKeyMadeSerializer(ApiKeySerializer):
    """A key with its secret, which is shown this once."""

    secret = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = ApiKey
        fields = (*ApiKeySerializer.Meta.fields, "secret")
        read_only_fields = fields


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """Who did what and when."""

    class Meta:
        model = AuditEntry
        fields = (
            "id", "at", "actor", "user_id", "key_id", "action", "object_type", "object_id", "object_label", "detail",
            "ip",
        )  # fmt: skip
        read_only_fields = fields


class SessionSerializer(serializers.Serializer[Any]):
    """A browser in which somebody is logged in."""

    id = serializers.IntegerField(source="pk", read_only=True)
    ip = serializers.IPAddressField(read_only=True)
    user_agent = serializers.CharField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    last_seen_at = serializers.DateTimeField(read_only=True)
    is_current = serializers.SerializerMethodField(help_text="The one that asks.")

    def get_is_current(self, session: Any) -> bool:
        """By the key of the session that asks."""
        return bool(session.session_key == self.context.get("session_key"))


class NewWorkspaceSerializer(serializers.Serializer[Any]):
    """What a new workspace needs."""

    name = serializers.CharField(max_length=80)


class PersonRowSerializer(serializers.ModelSerializer[User]):
    """A person of this installation, as operators see them."""

    workspace_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = User
        fields = ("id", "email", "name", "is_active", "is_operator", "workspace_count", "created_at")
        read_only_fields = fields


class ActiveSerializer(serializers.Serializer[Any]):
    """Whether a person may log in."""

    is_active = serializers.BooleanField()

"""Notices, receivers and deliveries as the API shows them."""

from typing import Any

from rest_framework import serializers

from apps.accounts.models import User
from apps.notifications.models import Delivery, Notice, Receiver, ReceiverKind
from apps.notifications.selectors import people_of
from apps.notifications.services.receivers import LONGEST_URL, MOST_ADDRESSES
from apps.notifications.wording import LONGEST_SUBJECT, LONGEST_TEMPLATE


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    """Something you should know."""

    class Meta:
        model = Notice
        fields = ("id", "kind", "title", "body", "page", "created_at", "read_at")
        read_only_fields = fields
        extra_kwargs = {"page": {"help_text": "Path below the workspace, for example jobs/7."}}


class UnreadSerializer(serializers.Serializer[Any]):
    """How many notices are unread."""

    unread = serializers.IntegerField(help_text="Counted up to 100.")


class MarkedSerializer(serializers.Serializer[Any]):
    """How many notices were marked as read."""

    marked = serializers.IntegerField()


class _PeopleField(serializers.PrimaryKeyRelatedField[User]):
    """Members by id."""

    def get_queryset(self) -> Any:
        """Of the caller's workspace."""
        workspace = self.context.get("workspace")
        return people_of(workspace) if workspace is not None else User.objects.none()


class ReceiverSerializer(serializers.ModelSerializer[Receiver]):
    """Where messages go. The address can be written and never read: `shown_url` is what may be seen of it."""

    kind = serializers.ChoiceField(ReceiverKind.choices)
    name = serializers.CharField(max_length=80)
    url = serializers.CharField(
        max_length=LONGEST_URL,
        required=False,
        allow_blank=True,
        write_only=True,
        help_text="Of a webhook, or of a service as Apprise writes it. Empty in a change: it stays.",
    )
    addresses = serializers.ListField(
        child=serializers.EmailField(max_length=254), required=False, max_length=MOST_ADDRESSES
    )
    people = _PeopleField(many=True, required=False, help_text="Ids of members.")
    subject_template = serializers.CharField(max_length=LONGEST_SUBJECT, required=False, allow_blank=True)
    body_template = serializers.CharField(max_length=LONGEST_TEMPLATE, required=False, allow_blank=True)

    class Meta:
        model = Receiver
        fields = (
            "id", "kind", "name", "language", "is_enabled", "url", "shown_url", "addresses", "people",
            "subject_template", "body_template", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = ("id", "shown_url", "created_at", "updated_at")


class ReceiverMadeSerializer(ReceiverSerializer):
    """With the secret, which is shown this once."""

    secret = serializers.CharField(read_only=True, allow_null=True, allow_blank=True)

    class Meta:
        model = Receiver
        fields = (*ReceiverSerializer.Meta.fields, "secret")
        read_only_fields = ReceiverSerializer.Meta.read_only_fields


class SecretSerializer(serializers.Serializer[Any]):
    """A secret that is shown this once."""

    secret = serializers.CharField()


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """A message on its way to one address."""

    receiver = serializers.IntegerField(source="dispatch.receiver_id", read_only=True)
    message = serializers.IntegerField(source="dispatch_id", read_only=True)
    kind = serializers.CharField(source="dispatch.kind", read_only=True)
    event = serializers.CharField(source="dispatch.event_key", read_only=True)
    severity = serializers.CharField(source="dispatch.severity", read_only=True)
    title = serializers.CharField(source="dispatch.title", read_only=True)

    class Meta:
        model = Delivery
        fields = (
            "id", "receiver", "message", "kind", "event", "severity", "title", "channel", "address", "state",
            "attempt_count", "next_try_at", "status", "answer", "seconds", "last_error", "created_at", "sent_at",
        )  # fmt: skip
        read_only_fields = fields

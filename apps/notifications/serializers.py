"""Notices as the API shows them."""

from typing import Any

from rest_framework import serializers

from apps.notifications.models import Notice


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

"""How jobs look in the API."""

from typing import Any

from rest_framework import serializers

from apps.dashboard.services import LEAST_PRIORITY, MOST_PRIORITY
from core.api.spoken import SpokenJSONField
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition


class JobSerializer(serializers.ModelSerializer[Any]):
    """A job: what it is, where it stands, how it ended."""

    share = serializers.FloatField(read_only=True, allow_null=True, help_text="Progress 0..1, null while unknown.")
    requested_by = serializers.EmailField(source="requested_by.email", read_only=True, default=None, allow_null=True)

    result = SpokenJSONField(read_only=True)

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "title",
            "queue",
            "state",
            "stop_requested",
            "priority",
            "can_pause",
            "phase",
            "done_count",
            "total_count",
            "unit",
            "share",
            "rate_per_second",
            "attempt_count",
            "max_attempts",
            "error_code",
            "error_message",
            "error_hint",
            "result",
            "page",
            "requested_by",
            "created_at",
            "run_after",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields


class JobLogSerializer(serializers.ModelSerializer[Any]):
    """One log line."""

    class Meta:
        model = JobLog
        fields = ("id", "at", "level", "message", "detail")
        read_only_fields = fields


class JobTransitionSerializer(serializers.ModelSerializer[Any]):
    """One move between states."""

    class Meta:
        model = JobTransition
        fields = ("id", "at", "from_state", "to_state", "by", "reason")
        read_only_fields = fields


class JobAttemptSerializer(serializers.ModelSerializer[Any]):
    """One worker's try."""

    class Meta:
        model = JobAttempt
        fields = ("id", "token", "worker", "started_at", "ended_at", "outcome", "note")
        read_only_fields = fields


class QueuePlaceSerializer(serializers.Serializer[Any]):
    """A waiting job among all that wait in its queue."""

    position = serializers.IntegerField(help_text="1 is next.")
    waiting = serializers.IntegerField()
    running = serializers.IntegerField(help_text="Jobs of the workspace at work in this queue.")
    limit = serializers.IntegerField(help_text="Jobs of one workspace that may work in this queue at once.")
    seconds = serializers.FloatField(allow_null=True, help_text="Until it may begin, estimated; null while unknown.")


class PlaceSerializer(serializers.Serializer[Any]):
    """The place, or null when the job does not wait."""

    place = QueuePlaceSerializer(allow_null=True)


class PrioritySerializer(serializers.Serializer[Any]):
    """A place in the queue."""

    priority = serializers.IntegerField(
        min_value=LEAST_PRIORITY, max_value=MOST_PRIORITY, help_text="Higher runs sooner; 0 is usual."
    )

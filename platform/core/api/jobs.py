"""How a job looks inside the API answer of the thing it works on."""

from typing import Any

from rest_framework import serializers

from core.jobs.models import Job


class JobProgressSerializer(serializers.ModelSerializer[Any]):
    """Where the job stands; the jobs endpoints tell more."""

    share = serializers.FloatField(read_only=True, allow_null=True, help_text="Progress 0..1, null while unknown.")

    class Meta:
        model = Job
        fields = (
            "id",
            "state",
            "phase",
            "done_count",
            "total_count",
            "unit",
            "share",
            "error_code",
            "error_message",
            "error_hint",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

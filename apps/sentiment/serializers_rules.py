"""Shapes of rules, silences, alerts and replays in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.notifications.models import Receiver, Severity
from apps.sentiment.models import (
    Alert,
    AlertEvent,
    BucketSize,
    Clock,
    Dimension,
    Grouping,
    Measure,
    Replay,
    Rule,
    RuleKind,
    Silence,
    Usefulness,
)
from apps.sentiment.services.rules import FIELDS, MOST_MINUTES, MOST_WAIT_SECONDS

MOST_ID = 2**63 - 1
RELATIONS = ("receivers", "escalates_to", "inhibited_by")
BY_CLOCK = "received: what would have happened; published: with the history that was brought in later."


def _minutes(name: str) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=MOST_MINUTES[name], required=False)


class MuteTimeSerializer(serializers.Serializer[Any]):
    """A weekly time in which nobody is told, in the monitor's time zone."""

    days = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=6), min_length=1, max_length=7, help_text="0 is Monday."
    )
    begin = serializers.CharField(max_length=5, help_text="Such as 18:00.")
    end = serializers.CharField(max_length=5, help_text="Before the begin: on the next day.")


class WithinSerializer(serializers.Serializer[Any]):
    """What the articles are limited to, by id; what is left out: any."""

    topic = serializers.IntegerField(required=False, min_value=1, max_value=MOST_ID)
    entity = serializers.IntegerField(required=False, min_value=1, max_value=MOST_ID)
    source = serializers.IntegerField(  # type: ignore[assignment] # the name is the field's, not an attribute's path
        required=False, min_value=1, max_value=MOST_ID
    )
    language = serializers.CharField(required=False, max_length=10)


class RuleSerializer(serializers.ModelSerializer[Rule]):
    """When a monitor raises an alert, and who is told."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    name = serializers.CharField(max_length=120)
    kind = serializers.ChoiceField(RuleKind.choices)
    severity = serializers.ChoiceField(Severity.choices, required=False)
    measure = serializers.ChoiceField(Measure.choices, required=False)
    seconds = serializers.ChoiceField(BucketSize.choices, required=False)
    dimension = serializers.ChoiceField(Dimension.choices, required=False)
    key = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="One series of the dimension; empty: each of them."
    )
    within = WithinSerializer(required=False)
    options = serializers.JSONField(
        required=False, help_text="Options of the kind that differ from the defaults (docs/alerts.md)."
    )
    hold_minutes = _minutes("hold_minutes")
    keep_minutes = _minutes("keep_minutes")
    grouping = serializers.ChoiceField(Grouping.choices, required=False)
    wait_seconds = serializers.IntegerField(min_value=0, max_value=MOST_WAIT_SECONDS, required=False)
    repeat_minutes = _minutes("repeat_minutes")
    escalate_minutes = _minutes("escalate_minutes")
    mute_times = MuteTimeSerializer(many=True, required=False)
    receivers = serializers.PrimaryKeyRelatedField(many=True, queryset=Receiver.objects.all(), required=False)
    escalates_to = serializers.PrimaryKeyRelatedField(many=True, queryset=Receiver.objects.all(), required=False)
    inhibited_by = serializers.PrimaryKeyRelatedField(many=True, queryset=Rule.objects.all(), required=False)

    class Meta:
        model = Rule
        fields = (
            "id", "monitor", *FIELDS, *RELATIONS, "evaluated_until", "evaluated_at", "error", "verdicts", "created_at",
            "updated_at",
        )  # fmt: skip
        read_only_fields = (
            "id", "evaluated_until", "evaluated_at", "error", "verdicts", "created_at", "updated_at"
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        workspace = self.context.get("workspace")
        rows: dict[str, Any] = {
            "receivers": Receiver.objects.filter(workspace=workspace),
            "escalates_to": Receiver.objects.filter(workspace=workspace),
            "inhibited_by": Rule.objects.filter(monitor__workspace=workspace),
        }
        for name, found in rows.items():
            field: Any = self.fields[name]
            if hasattr(field, "child_relation"):  # read-only shapes have none
                field.child_relation.queryset = found

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(columns, relations) as services take them."""
        values = dict(self.validated_data)
        relations = {name: values.pop(name) for name in RELATIONS if name in values}
        if "mute_times" in values:
            values["mute_times"] = [dict(each) for each in values["mute_times"]]
        return values, relations


class SilenceSerializer(serializers.ModelSerializer[Silence]):
    """A span in which nobody is told of matching alerts."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    rule = serializers.IntegerField(
        source="rule_id", required=False, allow_null=True, min_value=1, max_value=MOST_ID, help_text="Null: all rules."
    )
    dimension = serializers.ChoiceField(Dimension.choices, required=False, allow_blank=True)
    reason = serializers.CharField(max_length=300)

    class Meta:
        model = Silence
        fields = ("id", "monitor", "rule", "dimension", "key", "begin_at", "end_at", "reason", "created_at")
        read_only_fields = ("id", "created_at")


class AlertEventSerializer(serializers.ModelSerializer[AlertEvent]):
    """One step in the life of an alert."""

    by = serializers.CharField(allow_null=True, read_only=True)

    class Meta:
        model = AlertEvent
        fields = ("kind", "at", "by", "detail")


class AlertRowSerializer(serializers.ModelSerializer[Alert]):
    """An alert in a list."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    rule = serializers.IntegerField(source="rule_id", read_only=True, allow_null=True)
    assigned_to = serializers.CharField(allow_null=True, read_only=True)
    acknowledged_by = serializers.CharField(allow_null=True, read_only=True)

    class Meta:
        model = Alert
        fields = (
            "id", "monitor", "rule", "rule_name", "kind", "severity", "dimension", "key", "series", "within", "state",
            "started_at",
            "last_true_at", "fired_at", "resolved_at", "bucket_at", "strength", "is_late", "acknowledged_at",
            "acknowledged_by", "assigned_to", "escalated_at", "told_at", "told_count", "held_back", "usefulness",
        )  # fmt: skip
        read_only_fields = fields


class AlertSerializer(AlertRowSerializer):
    """An alert with its explanation, as it was written when it fired, and the steps of its life."""

    events = serializers.SerializerMethodField()

    class Meta(AlertRowSerializer.Meta):
        fields = (  # type: ignore[assignment]
            *AlertRowSerializer.Meta.fields,
            "explanation",
            "evidence",
            "events",
        )
        read_only_fields = fields  # type: ignore[assignment]

    @extend_schema_field(AlertEventSerializer(many=True))
    def get_events(self, alert: Alert) -> Any:
        """In their order."""
        return AlertEventSerializer(alert.events.select_related("by").order_by("id"), many=True).data


class AssignSerializer(serializers.Serializer[Any]):
    """Who answers for an alert."""

    user = serializers.EmailField(allow_null=True, help_text="Mail address of a member; null: nobody.")


class NoteSerializer(serializers.Serializer[Any]):
    """A note to an alert."""

    text = serializers.CharField(max_length=500)


class JudgeSerializer(serializers.Serializer[Any]):
    """Whether an alert was of use."""

    usefulness = serializers.ChoiceField(Usefulness.choices, allow_blank=True)


CLOCK: dict[str, Any] = {
    "choices": Clock.choices,
    "default": Clock.RECEIVED.value,
    "help_text": "By the time of arrival as it was judged, or by that of publication, with history that was brought in.",
}


class SpanSerializer(serializers.Serializer[Any]):
    """A span in the past."""

    begin_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    clock = serializers.ChoiceField(Clock.choices, required=False, help_text=BY_CLOCK)


class BackTestSerializer(RuleSerializer):
    """A rule that need not be saved, and the span it is tried on."""

    name = serializers.CharField(max_length=120, required=False)
    begin_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    clock = serializers.ChoiceField(Clock.choices, required=False, help_text=BY_CLOCK)

    class Meta(RuleSerializer.Meta):
        fields = (
            "name", "kind", "severity", "measure", "seconds", "dimension", "key", "within", "options", "hold_minutes",
            "keep_minutes", "clock", "begin_at", "end_at",
        )  # type: ignore[assignment]  # fmt: skip

    receivers = escalates_to = inhibited_by = mute_times = None  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        serializers.ModelSerializer.__init__(self, *args, **kwargs)


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    """A replay or back-test; `result` is null until it has ended."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True)
    state = serializers.CharField(source="job.state", read_only=True)

    class Meta:
        model = Replay
        fields = (
            "id",
            "monitor",
            "job",
            "state",
            "is_draft",
            "clock",
            "begin_at",
            "end_at",
            "clock",
            "rules",
            "result",
            "digest",
            "created_at",
        )
        read_only_fields = fields

"""REST endpoint that makes examples of requests."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import Dataset
from apps.inference import services
from apps.inference.sampling import CHAT, CLASSIFICATION, MOST_SAMPLED, Wanted
from core.access import fetch, require
from core.api.views import WorkspaceView

SHOWN = 20


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Look at what was corrected last month",
            {"kind": "chat", "filters": {"since": "2026-11-01", "corrected": "true"}, "most": 500, "preview": True},
            request_only=True,
        ),
        OpenApiExample(
            "Make a dataset of it",
            {"kind": "chat", "filters": {"corrected": "true"}, "most": 500, "seed": 7, "name": "Corrected"},
            request_only=True,
        ),
    ]
)
class SampleSerializer(serializers.Serializer[Any]):
    """Which requests become examples, and of which dataset: one that exists, or a new one by its name."""

    kind = serializers.ChoiceField([CHAT, CLASSIFICATION], default=CHAT)
    filters = serializers.DictField(
        child=serializers.CharField(max_length=300, allow_blank=True),
        required=False,
        default=dict,
        help_text="As GET /generations takes them; for labels: model_version, deployment, arm, api_key, state, since, until, "
        "thumb, corrected.",
    )
    most = serializers.IntegerField(required=False, default=200, min_value=1, max_value=MOST_SAMPLED)
    seed = serializers.IntegerField(required=False, default=0, min_value=0, max_value=10**9)
    redacts = serializers.BooleanField(required=False, default=True, help_text="Replace personal data (yes).")
    dataset = serializers.IntegerField(required=False, min_value=1)
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=120)
    preview = serializers.BooleanField(required=False, default=False, help_text="Only show what would be taken.")


class SampledSerializer(serializers.Serializer[Any]):
    """What was taken: counts, the first rows, and the import that brings them unless it was a preview."""

    count = serializers.IntegerField()
    corrected = serializers.IntegerField()
    findings = serializers.DictField(child=serializers.IntegerField(), help_text="Personal data by kind.")
    rows = serializers.ListField(child=serializers.DictField(), help_text="The first 20, as they would be stored.")
    dataset = serializers.IntegerField(allow_null=True)
    import_job = serializers.IntegerField(allow_null=True)


class SampleView(WorkspaceView):
    """Requests to model versions become examples of a dataset."""

    read_permission = "inference.read"
    write_permission = "datasets.write"

    @extend_schema(
        operation_id="samples_create",
        summary="Make a dataset of requests",
        request=SampleSerializer,
        responses=SampledSerializer,
    )
    def post(self, request: Request) -> Response:
        """Look (`preview`), or start the import."""
        require(self.actor, "inference.read")
        serializer = SampleSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        chosen = {name: values[name] for name in ("kind", "filters", "most", "seed", "redacts")}
        wanted = Wanted(**chosen)
        rows = services.require_sampled(self.actor, wanted)
        made = None
        if not values["preview"]:
            into = values.get("dataset")
            dataset = fetch(self.actor, Dataset, "datasets.write", pk=into) if into else None
            made = services.sample_requests(actor=self.actor, wanted=wanted, dataset=dataset, name=values["name"])
        findings: dict[str, int] = {}
        for row in rows:
            for kind, number in row.counts.items():
                findings[kind] = findings.get(kind, 0) + number
        answer = {
            "count": len(rows),
            "corrected": sum(row.corrected for row in rows),
            "findings": findings,
            "rows": [row.row for row in rows[:SHOWN]],
            "dataset": made.dataset_id if made else None,
            "import_job": made.pk if made else None,
        }
        return Response(answer, status=201 if made else 200)

"""REST endpoint of digests."""

from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment.digests import Period, begin_of_day, digest_of
from apps.sentiment.models import Monitor
from apps.sentiment.services.digests import plain
from core.access import fetch
from core.api.views import WorkspaceView
from core.errors import Refused
from words import say


class DigestSerializer(serializers.Serializer[Any]):
    """A period beside the one before it."""

    monitor = serializers.IntegerField()
    period = serializers.CharField()
    start_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    article_count = serializers.IntegerField()
    article_count_before = serializers.IntegerField()
    story_count = serializers.IntegerField()
    story_count_before = serializers.IntegerField()
    negative_share = serializers.FloatField(allow_null=True, help_text="Of the articles that were scored.")
    negative_share_before = serializers.FloatField(allow_null=True)
    top_stories = serializers.ListField(child=serializers.DictField())
    sources = serializers.ListField(child=serializers.DictField())
    alerts = serializers.ListField(child=serializers.DictField())
    worth_reading = serializers.ListField(child=serializers.DictField())


class _Asked(serializers.Serializer[Any]):
    period = serializers.ChoiceField(Period.choices, default=Period.DAY.value)
    until = serializers.DateField(required=False)


class DigestView(WorkspaceView):
    """The digest of a monitor."""

    read_permission, write_permission = "sentiment.read", "sentiment.write"

    @extend_schema(
        operation_id="monitors_digest",
        summary="Digest of a monitor",
        tags=["sentiment"],
        parameters=[
            OpenApiParameter("period", str, enum=Period.values),
            OpenApiParameter(
                "until", str, description="Day whose begin ends the period, YYYY-MM-DD; now when missing."
            ),
        ],
        responses=DigestSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        """What page, mail and PDF tell."""
        monitor = fetch(self.actor, Monitor, self.read_permission, pk=pk)
        asked = _Asked(data=request.query_params)
        asked.is_valid(raise_exception=True)
        day = asked.validated_data.get("until")
        until = begin_of_day(day, ZoneInfo(monitor.time_zone)) if day else timezone.now()
        if until is None:
            raise Refused("bad_day", say("There is no digest of this day."), field="until")
        return Response(plain(digest_of(monitor, period=asked.validated_data["period"], until=until)))

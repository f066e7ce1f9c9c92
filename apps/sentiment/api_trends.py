"""REST endpoint of trends."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment import selectors_trends as selectors
from apps.sentiment.api_saved import VIEW, filters_of, told_what_is_gone
from apps.sentiment.forms_trends import SPANS, TrendForm
from apps.sentiment.markets import Market
from apps.sentiment.models import BucketSize, Clock, Dimension, Monitor, ViewKind
from apps.sentiment.trends import Figures, Trend, TrendMeasure
from core.access import fetch
from core.api.views import WorkspaceView

TREND_FILTERS = [
    OpenApiParameter("measure", str, enum=TrendMeasure.values),
    OpenApiParameter("dimension", str, enum=Dimension.values),
    OpenApiParameter("key", str, many=True, description="Up to 8 series; the largest when missing."),
    OpenApiParameter("span", str, enum=[*SPANS, "dates"]),
    OpenApiParameter("since", str, description="First day in the monitor's time zone, YYYY-MM-DD."),
    OpenApiParameter("until", str, description="Last day."),
    OpenApiParameter("seconds", int, enum=BucketSize.values, description="By the span when missing."),
    OpenApiParameter("clock", str, enum=Clock.values),
    OpenApiParameter("market", str, enum=Market.values, description="Only its trading days."),
    OpenApiParameter("compare", bool, description="With as many buckets before."),
    OpenApiParameter("voice", bool, description="Values are shares among the series."),
    OpenApiParameter("topic", int, description="Only articles about it; not where the trend is split by topic."),
    OpenApiParameter("entity", str, description="Only articles that speak of it: its id, name or an alias."),
    OpenApiParameter("source", int, description="Only articles of it."),
    OpenApiParameter("language", str, description="Only articles in it, such as zh."),
    VIEW,
]


class TrendPointSerializer(serializers.Serializer[Any]):
    """One bucket of a series; a bucket that is missing is not zero."""

    start_at = serializers.DateTimeField()
    value = serializers.FloatField(allow_null=True, help_text="None where nobody has read its articles.")


class TrendTotalSerializer(serializers.Serializer[Any]):
    """Counts over the whole span."""

    article_count = serializers.IntegerField()
    story_count = serializers.IntegerField()
    scored_count = serializers.IntegerField()
    negative_count = serializers.IntegerField()
    positive_count = serializers.IntegerField()
    negative_share = serializers.FloatField(allow_null=True)
    net_sentiment = serializers.FloatField(allow_null=True)


class TrendSeriesSerializer(serializers.Serializer[Any]):
    """One series."""

    key = serializers.CharField()
    name = serializers.CharField()
    totals = TrendTotalSerializer()
    before = TrendTotalSerializer(allow_null=True)
    change = serializers.FloatField(allow_null=True, help_text="A share for counts, a difference for shares.")
    voice = serializers.FloatField(allow_null=True, help_text="Its share of the sum of all series asked for.")
    points = TrendPointSerializer(many=True)
    points_before = TrendPointSerializer(
        many=True, help_text="Of as many buckets before; empty when nothing is compared."
    )


class TrendSerializer(serializers.Serializer[Any]):
    """Series over the same buckets."""

    measure = serializers.CharField()
    dimension = serializers.CharField()
    within = serializers.DictField(help_text="What the articles are limited to; empty: all of them.")
    seconds = serializers.IntegerField()
    start_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    totals = TrendTotalSerializer(help_text="Of the series together.")
    series = TrendSeriesSerializer(many=True)


def plain(trend: Trend) -> dict[str, Any]:
    """A trend as its serializer takes it."""
    asked = trend.asked
    return {
        "measure": asked.measure,
        "dimension": asked.dimension,
        "within": asked.within.plain(),
        "seconds": asked.seconds,
        "start_at": asked.begin(asked.start_at),
        "end_at": asked.end_at,
        "totals": trend.totals,
        "series": [
            {
                "key": each.key,
                "name": each.name,
                "totals": each.totals,
                "before": each.before,
                "change": each.change(asked.measure),
                "voice": each.voice,
                "points": _points(each.points, trend.begins, trend.values(each)),
                "points_before": _points(each.then, trend.begins_before, trend.values_before(each)),
            }
            for each in trend.series
        ],
    }


def _points(
    counted: Mapping[datetime, Figures], begins: Sequence[datetime], values: Sequence[float | None]
) -> list[dict[str, Any]]:
    return [{"start_at": at, "value": value} for at, value in zip(begins, values, strict=True) if at in counted]


class TrendView(WorkspaceView):
    """Trends of a monitor."""

    read_permission, write_permission = "sentiment.read", "sentiment.write"

    @extend_schema(
        operation_id="monitors_trend",
        summary="Trend of a monitor",
        tags=["sentiment"],
        parameters=TREND_FILTERS,
        responses=TrendSerializer,
    )
    def get(self, request: Request, pk: int) -> Response:
        """What the page of trends draws."""
        monitor = fetch(self.actor, Monitor, self.read_permission, pk=pk)
        asked, gone = filters_of(self.actor, monitor, ViewKind.TRENDS, request.query_params)
        form = TrendForm(asked, monitor=monitor)
        errors: Any = form.errors
        if errors:
            raise serializers.ValidationError(errors)
        answer = Response(TrendSerializer(plain(selectors.trend_of(monitor, form.asked()))).data)
        return told_what_is_gone(answer, gone)

"""REST endpoints of the sentiment room."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sentiment import selectors, services
from apps.sentiment import serializers as shapes
from apps.sentiment.api_saved import VIEW, filters_of, told_what_is_gone
from apps.sentiment.filters import ArticleFilter
from apps.sentiment.models import Article, BucketSize, Clock, Dimension, Fetch, Monitor, Source, ViewKind
from apps.sentiment.pushing import take_push
from apps.sentiment.selectors_meaning import with_meaning
from core.access import fetch
from core.api.views import WorkspaceViewSet
from core.errors import Refused, conflict
from words import say

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"
AHEAD = timedelta(hours=1)  # how far a clock of others may be ahead of ours
ARTICLE_FILTERS = [
    OpenApiParameter("q", str, description="Words, in any language."),
    OpenApiParameter("source", int),
    OpenApiParameter("sentiment", str, enum=["negative", "neutral", "positive", "abstained", "unread"]),
    OpenApiParameter("topic", int, description="With those below it."),
    OpenApiParameter("alone", bool, description="The topic without those below it, as trends count it."),
    OpenApiParameter("entity", str, description="Id, name or alias."),
    OpenApiParameter("language", str, description="zh finds zh-Hans and zh-Hant."),
    OpenApiParameter("story", int),
    OpenApiParameter("since", str, description="Day of publication, YYYY-MM-DD."),
    OpenApiParameter("until", str),
    VIEW,
]


class MonitorViewSet(mixins.ListModelMixin, WorkspaceViewSet):
    """Monitors of the workspace."""

    queryset = Monitor.objects.prefetch_related("members").order_by("id")
    serializer_class = shapes.MonitorSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(summary="List monitors", tags=TAG)
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The oldest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(summary="Get a monitor", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With an ETag."""
        return self.etag_response(fetch(self.actor, Monitor, READ, pk=pk))

    @extend_schema(
        summary="Create a monitor",
        tags=TAG,
        responses={201: shapes.MonitorSerializer},
        examples=[
            OpenApiExample(
                "Counted, and read by the approved version",
                {"name": "Our brand", "time_zone": "Asia/Shanghai", "sentiment_model": "tone@champion"},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Its sources come next."""
        made = services.create_monitor(actor=self.actor, **self._values(request))
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        summary="Change a monitor",
        tags=TAG,
        examples=[OpenApiExample("Another version", {"sentiment_model": "tone@champion"}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; articles that were scored keep their scores."""
        monitor = fetch(self.actor, Monitor, WRITE, pk=pk)
        self.check_if_match(monitor)
        values = self._values(request, partial=True)
        return self.etag_response(services.change_monitor(actor=self.actor, monitor=monitor, **values))

    @extend_schema(summary="Delete a monitor", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its sources, articles and figures."""
        monitor = fetch(self.actor, Monitor, WRITE, pk=pk)
        self.check_if_match(monitor)
        services.delete_monitor(actor=self.actor, monitor=monitor)
        return Response(status=204)

    @extend_schema(
        operation_id="monitors_series",
        summary="Counts over time",
        tags=TAG,
        parameters=[
            OpenApiParameter("start_at", str, description="ISO 8601; 7 days before the end when missing."),
            OpenApiParameter("end_at", str, description="ISO 8601; now when missing."),
            OpenApiParameter("seconds", int, enum=BucketSize.values, description="Length of a bucket (3600)."),
            OpenApiParameter("clock", str, enum=Clock.values),
            OpenApiParameter("dimension", str, enum=Dimension.values),
            OpenApiParameter("key", str, description="Id of a source, topic or entity; code of a language."),
            OpenApiParameter("model_version", int, description="When missing, of each bucket the one that read most."),
        ],
        responses=shapes.SeriesSerializer,
    )
    def series(self, request: Request, pk: int) -> Response:
        """Articles and stories as they came, and how a version found them to be meant."""
        monitor = fetch(self.actor, Monitor, READ, pk=pk)
        asked = _SeriesQuery(data=request.query_params)
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        end_at = values.pop("end_at", None) or timezone.now()
        start_at = values.pop("start_at", None) or end_at - timedelta(days=7)
        if (end_at - start_at).total_seconds() > selectors.MOST_BUCKETS * values["seconds"]:
            said = say("Ask for at most {most} buckets at once.", most=selectors.MOST_BUCKETS)
            raise Refused("too_many_buckets", said, field="start_at")
        found = selectors.series_of(
            monitor, start_at=start_at, end_at=end_at, version_id=values.pop("model_version", None), **values
        )
        return Response(shapes.SeriesSerializer(found).data)

    @extend_schema(
        operation_id="monitors_articles",
        summary="List articles",
        tags=TAG,
        parameters=ARTICLE_FILTERS,
        responses=shapes.ArticleSerializer(many=True),
    )
    def articles(self, request: Request, pk: int) -> Response:
        """Newest first, without their texts."""
        monitor = fetch(self.actor, Monitor, READ, pk=pk)
        asked, gone = filters_of(self.actor, monitor, ViewKind.ARTICLES, request.query_params)
        rows = with_meaning(selectors.articles_of(monitor).defer("body", "search"))
        filters = ArticleFilter(asked, rows, monitor=monitor)
        if not filters.is_valid():
            raise serializers.ValidationError(filters.errors)
        page = self.paginate_queryset(filters.qs)
        answer = self.get_paginated_response(shapes.ArticleSerializer(page, many=True).data)
        return told_what_is_gone(answer, gone)

    def _values(self, request: Request, *, partial: bool = False) -> dict[str, Any]:
        serializer = self.get_serializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class _SeriesQuery(serializers.Serializer[Any]):
    start_at = serializers.DateTimeField(required=False)
    end_at = serializers.DateTimeField(required=False)
    seconds = serializers.ChoiceField(BucketSize.choices, default=BucketSize.HOUR.value)
    clock = serializers.ChoiceField(Clock.choices, default=Clock.PUBLISHED.value)
    dimension = serializers.ChoiceField(Dimension.choices, default=Dimension.TOTAL.value)
    key = serializers.CharField(max_length=60, required=False, default="", allow_blank=True)
    model_version = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class SourceViewSet(WorkspaceViewSet):
    """Sources of monitors."""

    within = "monitor__workspace"
    queryset = Source.objects.select_related("monitor").order_by("id")
    serializer_class = shapes.SourceSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_sources_list", summary="List sources of a monitor", tags=TAG)
    def list(self, request: Request, monitor: int) -> Response:
        """The oldest first, with how they are."""
        rows = self.get_queryset().filter(monitor=fetch(self.actor, Monitor, READ, pk=monitor))
        page = self.paginate_queryset(rows) or []
        context = {**self.get_serializer_context(), "healths": selectors.healths_of(page)}
        return self.get_paginated_response(shapes.SourceSerializer(page, many=True, context=context).data)

    @extend_schema(
        operation_id="monitors_sources_create",
        summary="Add a source",
        tags=TAG,
        responses={201: shapes.SourceSerializer},
        examples=[
            OpenApiExample(
                "A feed", {"kind": "feed", "name": "Daily", "url": "https://news.example.com/rss"}, request_only=True
            ),
            OpenApiExample("A program pushes", {"kind": "push", "name": "Crawler"}, request_only=True),
        ],
    )
    def create(self, request: Request, monitor: int) -> Response:
        """A feed is read at once."""
        found = fetch(self.actor, Monitor, WRITE, pk=monitor)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        made = services.add_source(actor=self.actor, monitor=found, **serializer.validated_data)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(summary="Get a source", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With how it is."""
        return self.etag_response(self._one(pk, READ))

    @extend_schema(
        summary="Change a source",
        tags=TAG,
        examples=[OpenApiExample("Read every hour", {"interval_minutes": 60}, request_only=True)],
    )
    def partial_update(self, request: Request, pk: int) -> Response:
        """Only what is given changes; the kind stays."""
        source = self._one(pk, WRITE)
        self.check_if_match(source)
        serializer = self.get_serializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values = dict(serializer.validated_data)
        if values.pop("kind", source.kind) != source.kind:
            raise Refused("kind_stays", say("A source keeps its kind."), field="kind")
        return self.etag_response(services.change_source(actor=self.actor, source=source, **values))

    @extend_schema(summary="Delete a source", tags=TAG, responses={204: None})
    def destroy(self, request: Request, pk: int) -> Response:
        """With its articles."""
        services.remove_source(actor=self.actor, source=self._one(pk, WRITE))
        return Response(status=204)

    @extend_schema(summary="Read a feed now", tags=TAG, request=None, responses={202: None})
    def read(self, request: Request, pk: int) -> Response:
        """As soon as a worker is free."""
        services.fetch_now(source=self._one(pk, WRITE))
        return Response(status=202)

    @extend_schema(
        operation_id="sources_rotate_secret",
        summary="Another secret of a webhook",
        tags=TAG,
        request=None,
        responses=shapes.HookSecretSerializer,
    )
    def rotate_secret(self, request: Request, pk: int) -> Response:
        """Shown this once; the old one counts beside it for a day."""
        return Response({"secret": services.rotate_hook_secret(actor=self.actor, source=self._one(pk, WRITE))})

    @extend_schema(
        operation_id="sources_readings",
        summary="Readings of a source",
        tags=TAG,
        responses=shapes.FetchSerializer(many=True),
    )
    def readings(self, request: Request, pk: int) -> Response:
        """Newest first."""
        rows: Any = Fetch.objects.filter(source=self._one(pk, READ)).order_by("-id")
        return self.get_paginated_response(shapes.FetchSerializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(
        operation_id="sources_push",
        summary="Push articles",
        tags=TAG,
        request=shapes.PushSerializer,
        responses={207: shapes.PushedAnswerSerializer},
        examples=[
            OpenApiExample(
                "One article",
                {
                    "items": [
                        {"external_id": "a-1", "title": "Shares fall", "published_at": "2026-11-27T08:00:00+08:00"}
                    ]
                },
                request_only=True,
            )
        ],
    )
    def push(self, request: Request, pk: int) -> Response:
        """Up to 1,000 at once; each has its own result, and one that came before is `seen`."""
        source = self._one(pk, WRITE)
        if not source.is_enabled:
            raise conflict("not_read", say("This source is switched off."))
        return Response(take_push(source, request.data), status=207)

    def _one(self, pk: int, permission: str) -> Source:
        return fetch(self.actor, Source.objects.select_related("monitor"), permission, pk=pk, within=self.within)


class ArticleViewSet(WorkspaceViewSet):
    """Articles of monitors."""

    within = "monitor__workspace"
    queryset = Article.objects.all()
    serializer_class = shapes.WholeArticleSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(summary="Get an article", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """With its text, and what each version said of it."""
        rows = Article.objects.select_related("source", "story").prefetch_related("scores__model_version__family")
        rows = with_meaning(rows)
        return self.etag_response(fetch(self.actor, rows, READ, pk=pk, within=self.within))

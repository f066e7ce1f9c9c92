"""REST endpoints of corrections, and of the dataset versions and training jobs that come of them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import Correction
from apps.sentiment import corrected, services
from apps.sentiment.filters import CorrectionFilter
from apps.sentiment.models import Article, AspectKind, Lesson, Monitor
from apps.sentiment.services.lessons import SAMPLE_SHARES
from core.access import fetch
from core.api.views import WorkspaceViewSet

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"


class CorrectionSerializer(serializers.ModelSerializer[Correction]):
    """What a person said is right about an article; of one text and aspect the newest counts."""

    article = serializers.CharField(source="number", help_text="Id of the article it was said of.")
    aspect = serializers.CharField(help_text="sentiment, topic:<id> or target:<id of an entity>.")
    subject = serializers.CharField(
        read_only=True, help_text="Name of the topic or entity; empty of sentiment, and where it is looked for no more."
    )
    previous_label = serializers.CharField(
        help_text="What had been said of it then: negative, neutral, positive or abstained; of a topic yes or no."
    )
    model_version = serializers.CharField(help_text="Which version had said so; “words” where words give the topic.")

    class Meta:
        model = Correction
        fields = (
            "id", "article", "aspect", "subject", "label", "previous_label", "model_version", "model_version_id", "note",
            "author", "at",
        )  # fmt: skip
        read_only_fields = fields


class CorrectSerializer(serializers.Serializer[Any]):
    """What is right."""

    aspect = serializers.CharField(
        max_length=200,
        default=services.SENTIMENT,
        help_text="sentiment, topic:<key or id>, or target:<name or id of an entity>; digits are an id.",
    )
    label = serializers.CharField(  # type: ignore[assignment]
        max_length=200, help_text="negative, neutral or positive; of a topic yes or no."
    )
    note = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class LessonSerializer(serializers.ModelSerializer[Lesson]):
    """Corrections as a dataset version, and the training job that learns from it."""

    dataset = serializers.IntegerField(source="dataset_version.dataset_id")
    dataset_version_number = serializers.IntegerField(source="dataset_version.number")
    is_frozen = serializers.SerializerMethodField()

    class Meta:
        model = Lesson
        fields = (
            "id", "monitor", "aspect", "model", "dataset", "dataset_version", "dataset_version_number", "is_frozen",
            "training_job", "correction_count", "left_count", "sample_count", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_is_frozen(self, lesson: Lesson) -> bool:
        """Whether it can be learnt from."""
        return lesson.dataset_version.frozen_at is not None


class MakeLessonSerializer(serializers.Serializer[Any]):
    """What is to be learnt, by which version, and how many articles that a version was sure about go with each correction."""

    aspect = serializers.ChoiceField(choices=AspectKind.choices, default=AspectKind.SENTIMENT)
    model = serializers.CharField(
        max_length=160,
        required=False,
        default="",
        allow_blank=True,
        help_text="As the monitor names the version; the first that gives the aspect when missing.",
    )
    sample_share = serializers.ChoiceField(choices=SAMPLE_SHARES, default=1)


class CorrectionViewSet(WorkspaceViewSet):
    """Corrections of articles."""

    queryset = Correction.objects.all()
    serializer_class = CorrectionSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_corrections", summary="Corrections of a monitor", tags=TAG)
    def list(self, request: Request, pk: int) -> Response:
        """What counts, newest first; filters as on the page: q, aspect (sentiment, topic, target), label, otherwise (yes, no),
        author."""
        monitor = fetch(self.actor, Monitor, READ, pk=pk)
        rows = corrected.corrections_of(monitor)
        filters = CorrectionFilter(request.query_params, rows)
        found = corrected.with_subjects(
            monitor, self.paginate_queryset(filters.qs if filters.is_valid() else rows.none()) or []
        )
        return self.get_paginated_response(self.get_serializer(found, many=True).data)

    @extend_schema(
        operation_id="articles_correct",
        summary="Correct an article",
        tags=TAG,
        request=CorrectSerializer,
        responses={201: CorrectionSerializer},
        examples=[
            OpenApiExample("It is negative", {"label": "negative"}, request_only=True),
            OpenApiExample("It is not about prices", {"aspect": "topic:prices", "label": "no"}, request_only=True),
            OpenApiExample("It praises Acme", {"aspect": "target:Acme", "label": "positive"}, request_only=True),
        ],
    )
    def create(self, request: Request, pk: int) -> Response:
        """Of each aspect the newest word counts; saying the same again makes nothing new. What versions said stays."""
        article = self._article(pk)
        asked = CorrectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.correct_article(actor=self.actor, article=article, **asked.validated_data)
        [told] = corrected.with_subjects(article.monitor, [made])
        return Response(self.get_serializer(told).data, status=201)

    @extend_schema(
        operation_id="articles_take_back",
        summary="Take a correction back",
        tags=TAG,
        parameters=[OpenApiParameter("aspect", str, description="As it was said; sentiment when missing.")],
        responses={204: None},
    )
    def destroy(self, request: Request, pk: int) -> Response:
        """It stays in the history and does not count any more."""
        aspect = request.query_params.get("aspect", services.SENTIMENT)
        services.take_back(actor=self.actor, article=self._article(pk), aspect=aspect)
        return Response(status=204)

    def _article(self, pk: int) -> Article:
        rows = Article.objects.select_related("monitor").defer("search")
        return fetch(self.actor, rows, WRITE, pk=pk, within="monitor__workspace")


class LessonViewSet(WorkspaceViewSet):
    """What corrections became."""

    within = "monitor__workspace"
    queryset = Lesson.objects.select_related("monitor__workspace", "dataset_version").order_by("-id")
    serializer_class = LessonSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_lessons", summary="Lessons of a monitor", tags=TAG)
    def list(self, request: Request, pk: int) -> Response:
        """Newest first."""
        rows = corrected.lessons_of(fetch(self.actor, Monitor, READ, pk=pk))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(
        operation_id="monitors_make_lesson",
        summary="Make a dataset version of corrections",
        tags=TAG,
        request=MakeLessonSerializer,
        responses={202: LessonSerializer},
        examples=[
            OpenApiExample("With as many sure articles", {"sample_share": 1}, request_only=True),
            OpenApiExample("Of topics", {"aspect": "topic", "model": "about@prod"}, request_only=True),
        ],
    )
    def create(self, request: Request, pk: int) -> Response:
        """It is frozen a moment later; with nothing new it is the one before."""
        monitor = fetch(self.actor, Monitor, WRITE, pk=pk)
        asked = MakeLessonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.make_lesson(actor=self.actor, monitor=monitor, **asked.validated_data)
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="A lesson", tags=TAG)
    def retrieve(self, request: Request, pk: int) -> Response:
        """Whether it is frozen, and what learns from it."""
        return Response(self.get_serializer(fetch(self.actor, self.queryset, READ, pk=pk, within=self.within)).data)

    @extend_schema(
        operation_id="lessons_train",
        summary="Train on a lesson",
        tags=TAG,
        request=None,
        responses={202: LessonSerializer},
    )
    def train(self, request: Request, pk: int) -> Response:
        """The version it is for goes on learning; asked twice it is the same job."""
        found = fetch(self.actor, self.queryset.all(), WRITE, pk=pk, within=self.within)
        services.train_lesson(actor=self.actor, lesson=found)
        found.refresh_from_db()
        return Response(self.get_serializer(found).data, status=202)

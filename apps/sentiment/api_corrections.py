"""REST endpoints of corrections, and of the dataset versions and training jobs that come of them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.datasets.models import Correction
from apps.sentiment import corrected, services
from apps.sentiment.filters import CorrectionFilter
from apps.sentiment.models import Article, Lesson, Monitor
from apps.sentiment.services.corrections import SAMPLE_SHARES
from core.access import fetch
from core.api.views import WorkspaceViewSet

TAG = ["sentiment"]
READ, WRITE = "sentiment.read", "sentiment.write"


class CorrectionSerializer(serializers.ModelSerializer[Correction]):
    """What a person said is right about an article; of one text and aspect the newest counts."""

    article = serializers.CharField(source="number", help_text="Id of the article it was said of.")

    class Meta:
        model = Correction
        fields = (
            "id", "article", "aspect", "label", "previous_label", "model_version", "model_version_id", "note", "author", "at",
        )  # fmt: skip
        read_only_fields = fields


class CorrectSerializer(serializers.Serializer[Any]):
    """What is right."""

    aspect = serializers.CharField(
        max_length=200, default=services.SENTIMENT, help_text="sentiment, topic, or target:<name>."
    )
    label = serializers.CharField(  # type: ignore[assignment]
        max_length=200, help_text="negative, neutral or positive; of a topic any."
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
            "id", "monitor", "dataset", "dataset_version", "dataset_version_number", "is_frozen", "training_job",
            "correction_count", "sample_count", "created_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_is_frozen(self, lesson: Lesson) -> bool:
        """Whether it can be learnt from."""
        return lesson.dataset_version.frozen_at is not None


class MakeLessonSerializer(serializers.Serializer[Any]):
    """How many articles that a version was sure about go with each correction."""

    sample_share = serializers.ChoiceField(choices=SAMPLE_SHARES, default=1)


class CorrectionViewSet(WorkspaceViewSet):
    """Corrections of articles."""

    queryset = Correction.objects.all()
    serializer_class = CorrectionSerializer
    read_permission = READ
    write_permission = WRITE

    @extend_schema(operation_id="monitors_corrections", summary="Corrections of a monitor", tags=TAG)
    def list(self, request: Request, pk: int) -> Response:
        """What counts, newest first; filters as on the page: q, label, otherwise (yes, no), author."""
        rows = corrected.corrections_of(fetch(self.actor, Monitor, READ, pk=pk))
        filters = CorrectionFilter(request.query_params, rows)
        found = self.paginate_queryset(filters.qs if filters.is_valid() else rows.none())
        return self.get_paginated_response(self.get_serializer(found, many=True).data)

    @extend_schema(
        operation_id="articles_correct",
        summary="Correct an article",
        tags=TAG,
        request=CorrectSerializer,
        responses={201: CorrectionSerializer},
        examples=[OpenApiExample("It is negative", {"label": "negative"}, request_only=True)],
    )
    def create(self, request: Request, pk: int) -> Response:
        """The newest word counts; saying the same again makes nothing new. Scores stay as versions made them."""
        article = self._article(pk)
        asked = CorrectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = services.correct_article(actor=self.actor, article=article, **asked.validated_data)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(
        operation_id="articles_take_back",
        summary="Take a correction back",
        tags=TAG,
        parameters=[OpenApiParameter("aspect", str, description="sentiment when missing.")],
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
        examples=[OpenApiExample("With as many sure articles", {"sample_share": 1}, request_only=True)],
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
        """The monitor's version goes on learning; asked twice it is the same job."""
        found = fetch(self.actor, self.queryset.all(), WRITE, pk=pk, within=self.within)
        services.train_lesson(actor=self.actor, lesson=found)
        found.refresh_from_db()
        return Response(self.get_serializer(found).data, status=202)

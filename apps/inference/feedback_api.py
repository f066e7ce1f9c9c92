"""REST endpoints of feedback."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import services
from apps.inference.feedback_filters import FeedbackFilter
from apps.inference.models import Feedback, FeedbackRevision, Reason, Thumb
from core.access import fetch
from core.api.views import WorkspaceViewSet


class FeedbackRevisionSerializer(serializers.ModelSerializer[FeedbackRevision]):
    """What a feedback said before a change."""

    corrected_labels = serializers.ListField(child=serializers.CharField(), read_only=True, allow_null=True)

    class Meta:
        model = FeedbackRevision
        fields = ("at", "thumb", "reason", "note", "corrected_answer", "corrected_labels")
        read_only_fields = fields


class FeedbackSerializer(serializers.ModelSerializer[Feedback]):
    """What one author thinks of one answer; one of generation, request and prediction is its row."""

    request = serializers.IntegerField(source="online_request_id", read_only=True, allow_null=True)
    corrected_labels = serializers.ListField(child=serializers.CharField(), read_only=True, allow_null=True)

    class Meta:
        model = Feedback
        fields = (
            "id", "model_version", "generation", "request", "prediction", "index", "thumb", "reason", "note",
            "corrected_answer", "corrected_labels", "user", "api_key", "end_user", "created_at", "updated_at",
        )  # fmt: skip
        read_only_fields = fields


class WholeFeedbackSerializer(FeedbackSerializer):
    """One feedback with what it said before."""

    revisions = FeedbackRevisionSerializer(many=True, read_only=True)

    class Meta:
        model = Feedback
        fields = (*FeedbackSerializer.Meta.fields, "revisions")
        read_only_fields = fields


@extend_schema_serializer(
    examples=[
        OpenApiExample("A thumb", {"target": "chatcmpl-17", "thumb": "up"}, request_only=True),
        OpenApiExample(
            "A correction of an end user",
            {"target": "chatcmpl-17", "thumb": "down", "reason": "wrong", "corrected_answer": "We open at nine.",
             "end_user": "visitor-9"},
            request_only=True,
        ),
        OpenApiExample("Other labels", {"target": "classify-4", "index": 1, "corrected_labels": ["loan"]},
                       request_only=True),
    ]
)  # fmt: skip
class GiveFeedbackSerializer(serializers.Serializer[Any]):
    """What you think of an answer. What you leave out stays as it was, what is null or empty is taken back."""

    target = serializers.CharField(
        max_length=60,
        help_text="The id you got: chatcmpl-, cmpl-, embd-, classify-, rerank- or score- and a number, or generation-, "
        "request- or prediction- and the id below /generations, of a single request, or of a row of a batch.",
    )
    index = serializers.IntegerField(
        required=False, default=0, min_value=0, help_text="Which of its answers or texts, from 0."
    )
    thumb = serializers.ChoiceField(Thumb.choices, required=False, allow_blank=True, allow_null=True)
    reason = serializers.ChoiceField(Reason.choices, required=False, allow_blank=True, allow_null=True)
    note = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=5_000)
    corrected_answer = serializers.CharField(
        required=False, allow_blank=True, allow_null=True, max_length=100_000, trim_whitespace=False
    )
    corrected_labels = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, allow_null=True, max_length=50
    )
    end_user = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=200, help_text="For whom you speak, as you name them."
    )


class FeedbackViewSet(WorkspaceViewSet):
    """What people and programs think of answers."""

    queryset = Feedback.objects.order_by("-id")
    serializer_class = FeedbackSerializer
    filterset_class = FeedbackFilter
    read_permission = "inference.read"
    write_permission = "inference.write"

    @extend_schema(operation_id="feedback_list", summary="List feedback")
    def list(self, request: Request) -> Response:
        """Newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Say what you think of an answer", request=GiveFeedbackSerializer, responses=FeedbackSerializer
    )
    def create(self, request: Request) -> Response:
        """Make or change the one feedback that you, or the end user you name, have on this answer."""
        serializer = GiveFeedbackSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        said = dict(serializer.validated_data)
        name, index, end_user = said.pop("target"), said.pop("index"), said.pop("end_user")
        target = services.feedback_target(self.actor, name, index, self.write_permission)
        made = services.give_feedback(actor=self.actor, target=target, said=said, end_user=end_user)
        return Response(self.get_serializer(made).data)

    @extend_schema(summary="One feedback with what it said before", responses=WholeFeedbackSerializer)
    def retrieve(self, request: Request, pk: int) -> Response:
        """All it says, and said."""
        rows = Feedback.objects.prefetch_related("revisions")
        return Response(WholeFeedbackSerializer(fetch(self.actor, rows, self.read_permission, pk=pk)).data)

"""REST endpoints of why a version gives a text a label."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.inference import services
from apps.inference.models import OnlineKind, OnlineRequest
from apps.inference.selectors import explanation_of
from apps.registry.selectors import resolve_version
from core.access import fetch
from core.api.views import WorkspaceViewSet


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Why is this negative?",
            {"model": "tone@champion", "text": "Shares fall after a surprising loss", "label": "negative"},
            request_only=True,
        )
    ]
)
class AskAttributionSerializer(serializers.Serializer[Any]):
    """A version that labels texts, and a text."""

    model = serializers.CharField(max_length=140)
    text = serializers.CharField(max_length=services.MOST_ATTRIBUTED_CHARACTERS, trim_whitespace=False)
    label = serializers.CharField(  # type: ignore[assignment]
        max_length=200, required=False, default="", allow_blank=True, help_text="The predicted one when missing."
    )


class TokenPlaceSerializer(serializers.Serializer[Any]):
    """text[start:end] in code points, and the log-odds of the label that it is worth."""

    start = serializers.IntegerField()
    end = serializers.IntegerField()
    surface = serializers.CharField(trim_whitespace=False)
    attribution = serializers.FloatField()


class WordSerializer(TokenPlaceSerializer):
    """A word: the sum of its tokens, and how much the log-odds fall when it alone is left out."""

    occlusion = serializers.FloatField(allow_null=True, help_text="null: it was not left out; at most 64 words are.")


class AttributedSerializer(serializers.Serializer[Any]):
    """Integrated gradients of the log-odds of a label, from a text in which nothing is said to the text."""

    label = serializers.CharField()  # type: ignore[assignment]
    probability = serializers.FloatField()
    baseline_probability = serializers.FloatField()
    log_odds = serializers.FloatField()
    baseline_log_odds = serializers.FloatField()
    baseline = serializers.CharField(help_text="The token that stands for each token of the text: mask, pad, unk, eos.")
    steps = serializers.IntegerField(help_text="Gradients that were taken.")
    error_share = serializers.FloatField(
        help_text="|sum of attributions - (log_odds - baseline_log_odds)| as a share of that difference."
    )
    is_complete = serializers.BooleanField(help_text="Whether error_share is at most 0.02.")
    token_count = serializers.IntegerField()
    tokens = TokenPlaceSerializer(many=True)
    words = WordSerializer(many=True)
    occluded_count = serializers.IntegerField()
    occlusion_correlation = serializers.FloatField(
        allow_null=True, help_text="Spearman's, of attributions and of what leaving words out does."
    )
    read_characters = serializers.IntegerField(help_text="What stands behind them, the version does not read.")


class AttributionSerializer(serializers.ModelSerializer[OnlineRequest]):
    """A text and, once done, which words the label comes from."""

    text = serializers.SerializerMethodField()
    attribution = serializers.SerializerMethodField()

    class Meta:
        model = OnlineRequest
        fields = (
            "id", "model_version", "state", "text", "label", "attribution", "error_message", "created_at", "answered_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_text(self, asked: OnlineRequest) -> str:
        """As it was read."""
        return str(asked.texts[0])

    @extend_schema_field(AttributedSerializer(allow_null=True))
    def get_attribution(self, asked: OnlineRequest) -> dict[str, Any] | None:
        """None until it is done."""
        return explanation_of(asked)


class AttributionViewSet(WorkspaceViewSet):
    """Which words of a text a version gives a label by."""

    queryset = OnlineRequest.objects.filter(kind=OnlineKind.ATTRIBUTE)
    serializer_class = AttributionSerializer
    read_permission = "inference.read"
    write_permission = "inference.write"
    spends_tokens = True

    @extend_schema(
        summary="Ask why a text gets a label",
        request=AskAttributionSerializer,
        responses={202: AttributionSerializer},
    )
    def create(self, request: Request) -> Response:
        """The answer takes a second or a few: read it by the returned id."""
        serializer = AskAttributionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = serializer.validated_data
        version = resolve_version(self.actor.workspace, values["model"])
        passed = services.guard_texts(self.actor, None, [values["text"]])
        made = services.ask_attribution(
            actor=self.actor, version=version, text=values["text"], label=values["label"], guarded=passed
        )
        return Response(self.get_serializer(made).data, status=202)

    @extend_schema(summary="Why a text gets a label")
    def retrieve(self, request: Request, pk: int) -> Response:
        """State and, once done, tokens and words with what they are worth."""
        asked = fetch(self.actor, self.queryset.all(), self.read_permission, pk=pk)
        return Response(self.get_serializer(asked).data)

"""An explained sentence as the API shows it."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.inference.models import OnlineRequest
from apps.inference.selectors import explanation_of
from apps.inference.services import MAX_SENTENCE_CHARACTERS
from engine.specs.explanation import DEFAULT_SENTENCE, MAX_TOKENS


@extend_schema_serializer(
    examples=[
        OpenApiExample("Explain a sentence", {"model": "Bot@champion", "text": DEFAULT_SENTENCE}, request_only=True)
    ]
)
class AskExplanationSerializer(serializers.Serializer[Any]):
    """A model version that writes, and a sentence."""

    model = serializers.CharField(max_length=140)
    text = serializers.CharField(
        max_length=MAX_SENTENCE_CHARACTERS,
        trim_whitespace=False,
        default=DEFAULT_SENTENCE,
        help_text=f"At most {MAX_TOKENS} tokens.",
    )


class HeadSerializer(serializers.Serializer[Any]):
    """Which head of which layer, both from 0."""

    layer = serializers.IntegerField(required=False, min_value=0)
    head = serializers.IntegerField(default=0, min_value=0)


class TokenSerializer(serializers.Serializer[Any]):
    """A token and how it reads; a part of a character reads as its bytes."""

    id = serializers.IntegerField()
    text = serializers.CharField()


class CandidateSerializer(TokenSerializer):
    """A token that may come next: probability = exp(logit - logsumexp)."""

    logit = serializers.FloatField()
    probability = serializers.FloatField()


class TargetSerializer(CandidateSerializer):
    """The token that did come next: loss = -log(probability)."""

    rank = serializers.IntegerField(help_text="1: no token was more probable.")
    loss = serializers.FloatField()


class NextSerializer(serializers.Serializer[Any]):
    """What is expected after a position."""

    logsumexp = serializers.FloatField()
    top = CandidateSerializer(many=True)
    target = TargetSerializer(allow_null=True, help_text="null after the last token.")


class VectorSerializer(serializers.Serializer[Any]):
    """The first numbers of a token's embedding and position, and the lengths of these vectors."""

    token = serializers.ListField(child=serializers.FloatField())
    token_length = serializers.FloatField()
    place = serializers.ListField(child=serializers.FloatField(), allow_null=True, help_text="null when rotary.")
    place_length = serializers.FloatField(allow_null=True)


class StepSerializer(serializers.Serializer[Any]):
    """A token in a block: mean and scale of its norm, and how long the stream and what is added to it are."""

    mean = serializers.FloatField()
    scale = serializers.FloatField()
    before = serializers.FloatField()
    attention = serializers.FloatField()
    feed_forward = serializers.FloatField()
    after = serializers.FloatField()


class LayerSerializer(serializers.Serializer[Any]):
    """One block, token by token."""

    layer = serializers.IntegerField()
    steps = StepSerializer(many=True)


class ToldSerializer(serializers.Serializer[Any]):
    """What the model computed over the sentence."""

    shape = serializers.DictField(help_text="Layers, heads, widths and the kinds of positions, norm and activation.")
    tokens = TokenSerializer(many=True)
    vectors = VectorSerializer(many=True)
    angles = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()), allow_null=True, help_text="Of rotary positions."
    )
    layers = LayerSerializer(many=True)
    attention_layers = serializers.ListField(child=serializers.IntegerField(), source="scores.layers")
    next = NextSerializer(many=True)
    loss = serializers.FloatField(allow_null=True, help_text="Mean over the tokens after the first.")


class ExplanationSerializer(serializers.ModelSerializer[OnlineRequest]):
    """A sentence and, once done, what the model computed over it."""

    text = serializers.SerializerMethodField()
    explanation = serializers.SerializerMethodField()

    class Meta:
        model = OnlineRequest
        fields = ("id", "model_version", "state", "text", "explanation", "error_message", "created_at", "answered_at")
        read_only_fields = fields

    def get_text(self, asked: OnlineRequest) -> str:
        """The sentence."""
        return str(asked.texts[0])

    @extend_schema_field(ToldSerializer(allow_null=True))
    def get_explanation(self, asked: OnlineRequest) -> dict[str, Any] | None:
        """None until it is done."""
        told = explanation_of(asked)
        return None if told is None else dict(ToldSerializer(told).data)


class RowSerializer(serializers.Serializer[Any]):
    """What one position looks at: itself and what came before."""

    scores = serializers.ListField(child=serializers.FloatField(), help_text="q k / sqrt(d), before the softmax.")
    weights = serializers.ListField(child=serializers.FloatField(), help_text="They add up to 1.")
    future_share = serializers.FloatField(help_text="The weight that later tokens would take without the mask.")


class AttentionSerializer(serializers.Serializer[Any]):
    """One head over the sentence."""

    layer = serializers.IntegerField()
    head = serializers.IntegerField()
    tokens = TokenSerializer(many=True)
    rows = RowSerializer(many=True)

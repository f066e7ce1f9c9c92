"""Batches and predictions as the API shows and takes them."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.datasets.models import Split
from apps.inference.models import (
    BatchJob,
    Finish,
    Generation,
    GenerationState,
    OnlineRequest,
    OnlineState,
    Prediction,
)
from apps.inference.services import LARGEST_ANSWER_TOKENS, MAX_RANKED_TEXTS, OPEN
from core.api.spoken import SpokenListField
from engine.specs.records import ROLES


class BatchJobSerializer(serializers.ModelSerializer[BatchJob]):
    """A batch with the state of its job."""

    state = serializers.CharField(source="job.state", read_only=True)
    job = serializers.IntegerField(source="job_id", read_only=True, help_text="Id below /jobs, with log and progress.")
    error_code = serializers.CharField(source="job.error_code", read_only=True)
    error_message = serializers.CharField(source="job.error_message", read_only=True)
    finished_at = serializers.DateTimeField(source="job.finished_at", read_only=True, allow_null=True)
    label_counts = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    bad_rows = SpokenListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = BatchJob
        fields = (
            "id", "model_version", "reference", "source", "dataset_version", "split", "file_name", "text_column",
            "context_column", "id_column", "max_new_tokens", "row_count", "stored_count", "bad_count", "bad_rows",
            "label_counts", "created_at", "job", "state", "error_code", "error_message", "finished_at",
        )  # fmt: skip
        read_only_fields = fields


class PredictionSerializer(serializers.ModelSerializer[Prediction]):
    """One labelled or marked text, or one answered chat."""

    labels = serializers.ListField(child=serializers.CharField(), read_only=True)
    probabilities = serializers.ListField(
        child=serializers.ListField(), read_only=True, help_text="[[label, probability], ...], the highest few."
    )

    spans = serializers.ListField(
        child=serializers.DictField(),
        read_only=True,
        allow_null=True,
        help_text="Of a tagger: start, end (code points), label and probability of each span.",
    )
    messages = serializers.ListField(
        child=serializers.DictField(), read_only=True, allow_null=True, help_text="Of a chat: what was said before."
    )
    vector = serializers.ListField(
        child=serializers.FloatField(), read_only=True, allow_null=True, help_text="Of a version that makes vectors."
    )
    finish = serializers.CharField(
        read_only=True,
        help_text="Of an answer: stop, length, too_long (no room behind the prompt), unreadable, blocked or refused.",
    )

    class Meta:
        model = Prediction
        fields = (
            "id", "model_version", "position", "custom_id", "text", "labels", "label", "probability", "probabilities",
            "spans", "context", "vector", "messages", "answer", "finish", "answer_tokens",
        )  # fmt: skip
        read_only_fields = fields


class MessageSerializer(serializers.Serializer[Any]):
    """One message of a chat."""

    role = serializers.ChoiceField(choices=ROLES)
    content = serializers.CharField(max_length=100_000, trim_whitespace=False)


class TextItemSerializer(serializers.Serializer[Any]):
    """One text to label, or for a chat version one prompt: a text or messages."""

    id = serializers.CharField(required=False, default="", allow_blank=True, max_length=500)
    text = serializers.CharField(required=False, max_length=100_000, trim_whitespace=False)
    context = serializers.CharField(  # type: ignore[assignment]
        required=False,
        max_length=100_000,
        trim_whitespace=False,
        help_text="Of a reader: the passage; text is asked. Of a version that scores pairs: the second text.",
    )
    messages = MessageSerializer(many=True, required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Label two texts",
            {"model": "Service questions@champion", "texts": [{"id": "a", "text": "My card is gone"}]},
            request_only=True,
        ),
        OpenApiExample(
            "Answer a chat",
            {"model": "Bot", "texts": [{"messages": [{"role": "user", "content": "My card is gone"}]}]},
            request_only=True,
        ),
        OpenApiExample("Label a split", {"model": "17", "dataset_version": 4, "split": "test"}, request_only=True),
    ]
)
class StartBatchSerializer(serializers.Serializer[Any]):
    """A model by id, name@alias, name:number or name, and one source: texts, a dataset version or a file."""

    model = serializers.CharField(max_length=140)
    texts = TextItemSerializer(many=True, required=False)
    dataset_version = serializers.IntegerField(required=False, min_value=1)
    split = serializers.ChoiceField(choices=Split.choices, required=False, default="", allow_blank=True)
    file = serializers.FileField(required=False)
    text_column = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    context_column = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=200,
        help_text="Of a reader: the column of passages; of a version that scores pairs: of the second texts.",
    )
    id_column = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)
    max_new_tokens = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_ANSWER_TOKENS,
        help_text="Longest answer of a chat version (256).",
    )


class AskChatSerializer(serializers.Serializer[Any]):
    """One chat to answer now; its last message is the user's."""

    model = serializers.CharField(max_length=140)
    messages = MessageSerializer(many=True, allow_empty=False)
    max_new_tokens = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ANSWER_TOKENS, help_text="Longest answer (256)."
    )


class AskSerializer(serializers.Serializer[Any]):
    """A few texts to label now."""

    model = serializers.CharField(max_length=140)
    texts = serializers.ListField(child=serializers.CharField(max_length=100_000, trim_whitespace=False), max_length=32)


class OnlineRequestSerializer(serializers.ModelSerializer[OnlineRequest]):
    """A request and, once done, its answer."""

    texts = serializers.ListField(child=serializers.CharField(), read_only=True)
    results = serializers.ListField(child=serializers.DictField(), read_only=True)

    class Meta:
        model = OnlineRequest
        fields = ("id", "model_version", "state", "texts", "results", "error_message", "created_at", "answered_at")
        read_only_fields = fields


class FoundSpanSerializer(serializers.Serializer[Any]):
    """A part of a text that a tagger marked: text[start:end] in code points."""

    start = serializers.IntegerField()
    end = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]
    probability = serializers.FloatField(help_text="Of the least sure of its words.")


class MarkedTextSerializer(serializers.Serializer[Any]):
    """The spans of one text."""

    spans = FoundSpanSerializer(many=True)


class OnlineMarkedSerializer(OnlineRequestSerializer):
    """A request and, once done, the spans of each text."""

    results = MarkedTextSerializer(many=True, read_only=True)  # type: ignore[assignment]


class TextVectorSerializer(serializers.Serializer[Any]):
    """The vector of one text."""

    vector = serializers.ListField(child=serializers.FloatField())


class OnlineVectorsSerializer(OnlineRequestSerializer):
    """A request and, once done, the vector of each text."""

    results = TextVectorSerializer(many=True, read_only=True)  # type: ignore[assignment]


class AskRankingSerializer(serializers.Serializer[Any]):
    """A query, and the texts to bring into the order in which they answer it."""

    model = serializers.CharField(max_length=140)
    query = serializers.CharField(max_length=100_000, trim_whitespace=False)
    texts = serializers.ListField(
        child=serializers.CharField(max_length=100_000, trim_whitespace=False, allow_blank=True),
        min_length=1,
        max_length=MAX_RANKED_TEXTS,
    )


class RankedTextSerializer(serializers.Serializer[Any]):
    """One of the texts, by its place in the request."""

    index = serializers.IntegerField(help_text="From 0, of the texts that were sent.")
    score = serializers.FloatField(help_text="From 0 to 1; comparable within one answer.")


class OnlineRankedSerializer(OnlineRequestSerializer):
    """The query and its texts (`texts`) and, once done, the texts in order, the best first."""

    results = RankedTextSerializer(many=True, read_only=True)  # type: ignore[assignment]


class AskQuestionSerializer(serializers.Serializer[Any]):
    """A question to answer now from a passage."""

    model = serializers.CharField(max_length=140)
    question = serializers.CharField(max_length=100_000, trim_whitespace=False)
    context = serializers.CharField(max_length=100_000, trim_whitespace=False)  # type: ignore[assignment]


class FoundAnswerSerializer(serializers.Serializer[Any]):
    """context[start:end], in code points; an empty answer when the passage does not say."""

    answer = serializers.CharField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    probability = serializers.FloatField()


class OnlineFoundSerializer(OnlineRequestSerializer):
    """A question with its passage (`texts`) and, once done, the answer."""

    results = FoundAnswerSerializer(many=True, read_only=True)  # type: ignore[assignment]


class AnswerSerializer(serializers.Serializer[Any]):
    """What a chat version wrote."""

    answer = serializers.CharField()
    finish = serializers.ChoiceField(choices=Finish.choices)
    tokens = serializers.IntegerField()


class ChatAnswerSerializer(serializers.ModelSerializer[Generation]):
    """A chat and, once done, the answer to it."""

    state = serializers.SerializerMethodField()
    messages = MessageSerializer(many=True, read_only=True)
    max_new_tokens = serializers.IntegerField(source="sampling.max_tokens", read_only=True)
    results = serializers.SerializerMethodField()
    answered_at = serializers.DateTimeField(source="finished_at", read_only=True, allow_null=True)

    class Meta:
        model = Generation
        fields = (
            "id", "model_version", "state", "messages", "max_new_tokens", "results", "error_message", "created_at",
            "answered_at",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(OnlineState.choices))
    def get_state(self, row: Generation) -> str:
        """Waiting until it is over; one that was cancelled failed."""
        if row.state in OPEN:
            return str(OnlineState.WAITING)
        return str(OnlineState.DONE if row.state == GenerationState.DONE else OnlineState.FAILED)

    @extend_schema_field(AnswerSerializer(many=True))
    def get_results(self, row: Generation) -> list[dict[str, Any]]:
        """The answer once there is one."""
        told = row.answers if row.state == GenerationState.DONE else []
        return [{"answer": each["text"].strip(), "finish": each["finish"], "tokens": each["tokens"]} for each in told]

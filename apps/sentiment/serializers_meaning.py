"""Shapes of topics and entities in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.sentiment.models import Alias, ArticleEntity, ArticleTopic, Entity, EntityKind, Monitor, Topic
from apps.sentiment.services.entities import LONGEST_NAME, MOST_ALIASES, MOST_AT_ONCE
from apps.sentiment.services.topics import LONGEST_WORD, MOST_WORDS
from core.access import rows_of

LONGEST_TEXT = 200_000


def _words(help_text: str) -> serializers.ListField:
    child = serializers.CharField(max_length=LONGEST_WORD)
    return serializers.ListField(child=child, required=False, max_length=MOST_WORDS, help_text=help_text)


class EntityAliasSerializer(serializers.ModelSerializer[Alias]):
    """A name an entity goes by."""

    text = serializers.CharField(max_length=LONGEST_NAME)
    required = _words("One of these must stand near.")  # type: ignore[assignment]
    forbidden = _words("None of these may stand near.")

    class Meta:
        model = Alias
        fields = ("text", "language", "is_ambiguous", "required", "forbidden")
        extra_kwargs = {"is_ambiguous": {"help_text": "It counts beside something that speaks for the entity alone."}}


class EntitySerializer(serializers.ModelSerializer[Entity]):
    """Who or what articles speak of."""

    name = serializers.CharField(max_length=LONGEST_NAME)
    kind = serializers.ChoiceField(EntityKind.choices, required=False)
    tickers = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        max_length=MOST_ALIASES,
        help_text="600519.SH, 0700.HK or AAPL.",
    )
    aliases = EntityAliasSerializer(  # type: ignore[call-arg]
        many=True,
        required=False,
        max_length=MOST_ALIASES,
        help_text="Replaced as a whole. Of a new entity its name is one, too.",
    )

    class Meta:
        model = Entity
        fields = ("id", "name", "kind", "tickers", "is_enabled", "aliases", "created_at", "updated_at")
        read_only_fields = ("id", "created_at", "updated_at")


class EntityBulkSerializer(serializers.Serializer[Any]):
    """Up to 1,000 entities, each created or changed by its name."""

    items = serializers.ListField(child=serializers.DictField(), min_length=1, max_length=MOST_AT_ONCE)


class EntityBulkResultSerializer(serializers.Serializer[Any]):
    """What became of one of them."""

    name = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(["created", "changed", "unchanged", "refused"])
    entity = serializers.IntegerField(allow_null=True)
    problems = serializers.ListField(child=serializers.DictField())


class EntityBulkAnswerSerializer(serializers.Serializer[Any]):
    """One result for each, in order."""

    results = EntityBulkResultSerializer(many=True)


class TriedTextSerializer(serializers.Serializer[Any]):
    """A text to try the tables on."""

    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False)


class MentionSerializer(serializers.Serializer[Any]):
    """text[start:end] speaks of the entity; offsets are code points."""

    entity = serializers.IntegerField()
    name = serializers.CharField()
    start = serializers.IntegerField()
    end = serializers.IntegerField()
    surface = serializers.CharField()
    confidence = serializers.FloatField()
    evidence = serializers.ChoiceField(["name", "ticker", "ending", "together", "context", "none"])


class TopicNameSerializer(serializers.ModelSerializer[Topic]):
    """A topic, in short."""

    class Meta:
        model = Topic
        fields = ("id", "key", "name")
        read_only_fields = fields


class TriedSerializer(serializers.Serializer[Any]):
    """Every mention, however sure, and topics by words."""

    mentions = MentionSerializer(many=True)
    topics = TopicNameSerializer(many=True)


class RelinkSerializer(serializers.Serializer[Any]):
    """Which monitor; all when missing."""

    monitor = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class RelinkAnswerSerializer(serializers.Serializer[Any]):
    """How many monitors are looked through."""

    monitor_count = serializers.IntegerField()


class TopicSerializer(serializers.ModelSerializer[Topic]):
    """What articles may be about."""

    name = serializers.CharField(max_length=80)
    key = serializers.CharField(max_length=60, required=False, allow_blank=True, help_text="Its name when missing.")
    parent = serializers.PrimaryKeyRelatedField(queryset=Topic.objects.none(), required=False, allow_null=True)  # type: ignore[assignment]
    monitor = serializers.PrimaryKeyRelatedField(
        queryset=Monitor.objects.none(), required=False, allow_null=True, help_text="Looked for in this one alone."
    )
    labels = _words("Of topic versions, besides the key.")
    words = _words("An article that holds one of them has the topic.")

    class Meta:
        model = Topic
        fields = (
            "id", "name", "key", "description", "parent", "monitor", "labels", "words", "is_enabled", "created_at",
            "updated_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at", "updated_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        view = self.context.get("view")
        if view is not None and not getattr(view, "swagger_fake_view", False):
            actor = view.actor
            for name, model in (("parent", Topic), ("monitor", Monitor)):
                rows: Any = model
                if name in self.fields:
                    self.fields[name].queryset = rows_of(actor, rows)  # type: ignore[attr-defined]


class ArticleTopicSerializer(serializers.ModelSerializer[ArticleTopic]):
    """A topic of an article; without a version it came by words."""

    topic = TopicNameSerializer(read_only=True)
    model_version = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = ArticleTopic
        fields = ("topic", "model_version", "model_version_id", "probability")
        read_only_fields = fields


class TargetScoreSerializer(serializers.Serializer[Any]):
    """How one version found an entity to be spoken of."""

    model_version = serializers.CharField()
    model_version_id = serializers.IntegerField()
    is_dedicated = serializers.BooleanField()
    sentiment = serializers.CharField()
    probability = serializers.FloatField()


class ArticleEntitySerializer(serializers.ModelSerializer[ArticleEntity]):
    """An entity of an article, with how it is spoken of: the version that counts first."""

    name = serializers.CharField(source="entity.name", read_only=True)
    entity = serializers.IntegerField(source="entity_id", read_only=True)
    spans = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        read_only=True,
        help_text="[start, end) in code points of title and body joined by a line end.",
    )
    scores = serializers.SerializerMethodField()

    class Meta:
        model = ArticleEntity
        fields = ("entity", "name", "spans", "link_confidence", "mention_count", "in_title", "scores")
        read_only_fields = fields

    @extend_schema_field(TargetScoreSerializer(many=True))
    def get_scores(self, link: ArticleEntity) -> Any:
        """From what was read with the article."""
        rows = [row for row in link.article.target_scores.all() if row.entity_id == link.entity_id]
        return TargetScoreSerializer(rows, many=True).data

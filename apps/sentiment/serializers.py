"""Shapes of the sentiment room in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.accounts.models import User
from apps.sentiment.models import Article, Fetch, Monitor, Score, Source, SourceKind
from apps.sentiment.models.monitors import MOST_WEIGHT
from apps.sentiment.selectors import health_of
from apps.sentiment.serializers_meaning import ArticleEntitySerializer, ArticleTopicSerializer
from apps.sentiment.services import MOST_ITEMS
from apps.sentiment.services.ingest import LONGEST_BODY
from apps.sentiment.services.monitors import FIELDS
from apps.sentiment.services.sources import LEAST_MINUTES, MOST_MINUTES


class MonitorSerializer(serializers.ModelSerializer[Monitor]):
    """What is watched, and who says how its articles are meant."""

    name = serializers.CharField(max_length=80)
    sentiment_model = serializers.CharField(
        max_length=160,
        required=False,
        allow_blank=True,
        help_text="A version that labels texts: name@alias, name:number or name. Empty: articles are only counted.",
    )

    topic_models = serializers.ListField(
        child=serializers.CharField(max_length=160),
        required=False,
        max_length=8,
        help_text="Versions whose labels are topics.",
    )

    members = serializers.SlugRelatedField(
        slug_field="email",
        many=True,
        required=False,
        queryset=User.objects.none(),
        help_text="Who sees it when it is restricted, besides who made it, owners and admins.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        view = self.context.get("view")
        if view is not None and not getattr(view, "swagger_fake_view", False):
            people: Any = self.fields["members"]
            people.child_relation.queryset = User.objects.filter(memberships__workspace=view.actor.workspace)

    class Meta:
        model = Monitor
        fields = ("id", *FIELDS, "members", "scoring_error", "created_at", "updated_at")
        read_only_fields = ("id", "scoring_error", "created_at", "updated_at")
        extra_kwargs = {
            "negative_label": {"help_text": "As the version calls it; labels besides these two count as neutral."},
            "target_model": {
                "help_text": "A version that reads “name | text”; empty: the sentiment model reads the text."
            },
            "topic_threshold": {"help_text": "A label of this probability or more gives its topic."},
            "link_threshold": {"help_text": "Mentions of this confidence or more are linked."},
            "is_restricted": {"help_text": "Only for named members; for others it is not there."},
            "abstain_below": {"help_text": "A likeliest meaning below this probability counts as not sure."},
        }


class SourceHealthSerializer(serializers.Serializer[Any]):
    """How a source is."""

    state = serializers.ChoiceField(["well", "failing", "silent", "off", "new"])
    silent_since = serializers.DateTimeField(allow_null=True)
    lag_seconds = serializers.FloatField(allow_null=True, help_text="Median from publication to arrival, lately.")


class SourceSerializer(serializers.ModelSerializer[Source]):
    """Where articles come from."""

    monitor = serializers.IntegerField(source="monitor_id", read_only=True)
    kind = serializers.ChoiceField(SourceKind.choices)
    name = serializers.CharField(max_length=120)
    url = serializers.CharField(max_length=2_000, required=False, allow_blank=True)
    weight = serializers.IntegerField(min_value=1, max_value=MOST_WEIGHT, required=False)
    interval_minutes = serializers.IntegerField(min_value=LEAST_MINUTES, max_value=MOST_MINUTES, required=False)
    health = serializers.SerializerMethodField()
    hook = serializers.CharField(read_only=True, help_text="Of a webhook: POST /hooks/monitors/<hook>.")

    class Meta:
        model = Source
        fields = (
            "id", "monitor", "kind", "name", "url", "time_zone", "weight", "is_enabled", "interval_minutes", "health", "hook",
            "last_fetch_at", "last_success_at", "last_article_at", "failure_count", "last_error", "next_fetch_at",
            "created_at",
        )  # fmt: skip
        read_only_fields = (
            "id", "last_fetch_at", "last_success_at", "last_article_at", "failure_count", "last_error", "next_fetch_at",
            "created_at",
        )  # fmt: skip

    @extend_schema_field(SourceHealthSerializer)
    def get_health(self, source: Source) -> Any:
        """From what its row says."""
        known: dict[int, Any] = self.context.get("healths", {})
        return SourceHealthSerializer(known.get(source.pk) or health_of(source)).data


class FetchSerializer(serializers.ModelSerializer[Fetch]):
    """One reading of a source."""

    class Meta:
        model = Fetch
        fields = (
            "id", "at", "seconds", "status", "size_bytes", "item_count", "new_count", "seen_count", "dropped_count",
            "problems", "error_code", "error_message",
        )  # fmt: skip
        read_only_fields = fields


class ScoreSerializer(serializers.ModelSerializer[Score]):
    """What one version said of one article."""

    model_version = serializers.CharField(read_only=True)
    model_version_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = Score
        fields = ("model_version", "model_version_id", "sentiment", "probability", "probabilities", "created_at")
        read_only_fields = fields


class ArticleSerializer(serializers.ModelSerializer[Article]):
    """An article, without its text."""

    source = serializers.IntegerField(source="source_id", read_only=True)  # type: ignore[assignment]
    story = serializers.IntegerField(source="story_id", read_only=True, allow_null=True)
    scores = ScoreSerializer(many=True, read_only=True)
    topics = ArticleTopicSerializer(many=True, read_only=True)
    entities = ArticleEntitySerializer(many=True, read_only=True)

    class Meta:
        model = Article
        fields = (
            "id", "source", "story", "url", "title", "author", "language", "published_at", "confidence", "received_at",
            "is_history", "scoring", "scores", "topics", "entities",
        )  # fmt: skip
        read_only_fields = fields


class WholeArticleSerializer(ArticleSerializer):
    """With its text."""

    class Meta:
        model = Article
        fields = (*ArticleSerializer.Meta.fields, "body")
        read_only_fields = fields


class PushedSerializer(serializers.Serializer[Any]):
    """An article as a program sends it."""

    external_id = serializers.CharField(max_length=2_000, help_text="Sent twice, it is taken once.")
    title = serializers.CharField(max_length=1_000, required=False, allow_blank=True, default="")
    body = serializers.CharField(max_length=LONGEST_BODY, required=False, allow_blank=True, default="")
    url = serializers.URLField(max_length=2_000, required=False, allow_blank=True, default="")
    author = serializers.CharField(max_length=300, required=False, allow_blank=True, default="")
    language = serializers.CharField(max_length=10, required=False, allow_blank=True, default="")
    published_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """There must be something to read."""
        if not attrs["title"].strip() and not attrs["body"].strip():
            raise serializers.ValidationError({"title": "Send a title, a body or both."}, code="empty")
        return attrs


@extend_schema_field(PushedSerializer)
class PushedField(serializers.JSONField):
    """One article, read by itself afterwards, so that one of another shape takes no other with it."""


class PushSerializer(serializers.Serializer[Any]):
    """Up to 1,000 articles of one source; one that is refused takes no other with it."""

    items = serializers.ListField(child=PushedField(allow_null=True), min_length=1, max_length=MOST_ITEMS)
    is_history = serializers.BooleanField(
        default=False, help_text="Older articles that are brought in later: charts show them, nobody is alarmed."
    )


class PushResultSerializer(serializers.Serializer[Any]):
    """What became of one item."""

    external_id = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(["created", "seen", "refused"])
    article = serializers.IntegerField(allow_null=True)
    problems = serializers.ListField(child=serializers.DictField())


class PushedAnswerSerializer(serializers.Serializer[Any]):
    """One result for each item, in order."""

    created_count = serializers.IntegerField()
    seen_count = serializers.IntegerField()
    refused_count = serializers.IntegerField()
    results = PushResultSerializer(many=True)


class PointSerializer(serializers.Serializer[Any]):
    """One bucket that was counted; one that is missing is not zero."""

    start_at = serializers.DateTimeField()
    article_count = serializers.IntegerField()
    story_count = serializers.IntegerField()
    scored_count = serializers.IntegerField()
    negative_count = serializers.IntegerField()
    neutral_count = serializers.IntegerField()
    positive_count = serializers.IntegerField()
    abstained_count = serializers.IntegerField()


class SeriesSerializer(serializers.Serializer[Any]):
    """Counts of consecutive spans of time, and their sums."""

    seconds = serializers.IntegerField()
    start_at = serializers.DateTimeField()
    end_at = serializers.DateTimeField()
    totals = serializers.DictField(child=serializers.IntegerField())
    points = PointSerializer(many=True)


class HookSecretSerializer(serializers.Serializer[Any]):
    """The secret of a webhook, shown this once."""

    secret = serializers.CharField()

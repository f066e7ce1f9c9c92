"""Tables of the sentiment room."""

from apps.sentiment.models.alerts import Alert, AlertEvent, AlertState, Replay, RuleHit, Usefulness
from apps.sentiment.models.articles import Article, ArticleBand, ScoringState, Story
from apps.sentiment.models.backfills import Backfill
from apps.sentiment.models.expectations import Expectation
from apps.sentiment.models.hosts import Host
from apps.sentiment.models.lessons import AspectKind, Lesson
from apps.sentiment.models.meaning import (
    Alias,
    ArticleEntity,
    ArticleTopic,
    Entity,
    EntityKind,
    Lexicon,
    TargetScore,
    Topic,
)
from apps.sentiment.models.monitors import Fetch, Monitor, Source, SourceKind
from apps.sentiment.models.pages import ArticleRevision, UnreadPage
from apps.sentiment.models.rules import Grouping, Measure, Rule, RuleKind, Silence
from apps.sentiment.models.saved_views import OpeningView, SavedView, ViewKind
from apps.sentiment.models.scores import (
    CELL_SIZES,
    COUNTS,
    Bucket,
    BucketSize,
    Cell,
    Clock,
    Dimension,
    Score,
    Sentiment,
    begin_of,
)

__all__ = [
    "CELL_SIZES",
    "COUNTS",
    "Alert",
    "AlertEvent",
    "AlertState",
    "Alias",
    "Article",
    "ArticleBand",
    "ArticleEntity",
    "ArticleRevision",
    "ArticleTopic",
    "AspectKind",
    "Backfill",
    "Bucket",
    "BucketSize",
    "Cell",
    "Clock",
    "Dimension",
    "Entity",
    "EntityKind",
    "Expectation",
    "Fetch",
    "Grouping",
    "Host",
    "Lesson",
    "Lexicon",
    "Measure",
    "Monitor",
    "OpeningView",
    "Replay",
    "Rule",
    "RuleHit",
    "RuleKind",
    "SavedView",
    "Score",
    "ScoringState",
    "Sentiment",
    "Silence",
    "Source",
    "SourceKind",
    "Story",
    "TargetScore",
    "Topic",
    "UnreadPage",
    "Usefulness",
    "ViewKind",
    "begin_of",
]

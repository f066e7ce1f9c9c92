"""Tables of the sentiment room."""

from apps.sentiment.models.articles import Article, ArticleBand, ScoringState, Story
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
from apps.sentiment.models.scores import COUNTS, Bucket, BucketSize, Clock, Dimension, Score, Sentiment, begin_of

__all__ = [
    "COUNTS",
    "Alias",
    "Article",
    "ArticleBand",
    "ArticleEntity",
    "ArticleTopic",
    "Bucket",
    "BucketSize",
    "Clock",
    "Dimension",
    "Entity",
    "EntityKind",
    "Fetch",
    "Lexicon",
    "Monitor",
    "Score",
    "ScoringState",
    "Sentiment",
    "Source",
    "SourceKind",
    "Story",
    "TargetScore",
    "Topic",
    "begin_of",
]

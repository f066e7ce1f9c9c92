"""Tables of the sentiment room."""

from apps.sentiment.models.articles import Article, ArticleBand, Confidence, ScoringState, Story
from apps.sentiment.models.monitors import Fetch, Monitor, Source, SourceKind
from apps.sentiment.models.scores import Bucket, BucketSize, Clock, Dimension, Score, Sentiment

__all__ = [
    "Article",
    "ArticleBand",
    "Bucket",
    "BucketSize",
    "Clock",
    "Confidence",
    "Dimension",
    "Fetch",
    "Monitor",
    "Score",
    "ScoringState",
    "Sentiment",
    "Source",
    "SourceKind",
    "Story",
]

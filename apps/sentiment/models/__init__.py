"""Tables of the sentiment room."""

from apps.sentiment.models.articles import Article, ArticleBand, ScoringState, Story
from apps.sentiment.models.monitors import Fetch, Monitor, Source, SourceKind
from apps.sentiment.models.scores import COUNTS, Bucket, BucketSize, Clock, Dimension, Score, Sentiment, begin_of

__all__ = [
    "COUNTS",
    "Article",
    "ArticleBand",
    "Bucket",
    "BucketSize",
    "Clock",
    "Dimension",
    "Fetch",
    "Monitor",
    "Score",
    "ScoringState",
    "Sentiment",
    "Source",
    "SourceKind",
    "Story",
    "begin_of",
]

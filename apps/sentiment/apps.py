"""The sentiment app."""

from django.apps import AppConfig


class SentimentConfig(AppConfig):
    """Label of the sentiment app."""

    name = "apps.sentiment"

"""The evaluation app."""

from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    """Label of the evaluation app."""

    name = "apps.evaluation"

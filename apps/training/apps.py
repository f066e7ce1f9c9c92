"""The training app."""

from django.apps import AppConfig


class TrainingConfig(AppConfig):
    """Label of the training app."""

    name = "apps.training"

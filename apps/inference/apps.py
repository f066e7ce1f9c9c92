"""The inference app."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """Label of the inference app."""

    name = "apps.inference"

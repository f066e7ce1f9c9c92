"""The datasets app."""

from django.apps import AppConfig


class DatasetsConfig(AppConfig):
    """Label of the datasets app."""

    name = "apps.datasets"

"""The kit as a Django app: it owns the job tables."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Label of the kit."""

    name = "core"

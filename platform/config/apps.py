"""The wiring as a Django app, so that commands which join rooms have a home."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Label of the wiring room."""

    name = "config"

    def ready(self) -> None:
        """Make our Celery the current one, so that pages wake workers through the configured broker."""
        from config import celery  # noqa: F401 - after the settings are loaded

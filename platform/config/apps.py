"""The wiring as a Django app, so that commands which join rooms have a home."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Label of the wiring room."""

    name = "config"

"""The registry app."""

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    """Label of the registry app."""

    name = "apps.registry"

"""The accounts app."""

from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Label of the accounts app."""

    name = "apps.accounts"

    def ready(self) -> None:
        """Let the OpenAPI schema know our authentication."""
        import_module("apps.accounts.schema")

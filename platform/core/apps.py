"""The kit as a Django app: it owns the job tables."""

from django.apps import AppConfig
from django.utils.translation import gettext

from words import translate_with


class CoreConfig(AppConfig):
    """Label of the kit."""

    name = "core"

    def ready(self) -> None:
        """Sentences of every floor speak the reader's language in this process."""
        translate_with(gettext)

"""Compile the translations that changed."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from core.translations import TranslationError, compile_translations


class Command(BaseCommand):
    """Needs no database."""

    help = "Compile the translations (.po) that changed."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Name what was compiled."""
        try:
            compiled = compile_translations(settings.ROOT)
        except TranslationError as error:
            raise SystemExit(str(error)) from error
        for path in compiled:
            self.stdout.write(str(path.relative_to(settings.ROOT)))

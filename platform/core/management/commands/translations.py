"""Compile the translations that changed."""

import argparse
import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from core.translations import TranslationError, compile_translations


class Command(BaseCommand):
    """Needs no database."""

    help = "Compile the translations (.po) that changed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """How to print."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Name what was compiled."""
        try:
            compiled = compile_translations(settings.ROOT)
        except TranslationError as error:
            raise SystemExit(str(error)) from error
        names = [str(path.relative_to(settings.ROOT)) for path in compiled]
        self.stdout.write(json.dumps({"compiled": names}) if options["json"] else "\n".join(names))

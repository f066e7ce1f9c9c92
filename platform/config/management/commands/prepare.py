"""Bring database and static files to the present code, once before the roles of a production start."""

import argparse
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from config.prepare import OWNER, first_owner, prepare
from core.errors import Refused
from core.translations import TranslationError


class Command(BaseCommand):
    """What `up` does by itself; harmless when there is nothing to do."""

    help = "Migrate (after a backup), collect static files and make the first owner; for production."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Who owns the first workspace."""
        parser.add_argument("--owner", default=OWNER, help="e-mail of the first owner, made when there is nobody")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, then say the password of a new owner."""
        try:
            prepare(self.stdout.write)
        except Refused as refused:
            raise SystemExit(refused.message) from refused
        except TranslationError as error:
            raise SystemExit(str(error)) from error
        if not settings.WHITENOISE_USE_FINDERS:
            call_command("collectstatic", verbosity=0, interactive=False)
        for line in first_owner(options["owner"]):
            self.stdout.write(line)

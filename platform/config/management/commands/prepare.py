"""Bring database and static files to the present code, once before the roles of a production start."""

import argparse
import json
from dataclasses import asdict
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
        parser.add_argument("--json", action="store_true", help="print one JSON object; what is done goes to stderr")
        parser.add_argument("--owner", default=OWNER, help="e-mail of the first owner, made when there is nobody")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, then say the password of a new owner."""
        try:
            prepare(self.stderr.write if options["json"] else self.stdout.write)
        except Refused as refused:
            raise SystemExit(refused.message) from refused
        except TranslationError as error:
            raise SystemExit(str(error)) from error
        if not settings.WHITENOISE_USE_FINDERS:
            call_command("collectstatic", verbosity=0, interactive=False)
        account = first_owner(options["owner"])
        if options["json"]:
            self.stdout.write(json.dumps({"account": asdict(account) if account else None}))
        elif account:
            self.stdout.write("\n".join(account.lines()))

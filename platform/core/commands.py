"""What our command line commands share: --json, and a refusal as one sentence instead of a traceback."""

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import Refused


class JsonCommand(BaseCommand):
    """A command that prints lines for people, or one JSON object with --json.

    Subclasses write `arguments(parser)` and `run(options)`, which returns (data, lines).
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--json, and what the command takes."""
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        self.arguments(parser)

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """What the command takes."""

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Do it; returns data for programs and lines for people."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print; a refusal ends with its code in JSON and its sentence on stderr."""
        try:
            data, lines = self.run(options)
        except Refused as refused:
            if options["json"]:
                self.stdout.write(json.dumps({"error": refused.code, "message": refused.message}, ensure_ascii=False))
            raise CommandError(" ".join(part for part in (refused.message, refused.hint) if part)) from refused
        self.stdout.write(json.dumps(data, ensure_ascii=False, default=str) if options["json"] else "\n".join(lines))

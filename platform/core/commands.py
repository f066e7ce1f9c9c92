"""What our command line commands share: --json, and a refusal as sentences instead of a traceback."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core.errors import Refused
from core.terminal import show
from words import join


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
        """Run and print."""
        with self.refusals_told(options):
            data, lines = self.run(options)
        self.tell(options, data, lines)

    def tell(self, options: dict[str, Any], data: dict[str, Any], lines: list[str]) -> None:
        """Print what came out."""
        if options["json"]:
            show(self.stdout, data)
        elif lines:
            self.stdout.write("\n".join(lines))

    @contextmanager
    def refusals_told(self, options: dict[str, Any]) -> Iterator[None]:
        """A refusal ends the command: its code and problems as JSON on stdout, its sentences on stderr."""
        try:
            yield
        except Refused as refused:
            problems = [problem.as_dict() for problem in refused.problems]
            if options["json"]:
                error = {"code": refused.code, "message": str(refused.message), "problems": problems}
                show(self.stdout, {"error": error})
            raise CommandError("\n".join(_sentences(refused))) from refused
        except CommandError as error:
            if options["json"]:
                show(self.stdout, {"error": {"code": "not_possible", "message": str(error), "problems": []}})
            raise


def _sentences(refused: Refused) -> list[str]:
    """The refusal, then each problem that says more, with its field."""
    first = str(join([refused.message, refused.hint]))
    told = {str(refused.message), first}
    lines = [(problem.field, str(join([problem.message, problem.hint]))) for problem in refused.problems]
    return [first, *(f"{field}: {text}" if field else text for field, text in lines if text not in told)]

"""`./lingxi bench NAME`: measure what this installation can do, on its own database."""

import json
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

BENCHES = {"datasets": "workers.bench.datasets"}
"""Name -> module with `measures(*, small: bool) -> Iterator[workers.bench.measure.Measure]`."""


class Command(BaseCommand):
    """Run one bench and print each number as soon as it is known."""

    help = "Measure this installation: " + ", ".join(BENCHES)

    def add_arguments(self, parser: CommandParser) -> None:
        """The bench's name and how to print."""
        parser.add_argument("name", choices=sorted(BENCHES))
        parser.add_argument("--small", action="store_true", help="a tenth of the rows, to try the bench itself")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print name, value, bound and whether it was kept."""
        for measure in import_module(BENCHES[options["name"]]).measures(small=options["small"]):
            if options["json"]:
                self.stdout.write(json.dumps(measure.as_mapping()))
                continue
            bound = "" if measure.wanted is None else f"(wanted at most {measure.wanted:g} {measure.unit})"
            mark = {None: " ", True: "+", False: "!"}[measure.kept]
            line = f"{mark} {measure.name:<44} {measure.value:>10.2f} {measure.unit:<3} {bound} {measure.detail}"
            self.stdout.write(line.rstrip())

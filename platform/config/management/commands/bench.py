"""`./lingxi bench NAME`: measure, on a throw-away installation unless one is named with --home."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.launch import import_paths
from core.embedded.places import environment
from core.embedded.stack import Stack
from workers.bench.measure import Measure, Options

BENCHES = {
    "answers": "workers.bench.answers",
    "continual": "workers.bench.continual",
    "datasets": "workers.bench.datasets",
    "encode": "workers.bench.encode",
    "entities": "workers.bench.entities",
    "methods": "workers.bench.methods",
    "quality": "workers.bench.quality",
    "sentiment": "workers.bench.sentiment",
    "serve": "workers.bench.serve",
    "train": "workers.bench.train",
    "web": "workers.bench.web",
}
"""Name -> module with `measures(options: Options) -> Iterator[Measure]`."""


class Command(BaseCommand):
    """Run one bench and print each number as soon as it is known."""

    help = "Measure: " + ", ".join(BENCHES)
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The bench's name, its size and how to print."""
        parser.add_argument("name", choices=sorted(BENCHES))
        parser.add_argument("--home", help="a running installation to measure in; its first workspace keeps the runs")
        parser.add_argument("--small", action="store_true", help="a tenth of the size, to try the bench itself")
        parser.add_argument("--json", action="store_true", help="one JSON object a line")
        parser.add_argument(
            "--data",
            type=Path,
            help="quality: CSV of texts and labels; entities: CoNLL folder; continual: folder of sets; answers: JSONL; "
            "train: a text; methods: a play; encode: CSV of texts and labels; sentiment: folder of counts",
        )
        parser.add_argument("--test", type=Path, help="quality: the CSV file that is measured on; encode: a second CSV")
        parser.add_argument("--shots", type=int, default=0, help="quality: learn few-shot from so many texts a label")
        parser.add_argument("--peer", choices=("probe", "naive_bayes"), default="probe", help="quality: what is beaten")
        parser.add_argument("--seeds", type=int, nargs="+", default=[17, 18, 19], help="one run each")
        parser.add_argument("--folds", type=int, default=0, help="entities: measure so many folds of all texts in turn")
        parser.add_argument("--spec", type=json.loads, default={}, help="options of the recipe, as JSON")
        parser.add_argument(
            "--only",
            nargs="+",
            default=[],
            help="train: speed, packing, characters; serve: engine, http, online, idle, connections, kills, switch; continual: naive ...",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Here when servers are named, else on servers of our own."""
        if "DATABASE_URL" not in os.environ:
            raise SystemExit(on_throw_away(sys.argv[1:]))
        wanted = Options(
            small=options["small"],
            data=options["data"],
            test=options["test"],
            shots=options["shots"],
            peer=options["peer"],
            seeds=tuple(options["seeds"]),
            spec=options["spec"],
            folds=options["folds"],
            only=tuple(options["only"]),
        )
        for measure in self._measures(options["name"], wanted):
            self.stdout.write(json.dumps(measure.as_mapping()) if options["json"] else line_of(measure))
            self.stdout.flush()

    def _measures(self, name: str, wanted: Options) -> Iterator[Measure]:
        try:
            yield from import_module(BENCHES[name]).measures(wanted)
        except FileNotFoundError as error:
            raise CommandError(str(error)) from error


def line_of(measure: Measure) -> str:
    """Whether its bound was kept, name, value, bound."""
    mark = {None: " ", True: "+", False: "!"}[measure.kept]
    wanted = f"(wanted {measure.wanted})" if measure.wanted else ""
    return f"{mark} {measure.name:<44} {measure.value:>10.2f} {measure.unit:<3} {wanted} {measure.detail}".rstrip()


def on_throw_away(arguments: list[str]) -> int:
    """The same command on fresh servers below a temporary folder; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="lingxi-bench-") as folder:
        Path(folder).chmod(0o711)  # when root measures, the servers' user must walk through
        with Stack(Path(folder) / "home") as stack:
            surroundings = {**os.environ, **environment(stack.home), **import_paths()}
            manage = [sys.executable, str(settings.ROOT / "manage.py")]
            subprocess.run([*manage, "migrate", "-v", "0"], env=surroundings, check=True)
            return subprocess.run([*manage, *arguments], env=surroundings).returncode

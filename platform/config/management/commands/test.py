"""Run every check of the house and say how each went."""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import BaseCommand

from config.launch import import_paths
from core.translations import TranslationError, compile_translations


@dataclass(frozen=True)
class Check:
    """One step: its name and command; a shown one writes to the terminal while it runs.

    A step with one process for minutes runs beside those after it, which use the other cores.
    """

    name: str
    argv: Sequence[str]
    shown: bool = False
    beside: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a step went; `closing` is its last line, `untold` what it wrote that the terminal has yet to show."""

    check: Check
    passed: bool
    seconds: float
    closing: str
    untold: str = ""


class Command(BaseCommand):
    """All steps run, also after a failure; the exit code tells whether every one passed."""

    help = "Run all checks: ruff, import-linter, mypy, migrations, pytest. Words after -- go to pytest."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """What to leave out, and what to hand on."""
        parser.add_argument("--fast", action="store_true", help="leave the browser stories out")
        parser.add_argument("--coverage", action="store_true", help="also tell which lines ran; half as long again")
        parser.add_argument("--only", default="", help="run the steps whose name holds this word, e.g. pytest")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end; the rest on stderr")
        parser.add_argument("pytest", nargs="*", metavar="-- PYTEST_ARGUMENT", help="e.g. -- -k jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, then summarise."""
        try:
            compile_translations(settings.ROOT)
        except TranslationError as error:
            raise SystemExit(str(error)) from error
        out = self.stderr if options["json"] else self.stdout
        steps = checks(fast=options["fast"], coverage=options["coverage"], extra=options["pytest"])
        chosen = [check for check in steps if options["only"] in check.name]
        if not chosen:
            raise SystemExit(f"No step is called {options['only']!r}.")
        outcomes = self._all(chosen, out, shown=sys.stderr if options["json"] else sys.stdout)
        if options["json"]:
            self.stdout.write(json.dumps({"checks": [as_mapping(outcome) for outcome in outcomes]}))
        else:
            self.stdout.write("\n".join(["Summary", *(f"  {line_of(outcome)}" for outcome in outcomes)]))
            self.stdout.write(f"\n{outcomes[-1].closing}")
        if failed := [outcome.check.name for outcome in outcomes if not outcome.passed]:
            raise SystemExit(f"Failed: {', '.join(failed)}.")

    def _all(self, steps: Sequence[Check], out: Any, *, shown: TextIO) -> list[Outcome]:
        """Run the steps and say how each went: one after another, and those beside when the others have ended."""
        done: dict[str, Outcome] = {}
        running: list[Future[Outcome]] = []

        def told(outcome: Outcome) -> None:
            print(outcome.untold, end="", flush=True, file=shown)
            out.write(f"{line_of(outcome)}\n")
            done[outcome.check.name] = outcome

        with ThreadPoolExecutor() as threads:
            for check in steps:
                out.write(f"{check.name} ...")
                out.flush()
                if check.beside:
                    running.append(threads.submit(perform, check, out=shown))
                else:
                    told(perform(check, out=shown))
            for future in running:
                told(future.result())
        return [done[check.name] for check in steps]


def checks(*, fast: bool, extra: Sequence[str], coverage: bool = False) -> list[Check]:
    """The steps in order: cheap ones first, and mypy beside the tests."""
    tools = Path(sys.executable).parent
    pytest = [sys.executable, "-m", "pytest", "-p", "core.embedded.pytest_plugin"]
    pytest += ["--cov", "--cov-report=term"] if coverage else []
    pytest += ["-n", str(workers()), "--dist=loadfile", "--no-loadscope-reorder"]
    if fast:
        pytest.append("--ignore=tests/e2e")
    return [
        Check("ruff check", [str(tools / "ruff"), "check", "."]),
        Check("ruff format", [str(tools / "ruff"), "format", "--check", "."]),
        Check("import-linter", [str(tools / "lint-imports")]),
        Check("migrations", [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"]),
        Check("mypy --strict", [sys.executable, "-m", "mypy"], beside=True),
        Check("pytest", [*pytest, *extra], shown=True),
    ]


def workers() -> int:
    """Processes for the tests: one a core, at most four; 0 keeps a single core's tests in pytest's own process.

    A file stays in one process, and files keep their order: a process that has opened a browser runs browser tests only.
    """
    cores = len(os.sched_getaffinity(0))
    return min(cores, 4) if cores > 1 else 0


def perform(check: Check, *, out: TextIO | None = None) -> Outcome:
    """Run one step; what it wrote is to be shown when it failed, or is at once when it asks for that."""
    started = time.monotonic()
    closing, held = "", []
    with subprocess.Popen(
        check.argv,
        cwd=settings.ROOT,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        for line in child.stdout or ():
            closing = line.strip() or closing
            held.append(line)
            if check.shown:
                print(line, end="", flush=True, file=out)
        code = child.wait()
    untold = "".join(held) if code and not check.shown else ""
    return Outcome(check, code == 0, time.monotonic() - started, closing, untold)


def surroundings() -> dict[str, str]:
    """The environment of a step: our rooms importable, settings for tests, nothing of a running installation.

    Tests start some two hundred processes: each would compile our modules anew if compiled ones were not kept.
    """
    ours = {"PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "config.settings.test", **import_paths()}
    dropped = {"PYTHONDONTWRITEBYTECODE"}
    if "DATABASE_URL" not in os.environ:
        dropped |= {"LINGXI_HOME", "LINGXI_SECRET_KEY"}
    return {**{name: value for name, value in os.environ.items() if name not in dropped}, **ours}


def as_mapping(outcome: Outcome) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": outcome.check.name,
        "passed": outcome.passed,
        "seconds": round(outcome.seconds, 1),
        "closing": outcome.closing,
    }


def line_of(outcome: Outcome) -> str:
    """Name, result and duration."""
    return f"{'passed' if outcome.passed else 'FAILED'}  {outcome.seconds:6.1f} s  {outcome.check.name}"

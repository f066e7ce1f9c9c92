"""Bring a backup back, into a fresh home or into the database that the environment names."""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from core import backup
from core.commands import JsonCommand
from core.embedded.errors import StackError
from core.embedded.places import environment, make_home, write_secrets
from core.embedded.stack import Stack, is_running
from core.errors import Refused


class Command(JsonCommand):
    """Checks the whole archive before it touches anything."""

    help = "Bring a backup back into a fresh home (--home DIR), after checking all of it."
    requires_system_checks: list[str] = []

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Which archive, where to."""
        parser.add_argument("archive", type=Path, help="a file written by ./lingxi backup")
        parser.add_argument("--home", help="folder to restore into (default: var); must hold no installation")
        parser.add_argument(
            "--database-only",
            action="store_true",
            help="put the database into an existing, stopped home; its present database is kept under another name",
        )

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Check, restore, say what to do next."""
        home = Path(settings.HOME)
        try:
            manifest = backup.verify(options["archive"])
            if "DATABASE_URL" in os.environ:
                into_services(options["archive"], home)
            elif options["database_only"]:
                into_existing(options["archive"], home)
            else:
                into_fresh(options["archive"], home, manifest)
        except StackError as error:
            raise CommandError(str(error)) from error
        line = f"Restored the state of {manifest.created_at}. Start it: ./lingxi up --home {home}"
        return {"home": str(home), "members": len(manifest.members)}, [line]


def refuse_running(home: Path) -> None:
    """Nothing is restored under somebody's feet."""
    if is_running(home):
        raise Refused("home_running", f"Lingxi runs in {home}. Stop it first, or restore into another folder.")


def into_fresh(archive: Path, home: Path, manifest: backup.Manifest) -> None:
    """A new home appears whole or not at all."""
    refuse_running(home)
    if home.exists() and any(home.iterdir()):
        raise Refused("home_taken", f"{home} is not empty. Name a folder that does not exist yet with --home.")
    if not manifest.has_files:
        raise Refused(
            "backup_partial", "This backup holds the database only. Add --database-only and an existing home."
        )
    beside = home.with_name(f"{home.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        make_home(beside)
        write_secrets(beside, secret_key=backup.read_secret(archive))
        with Stack(beside) as stack:
            backup.load_database(archive, environment(stack.home)["DATABASE_URL"])
        backup.unpack_files(archive, beside)
        if home.exists():
            home.rmdir()
        beside.rename(home)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def into_existing(archive: Path, home: Path) -> None:
    """The database alone, e.g. the one kept before a migration."""
    refuse_running(home)
    if not (home / "secrets.json").exists():
        raise Refused("home_missing", f"There is no installation in {home}. Leave --database-only out.")
    with Stack(home):
        backup.load_database(archive, environment(home)["DATABASE_URL"])


def into_services(archive: Path, home: Path) -> None:
    """Into the database of DATABASE_URL (kept under another name when it holds tables), files below LINGXI_HOME."""
    backup.load_database(archive, os.environ["DATABASE_URL"])
    backup.unpack_files(archive, home)

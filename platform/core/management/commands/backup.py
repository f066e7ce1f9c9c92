"""Write database and files into one archive that checks itself."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from core import backup
from core.commands import JsonCommand
from core.embedded.connect import uses_embedded
from core.embedded.errors import StackError
from core.embedded.stack import Stack, is_running


class Command(JsonCommand):
    """Works on a running installation and on a stopped one."""

    help = "Write database and files into one archive; works while Lingxi runs."
    requires_system_checks: list[str] = []

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Where to, and what."""
        parser.add_argument("--out", type=Path, help="file to write (default: HOME/backups/lingxi-<time>.tar)")
        parser.add_argument("--database-only", action="store_true", help="leave files and models out")
        parser.add_argument("--home", help="folder of the installation (default: var)")

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Write, read back, say where."""
        home = Path(settings.HOME)
        if "DATABASE_URL" not in os.environ:
            raise CommandError(f"There is no installation in {home}. Name its folder with --home.")
        target = options["out"] or home / "backups" / f"lingxi-{datetime.now(UTC):%Y%m%d-%H%M%S}.tar"
        try:
            with servers(home):
                manifest = backup.write(
                    target=target.resolve(),
                    database_url=os.environ["DATABASE_URL"],
                    home=home,
                    secret_key=settings.SECRET_KEY,
                    with_files=not options["database_only"],
                )
        except StackError as error:
            raise CommandError(str(error)) from error
        size = sum(member.bytes for member in manifest.members)
        parts = len(manifest.members)
        result = {"file": str(target), "members": parts, "bytes": size, "checked": True}
        return result, [f"{target}: {parts} parts, {size / 1e6:.1f} MB, read back and checked."]


@contextlib.contextmanager
def servers(home: Path) -> Iterator[None]:
    """The embedded servers for as long as needed, when they are ours and nobody runs them."""
    if uses_embedded(home) and not is_running(home):
        with Stack(home):
            yield
    else:
        yield

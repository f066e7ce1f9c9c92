"""Print docs/configuration.md: every setting that the environment may give."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.env import SETTINGS, Setting

HEAD = """# Configuration

Every setting comes from the environment. `./lingxi up` needs none of them; production needs the ones marked *required*.
This page is written by `./lingxi configuration`, and a test compares the two.

| variable | default | meaning |
|---|---|---|
"""
REQUIRED = {"LINGXI_SECRET_KEY", "DATABASE_URL", "REDIS_URL", "LINGXI_ALLOWED_HOSTS"}


class Command(BaseCommand):
    """List the settings as a Markdown table or as JSON."""

    help = "List every setting that the environment may give."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """--json instead of Markdown."""
        parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print them by name."""
        import_module_of_production()
        found = sorted(SETTINGS.values(), key=lambda setting: setting.name)
        if options["json"]:
            self.stdout.write(json.dumps([vars(setting) for setting in found], indent=1))
            return
        self.stdout.write(HEAD + "\n".join(row(setting) for setting in found))


def import_module_of_production() -> None:
    """Production's own settings are read too, whatever settings this process runs under."""
    import config.settings.production  # noqa: F401 - read for its registrations only


def row(setting: Setting) -> str:
    """One line of the table; folders are shown relative to the project."""
    default = setting.default.replace(f"{Path(settings.ROOT)}/", "")
    required = " *Required in production.*" if setting.name in REQUIRED else ""
    return f"| `{setting.name}` | {f'`{default}`' if default else '–'} | {setting.meaning}{required} |"

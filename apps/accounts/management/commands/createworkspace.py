"""Make a workspace from the command line."""

import argparse
from typing import Any

from apps.accounts.management.lookup import user_by_email
from apps.accounts.services import create_workspace
from core.commands import JsonCommand


class Command(JsonCommand):
    """./lingxi createworkspace --name N --owner E"""

    help = "Make a workspace and its first owner."

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Name and owner."""
        parser.add_argument("--name", required=True, help="name of the workspace")
        parser.add_argument("--owner", required=True, help="address of a person who becomes its owner")
        parser.add_argument("--slug", default="", help="part of its address; made from the name if left out")

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Make it."""
        owner = user_by_email(options["owner"])
        made = create_workspace(name=options["name"], owner=owner, slug=options["slug"])
        data = {"id": made.pk, "slug": made.slug, "name": made.name, "owner": owner.email}
        return data, [f"Workspace {made.name} is at /w/{made.slug}/."]

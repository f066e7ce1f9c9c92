"""Make an API key from the command line."""

import argparse
from datetime import timedelta
from typing import Any

from django.http import Http404
from django.utils import timezone

from apps.accounts.access import actor_of_member
from apps.accounts.management.lookup import slug_of, user_by_email
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key
from core.commands import JsonCommand
from core.errors import Refused


class Command(JsonCommand):
    """./lingxi apikey --email E --scopes a,b"""

    help = "Make an API key and print its secret, which is shown this once."

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Whose key, what it may, how long."""
        parser.add_argument("--email", required=True, help="the person whose rights the key gets")
        parser.add_argument(
            "--scopes",
            required=True,
            help=f"comma-separated, or 'all' for everything the person may; known: {', '.join(PERMISSIONS)}",
        )
        parser.add_argument(
            "--workspace", default="", help="slug of the workspace; the person's last used one if left out"
        )
        parser.add_argument("--name", default="command line", help="name of the key in the list")
        parser.add_argument("--expires-days", type=int, help="days until the key ends; never if left out")

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Make the key."""
        user = user_by_email(options["email"])
        slug = slug_of(user, options["workspace"])
        try:
            actor = actor_of_member(user, slug)
        except Http404 as error:
            raise Refused("not_a_member", f"{user} is not an active member of workspace {slug}.") from error
        wanted = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        days = options["expires_days"]
        key, secret = create_api_key(
            actor=actor,
            name=options["name"],
            scopes=sorted(actor.permissions) if wanted == ["all"] else wanted,
            expires_at=timezone.now() + timedelta(days=days) if days is not None else None,
        )
        data = {
            "id": key.pk,
            "secret": secret,
            "workspace": slug,
            "scopes": key.scopes,
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        }
        return data, [secret]

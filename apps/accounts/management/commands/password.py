"""Give a person a new password from the command line."""

import argparse
import sys
from typing import Any

from apps.accounts.management.lookup import user_by_email
from apps.accounts.services import random_password, reset_password
from core.commands import JsonCommand


class Command(JsonCommand):
    """./lingxi password --email E"""

    help = "Set a new password: a random one that is printed, or the first line of standard input."

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Whose password, and where it comes from."""
        parser.add_argument("--email", required=True, help="the person's address")
        parser.add_argument("--stdin", action="store_true", help="read the password from standard input")

    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Set it; every session of the person ends."""
        user = user_by_email(options["email"])
        password = sys.stdin.readline().rstrip("\r\n") if options["stdin"] else random_password()
        reset_password(user=user, password=password)
        if options["stdin"]:
            return {"email": user.email}, [f"The password of {user.email} is set. All sessions ended."]
        return {"email": user.email, "password": password}, [password]

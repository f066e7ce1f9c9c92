"""Make a person from the command line."""

import argparse
import sys
from typing import Any

from django.db import transaction

from apps.accounts.models import Membership, User, Workspace
from apps.accounts.roles import ROLE_NAMES
from apps.accounts.services import audit, check_password_strength, create_user, random_password
from core.commands import JsonCommand
from core.errors import Refused


class Command(JsonCommand):
    """./lingxi createuser --email E"""

    help = "Make a person with a random password that is printed once, or one from standard input."

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Who, and where they work."""
        parser.add_argument("--email", required=True, help="address to log in with")
        parser.add_argument("--name", default="", help="name shown to others")
        parser.add_argument("--stdin", action="store_true", help="read the password from standard input")
        parser.add_argument("--operator", action="store_true", help="may open workspaces and deactivate people")
        parser.add_argument("--workspace", default="", help="slug of a workspace to join")
        parser.add_argument("--role", default="analyst", choices=list(ROLE_NAMES), help="role there (default: analyst)")

    @transaction.atomic
    def run(self, options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Make them, and their membership when a workspace is named."""
        workspace = None
        if options["workspace"]:
            workspace = Workspace.objects.filter(slug=options["workspace"], deleting_at=None).first()
            if workspace is None:
                raise Refused("unknown_workspace", f"There is no workspace {options['workspace']}.")
        password = sys.stdin.readline().rstrip("\r\n") if options["stdin"] else random_password()
        check_password_strength(password, User(email=options["email"], name=options["name"]))
        user = create_user(
            email=options["email"], password=password, name=options["name"], is_operator=options["operator"]
        )
        if workspace is not None:
            Membership.objects.create(workspace=workspace, user=user, role=options["role"])
            audit(actor=None, workspace=workspace, action="member.join", obj=user, role=options["role"])
        data = {"id": user.pk, "email": user.email, "workspace": workspace.slug if workspace else None}
        if options["stdin"]:
            return data, [f"{user.email} can log in."]
        return {**data, "password": password}, [password]

"""Bring the database to the present migrations; an empty one is built at once."""

from typing import Any

from django.core.management.base import no_translations
from django.core.management.commands import migrate
from django.db import connections

from core.empty_database import build

PARTIAL = ("app_label", "fake", "fake_initial", "plan", "check_unapplied", "prune")


class Command(migrate.Command):
    """Django's own, which then finds nothing left to apply, makes content types and permissions and tells its listeners."""

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        """Build when everything is wanted of a database that holds nothing."""
        wants_all = not any(options[name] for name in PARTIAL)
        if wants_all and build(connections[options["database"]]) and options["verbosity"]:
            self.stdout.write("The database was empty: its tables are made as all migrations leave them.")
        super().handle(*args, **options)

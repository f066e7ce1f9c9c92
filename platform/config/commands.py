"""What the job-starting commands share: who acts, in which workspace, and how the result is shown."""

import argparse
from typing import Any

from django.core.management.base import CommandError

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership
from core.access import Actor
from core.commands import JsonCommand
from core.jobs.models import Job
from core.terminal import as_dict, follow


class JobCommand(JsonCommand):
    """Starts a job like a page would and follows it; subclasses write `start`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Common options."""
        super().add_arguments(parser)
        parser.add_argument("--workspace", help="address of the workspace (default: the first one)")
        parser.add_argument("--email", help="who acts (default: the workspace's first owner)")
        parser.add_argument("--no-wait", action="store_true", help="queue the job and return at once")
        parser.add_argument("--wait", action="store_true", help="wait for the job (the default)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, follow, show; exit code 1 when the job did not end well."""
        good = True
        with self.refusals_told(options):
            actor = self.actor(options)
            job, more = self.start(actor, options)
            if not options["no_wait"]:
                good = follow(job, as_json=options["json"])
                job.refresh_from_db()
                if good:
                    more |= self.finish(actor, job, options)
        self.tell(options, as_dict(job, **more), [f"{name}: {value}" for name, value in more.items()])
        if not good:
            raise SystemExit(1)

    def actor(self, options: dict[str, Any]) -> Actor:
        """The member named by the options."""
        rows = Membership.objects.select_related("user", "workspace").order_by("workspace_id", "id")
        if options["workspace"]:
            rows = rows.filter(workspace__slug=options["workspace"])
        rows = rows.filter(user__email__iexact=options["email"]) if options["email"] else rows.filter(role="owner")
        found = rows.first()
        if found is None:
            raise CommandError("Nobody fits --workspace and --email. ./lingxi up makes the first workspace.")
        return actor_of_member(found.user, found.workspace.slug)

    def start(self, actor: Actor, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Queue the job; returns it and what to print beside it."""
        raise NotImplementedError

    def finish(self, actor: Actor, job: Job, options: dict[str, Any]) -> dict[str, Any]:
        """After a good end: what else to print."""
        return {}

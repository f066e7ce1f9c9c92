"""Workspaces: made, changed, and deleted with everything in them."""

import contextlib
import shutil
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify

from apps.accounts.models import Membership, User, Workspace
from apps.accounts.roles import OWNER
from apps.accounts.services.people import require_operator
from apps.accounts.services.trail import audit
from core.access import Actor
from core.erase import erase
from core.errors import Refused, conflict
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.states import OPEN, State
from core.storage import home
from words import say

DELETE_KIND = "accounts.delete_workspace"
ERASED = "workspace.erased"
LIMITS = (
    "key_requests_per_minute",
    "key_tokens_per_minute",
    "key_concurrent_requests",
    "requests_per_month",
    "tokens_per_month",
)
FIELDS = ("name", "four_eyes", "audit_retention_days", "job_retention_days", "file_retention_days", *LIMITS)


@transaction.atomic
def create_workspace(*, name: str, owner: User, slug: str = "", is_demo: bool = False) -> Workspace:
    """A workspace with its first owner; the address is made from the name when none is given."""
    base = slugify(slug or name)[:50] or "workspace"
    taken = set(Workspace.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    chosen = next(s for s in (base, *(f"{base}-{n}" for n in range(2, 10_000))) if s not in taken)
    workspace = Workspace.objects.create(name=name, slug=chosen, is_demo=is_demo)
    Membership.objects.create(workspace=workspace, user=owner, role=OWNER)
    audit(actor=None, action="workspace.create", obj=workspace, workspace=workspace, owner=owner.email)
    return workspace


def open_workspace(*, by: User, name: str) -> Workspace:
    """A new workspace made on a page; only an operator may."""
    require_operator(by)
    return create_workspace(name=name, owner=by)


@transaction.atomic
def update_workspace(*, actor: Actor, **columns: Any) -> Workspace:
    """Change name, rules, retention periods, limits or quotas; the trail keeps what was before."""
    unknown = set(columns) - set(FIELDS)
    if unknown:
        raise ValueError(f"not a setting of a workspace: {sorted(unknown)}")
    workspace = Workspace.objects.select_for_update().get(pk=actor.workspace.pk)
    changed = {name: value for name, value in columns.items() if getattr(workspace, name) != value}
    if not changed:
        return workspace
    before = {name: getattr(workspace, name) for name in changed}
    for name, value in changed.items():
        setattr(workspace, name, value)
    workspace.save(update_fields=list(changed))
    audit(actor=actor, action="workspace.update", obj=workspace, before=before, after=changed)
    return workspace


def guard_workspace(*, actor: Actor, is_guarded: bool) -> None:
    """Note whether requests of the workspace have to look for a guard policy; in the caller's transaction."""
    Workspace.objects.filter(pk=actor.workspace.pk).update(is_guarded=is_guarded)


@transaction.atomic
def ask_for_deletion(*, actor: Actor, typed_name: str) -> Job:
    """Close a workspace at once and queue the deletion of everything in it.

    From this commit on nobody enters, no key works, and no other job of the workspace starts.
    """
    if typed_name.strip() != actor.workspace.name:
        raise Refused("name_differs", say("Type the name of the workspace exactly as it is shown."), field="name")
    if not Workspace.objects.filter(pk=actor.workspace.pk, deleting_at=None).update(deleting_at=timezone.now()):
        raise conflict("deleting_already", say("This workspace is being deleted already."))
    _cancel(Job.objects.filter(workspace=actor.workspace, state__in=OPEN), by=actor.user)
    audit(actor=actor, action="workspace.delete", obj=actor.workspace)
    return jobs.create(
        kind=DELETE_KIND,
        workspace=actor.workspace,
        queue="io",
        title=say("Delete workspace {name}", name=actor.workspace.name),
        by=actor.user,
        priority=10,
    )


def others_at_work(job: Job) -> int:
    """How many other jobs of the workspace still run; queued ones that slipped in are cancelled first."""
    others = Job.objects.filter(workspace_id=job.workspace_id).exclude(pk=job.pk)
    _cancel(others.filter(state__in=OPEN, stop_requested=""), by=job.requested_by)
    return others.filter(state=State.RUNNING).count()


def _cancel(rows: QuerySet[Job], *, by: User | None) -> None:
    for job in rows:
        with contextlib.suppress(Refused):  # it ended by itself between the two queries
            jobs.cancel(job=job, by=by)


def remove_files(workspace: Workspace) -> None:
    """Delete the workspace's folder; a second call finds nothing to do."""
    folder = home() / "files" / str(workspace.pk)
    if folder.exists():
        shutil.rmtree(folder)


def erase_workspace(*, workspace: Workspace) -> int:
    """Delete every row of the workspace, its jobs included; returns the number of rows.

    The audit trail stays as long as the workspace kept it: it tells who deleted the workspace.
    """
    with transaction.atomic():
        audit(
            actor=None,
            action=ERASED,
            obj=workspace,
            workspace=workspace,
            audit_retention_days=workspace.audit_retention_days,
        )
        return erase(Workspace.objects.filter(pk=workspace.pk, deleting_at__isnull=False))

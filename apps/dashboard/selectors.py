"""What the dashboard reads: jobs of a workspace, their logs, and queues that nobody serves."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, Min, OuterRef, QuerySet
from django.utils import timezone

from apps.accounts.models import Workspace
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition
from core.jobs.states import OPEN, State

UNSERVED_AFTER = timedelta(seconds=60)


def jobs_of(workspace: Workspace) -> QuerySet[Job]:
    """Jobs of the workspace with the person who asked."""
    return Job.objects.filter(workspace=workspace).select_related("requested_by")


def open_jobs(workspace: Workspace, *, limit: int) -> list[Job]:
    """What runs, waits or is paused, running first."""
    rows = jobs_of(workspace).filter(state__in=OPEN)
    order = {State.RUNNING: 0, State.QUEUED: 1, State.PAUSED: 2}
    newest = rows.order_by("-state", "-priority", "id")[: limit * 3]
    return sorted(newest, key=lambda job: (order[State(job.state)], -job.priority, job.pk))[:limit]


def kinds_used(workspace: Workspace) -> list[str]:
    """Kinds of jobs this workspace has had, for the filter."""
    return list(Job.objects.filter(workspace=workspace).order_by("kind").values_list("kind", flat=True).distinct())


def attempts_of(job: Job) -> QuerySet[JobAttempt]:
    """Every try, newest first."""
    return job.attempts.order_by("-token")


def transitions_of(job: Job) -> QuerySet[JobTransition]:
    """Every move, newest first."""
    return job.transitions.order_by("-id")


def log_of(job: Job, *, words: str = "") -> QuerySet[JobLog]:
    """Log lines, newest first, that contain `words`."""
    rows = job.log_lines.order_by("-id")
    return rows.filter(message__icontains=words) if words else rows


@dataclass(frozen=True)
class Unserved:
    """A queue in which work is due and nobody works."""

    queue: str
    waiting_seconds: float


def unserved_queues(workspace: Workspace) -> list[Unserved]:
    """Queues where a job of this workspace has been due for a minute while no worker holds a live lease.

    An idle worker takes a due job within the sweeper's ten seconds, and a busy one holds a lease, so this tells of
    missing workers without asking them.
    """
    now = timezone.now()
    busy = Job.objects.filter(queue=OuterRef("queue"), state=State.RUNNING, lease_expires_at__gt=now)
    late = (
        Job.objects.filter(workspace=workspace, state=State.QUEUED, run_after__lt=now - UNSERVED_AFTER)
        .exclude(Exists(busy))
        .values("queue")
        .annotate(since=Min("run_after"))
        .order_by("queue")
    )
    return [Unserved(row["queue"], (now - row["since"]).total_seconds()) for row in late]

"""What the dashboard reads: jobs of a workspace, their logs, and queues that nobody serves."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.accounts.models import Invitation, User, Workspace
from apps.datasets.models import Dataset, DatasetVersion
from apps.registry.models import Alias, Approval, Decision, ModelVersion
from apps.registry.selectors import versions_of
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition
from core.jobs.states import OPEN, State
from core.words import holding

UNSERVED_AFTER = timedelta(seconds=60)
FAILURES_SINCE = timedelta(days=14)


def jobs_of(workspace: Workspace) -> QuerySet[Job]:
    """Jobs of the workspace with the person who asked."""
    return Job.objects.filter(workspace=workspace).select_related("requested_by")


def open_jobs(workspace: Workspace, *, limit: int) -> list[Job]:
    """What runs, waits or is paused, running first."""
    rows = jobs_of(workspace).filter(state__in=OPEN)
    order = {State.RUNNING: 0, State.QUEUED: 1, State.PAUSED: 2}
    newest = rows.order_by("-state", "-priority", "id")[: limit * 3]
    return sorted(newest, key=lambda job: (order[State(job.state)], -job.priority, job.pk))[:limit]


def failed_jobs(workspace: Workspace, *, limit: int) -> list[Job]:
    """What failed in the last two weeks and was not tried again, newest first."""
    since = timezone.now() - FAILURES_SINCE
    rows = jobs_of(workspace).filter(state=State.FAILED, finished_at__gt=since)
    return list(rows.order_by("-finished_at")[:limit])


def succeeded_jobs(workspace: Workspace, *, limit: int) -> list[Job]:
    """What ended well, newest first."""
    return list(jobs_of(workspace).filter(state=State.SUCCEEDED).order_by("-finished_at")[:limit])


def open_approvals(workspace: Workspace, *, limit: int) -> list[Approval]:
    """Requests that somebody has to decide, oldest first, with version and family."""
    rows = Approval.objects.filter(version__workspace=workspace, decision=Decision.OPEN)
    return list(rows.select_related("version__family").order_by("id")[:limit])


def invitations_for(user: User) -> list[Invitation]:
    """Invitations to other workspaces that wait for this person."""
    rows = Invitation.objects.filter(
        email__iexact=user.email, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).exclude(workspace__memberships__user=user)
    return list(rows.select_related("workspace").order_by("id")[:5])


def newest_models(workspace: Workspace, *, limit: int) -> list[ModelVersion]:
    """The newest model versions with family and figures."""
    return list(versions_of(workspace)[:limit])


@dataclass(frozen=True)
class Counts:
    """How much each room holds, and in which kinds of jobs something runs."""

    datasets: int
    versions: int
    approved: int
    trainings: int
    evaluations: int
    batches: int
    busy_kinds: frozenset[str]


def counts_of(workspace: Workspace) -> Counts:
    """Counts of the rooms in four queries; finished jobs are counted by kind."""
    kinds = {
        row["kind"]: row
        for row in Job.objects.filter(workspace=workspace)
        .values("kind")
        .annotate(good=Count("id", filter=Q(state=State.SUCCEEDED)), busy=Count("id", filter=Q(state=State.RUNNING)))
    }

    def good(kind: str) -> int:
        return int(kinds[kind]["good"]) if kind in kinds else 0

    return Counts(
        datasets=Dataset.objects.filter(workspace=workspace, archived_at=None).count(),
        versions=DatasetVersion.objects.filter(dataset__workspace=workspace).count(),
        approved=Alias.objects.filter(family__workspace=workspace).count(),
        trainings=good("training.run"),
        evaluations=good("evaluation.run"),
        batches=good("inference.batch"),
        busy_kinds=frozenset(kind for kind, row in kinds.items() if row["busy"]),
    )


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
    return holding(rows, "message", words) if words else rows


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


def model_versions() -> QuerySet[ModelVersion]:
    """Model versions with what they were made from, without figures and rows."""
    rows = ModelVersion.objects.select_related("family", "base_model", "dataset_version__dataset", "training_job")
    return rows.defer("samples", "metrics", "files")


def dataset_versions() -> QuerySet[DatasetVersion]:
    """Frozen dataset versions with their dataset."""
    return DatasetVersion.objects.select_related("dataset")

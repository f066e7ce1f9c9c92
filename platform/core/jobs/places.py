"""Where a waiting job stands: how many go before it, what its workspace runs at once, and when it may begin."""

from dataclasses import dataclass
from statistics import median

from django.conf import settings
from django.db import connection
from django.utils import timezone

from core.jobs.models import Job
from core.jobs.states import State

KNOWN_RUNS = 20  # ended jobs of a kind that tell how long one takes
_AHEAD = """
WITH waiting AS (
    SELECT j.id, j.kind, row_number() OVER (ORDER BY j.priority DESC, busy.running ASC, j.run_after ASC, j.id ASC) AS place
    FROM core_job j
    JOIN LATERAL (
        SELECT count(*) AS running FROM core_job r
        WHERE r.workspace_id = j.workspace_id AND r.queue = j.queue AND r.state = 'running'
    ) busy ON true
    WHERE j.queue = %s AND j.state = 'queued' AND j.run_after <= %s
)
SELECT place, (SELECT count(*) FROM waiting) FROM waiting WHERE id = %s
"""
"""The order of core.jobs.services.claim."""


@dataclass(frozen=True)
class Place:
    """A queued job among all that wait in its queue; times are estimates from jobs of the same workspace and kind."""

    position: int  # 1 is next
    waiting: int
    running: int  # of its workspace in this queue
    limit: int  # of those at once
    seconds: float | None  # until it may begin, None while nothing is known

    @property
    def is_capped(self) -> bool:
        """Whether the workspace itself must end a job first."""
        return self.running >= self.limit


def place_of(job: Job) -> Place | None:
    """The place of a job that is due and waits; None for any other, and in a queue that this installation lacks."""
    limit = settings.JOBS_RUNNING_PER_WORKSPACE.get(job.queue)
    if job.state != State.QUEUED or limit is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_AHEAD, [job.queue, timezone.now(), job.pk])
        row = cursor.fetchone()
    if row is None:
        return None
    position, waiting = row
    at_work = list(Job.objects.filter(queue=job.queue, state=State.RUNNING))
    mine = [other for other in at_work if other.workspace_id == job.workspace_id]
    return Place(position, waiting, len(mine), limit, _seconds(job, position - 1, at_work, mine, limit))


def _seconds(job: Job, ahead: int, at_work: list[Job], mine: list[Job], limit: int) -> float | None:
    """The work before this job, shared by as many workers as are at work; not before its workspace has room."""
    if not at_work:
        return 0.0 if not ahead else None
    usual = _usual_seconds(job)
    left = [_left(other, usual) for other in at_work]
    own = [_left(other, usual) for other in mine]
    if any(each is None for each in left) or (ahead and usual is None):
        return None
    shared = (sum(each or 0.0 for each in left) + ahead * (usual or 0.0)) / len(at_work)
    room = min((each or 0.0 for each in own), default=0.0) if len(mine) >= limit else 0.0
    return max(shared, room)


def _left(job: Job, usual: float | None) -> float | None:
    """What a running job still needs: by its own progress, else by what such jobs take."""
    if job.remaining_seconds is not None:
        return job.remaining_seconds
    if usual is None or job.duration is None:
        return None
    return max(0.0, usual - job.duration.total_seconds())


def _usual_seconds(job: Job) -> float | None:
    """The middle duration of the newest jobs of this kind that ended well in this workspace."""
    rows = Job.objects.filter(workspace=job.workspace_id, kind=job.kind, state=State.SUCCEEDED)
    known = [row.duration.total_seconds() for row in rows.order_by("-id")[:KNOWN_RUNS] if row.duration is not None]
    return median(known) if known else None

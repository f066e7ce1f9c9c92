"""What people and workers do with jobs: create, claim, cancel, pause, resume, retry, sweep."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from core.errors import conflict
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition, Stop
from core.jobs.moves import move
from core.jobs.run import Run
from core.jobs.states import State
from core.queue import QUEUES, wake
from words import say


def create(
    *,
    kind: str,
    workspace: Any,
    queue: str,
    title: str,
    by: Any = None,
    page: str = "",
    priority: int = 0,
    max_attempts: int = 3,
    unit: str = "",
    can_pause: bool = False,
) -> Job:
    """Queue a job; workers are woken when the caller's transaction commits."""
    if queue not in QUEUES:
        raise ValueError(f"unknown queue {queue!r}")
    job = Job.objects.create(
        kind=kind,
        workspace=workspace,
        queue=queue,
        title=title,
        requested_by=by,
        page=page,
        priority=priority,
        max_attempts=max_attempts,
        unit=unit,
        can_pause=can_pause,
    )
    JobTransition.objects.create(job=job, from_state="", to_state=State.QUEUED, by=_name(by))
    wake(queue)
    return job


_CLAIM = """
SELECT j.id FROM core_job j
JOIN LATERAL (
    SELECT count(*) AS running FROM core_job r
    WHERE r.workspace_id = j.workspace_id AND r.queue = j.queue AND r.state = 'running'
) busy ON true
WHERE j.queue = %s AND j.state = 'queued' AND j.run_after <= %s AND busy.running < %s
ORDER BY j.priority DESC, busy.running ASC, j.run_after ASC, j.id ASC
LIMIT 1 FOR UPDATE OF j SKIP LOCKED
"""


def claim(*, queue: str, worker: str) -> Run | None:
    """Take the best queued job of `queue`: by priority, then the workspace with least running, then age.

    Claims of one queue follow each other (advisory lock), so that the workspace cap is exact.
    """
    now = timezone.now()
    limit = settings.JOBS_RUNNING_PER_WORKSPACE[queue]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"lingxi.claim.{queue}"])
        cursor.execute(_CLAIM, [queue, now, limit])
        row = cursor.fetchone()
        if row is None:
            return None
        Job.objects.filter(pk=row[0]).update(
            state=State.RUNNING,
            lease_token=F("lease_token") + 1,
            lease_expires_at=now + timedelta(seconds=settings.JOB_LEASE_SECONDS),
            attempt_count=F("attempt_count") + 1,
            worker=worker,
            error_code="",
            error_message="",
            error_hint="",
        )
        Job.objects.filter(pk=row[0], started_at=None).update(started_at=now)
        job = Job.objects.select_related("workspace", "requested_by").get(pk=row[0])
        JobAttempt.objects.create(job=job, token=job.lease_token, worker=worker, started_at=now)
        JobTransition.objects.create(job=job, from_state=State.QUEUED, to_state=State.RUNNING, by=worker)
    return Run(job)


def cancel(*, job: Job, by: Any) -> Job:
    """Cancel now when nothing runs, else ask the worker; cancelling twice is harmless."""
    return _stop(job, by, Stop.CANCEL, State.CANCELLED)


def pause(*, job: Job, by: Any) -> Job:
    """Pause now when nothing runs, else ask the worker to save a checkpoint and let go."""
    if not job.can_pause:
        raise conflict("job_cannot_pause", say("This kind of job cannot be paused. You can cancel it."))
    return _stop(job, by, Stop.PAUSE, State.PAUSED)


def _stop(job: Job, by: Any, stop: Stop, state: State) -> Job:
    with transaction.atomic():
        job = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
        if job.state == state:
            return job
        if job.ended:
            raise conflict("job_ended", say("This job has already ended."))
        if job.state == State.RUNNING:
            Job.objects.filter(pk=job.pk).update(stop_requested=stop)
            wish = say("cancel requested by {by}", by=_name(by))
            if stop == Stop.PAUSE:
                wish = say("pause requested by {by}", by=_name(by))
            JobLog.objects.create(job=job, message=wish, detail={"stop": stop.value, "by": _name(by)})
            job.refresh_from_db()
            return job
        move(job, state, by=_name(by), reason=say("asked by a person"))
    job.refresh_from_db()
    return job


def resume(*, job: Job, by: Any) -> Job:
    """Send a paused job back to the queue; it goes on from its last checkpoint."""
    if job.state != State.PAUSED or not move(job, State.QUEUED, by=_name(by), run_after=timezone.now()):
        raise conflict("job_not_paused", say("Only a paused job can be resumed."))
    return job


def retry(*, job: Job, by: Any) -> Job:
    """Send a failed or cancelled job again with fresh attempts."""
    if job.state not in {State.FAILED, State.CANCELLED} or not move(
        job,
        State.QUEUED,
        by=_name(by),
        reason=say("retried by a person"),
        attempt_count=0,
        finished_at=None,
        run_after=timezone.now(),
    ):
        raise conflict("job_not_retryable", say("Only a failed or cancelled job can be retried."))
    return job


def prioritise(*, job: Job, priority: int) -> Job:
    """Change the place in the queue; higher runs sooner."""
    if not Job.objects.filter(pk=job.pk, state=State.QUEUED).update(priority=priority):
        raise conflict("job_not_queued", say("Only a queued job has a place in the queue."))
    job.refresh_from_db()
    return job


def is_waited_for(queue: str) -> bool:
    """Whether a job is due in a queue and nobody has taken it."""
    return Job.objects.filter(queue=queue, state=State.QUEUED, run_after__lte=timezone.now()).exists()


def sweep() -> dict[str, list[int]]:
    """Give jobs of silent workers to others, and wake queues whose messages were lost.

    Returns the ids by what was done: `requeued`, `failed` (attempts used up), `cancelled`, `paused`.
    """
    now = timezone.now()
    done: dict[str, list[int]] = {"requeued": [], "failed": [], "cancelled": [], "paused": []}
    for job in Job.objects.filter(state=State.RUNNING, lease_expires_at__lt=now):
        token, reason = job.lease_token, say("worker {worker} fell silent", worker=job.worker)
        if job.stop_requested == Stop.CANCEL:
            if move(job, State.CANCELLED, by="sweeper", reason=reason, token=token):
                done["cancelled"].append(job.pk)
        elif job.stop_requested == Stop.PAUSE:
            if move(job, State.PAUSED, by="sweeper", reason=reason, token=token):
                done["paused"].append(job.pk)
        elif job.attempt_count < job.max_attempts:
            if move(job, State.QUEUED, by="sweeper", reason=reason, token=token):
                done["requeued"].append(job.pk)
        elif move(
            job,
            State.FAILED,
            by="sweeper",
            reason=reason,
            token=token,
            error_code="worker_lost",
            error_message=say(
                "The worker died {attempt_count} times while doing this job.", attempt_count=job.attempt_count
            ),
            error_hint=say("Look at the worker's log, then retry."),
        ):
            done["failed"].append(job.pk)
    for queue in QUEUES:
        waiting = Job.objects.filter(queue=queue, state=State.QUEUED, run_after__lte=now).count()
        for _each in range(min(waiting, 4)):
            wake(queue)
    return done


def _name(by: Any) -> str:
    return str(by) if by is not None else "system"

"""The one place where a job changes its state."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from core.jobs.models import Job, JobAttempt, JobTransition, Stop
from core.jobs.states import ENDED, MOVES, State
from core.queue import wake


def move(job: Job, to: State, *, by: str, reason: str = "", token: int | None = None, **columns: Any) -> bool:
    """Move a job if its present state allows; False when another hand was faster.

    With `token` the move happens only under that lease (fencing).
    """
    sources = [state for state, targets in MOVES.items() if to in targets]
    now = timezone.now()
    if to in ENDED:
        columns.setdefault("finished_at", now)
    if to is not State.RUNNING:
        columns.update(lease_expires_at=None, stop_requested=Stop.NONE)
    with transaction.atomic():
        held = Job.objects.select_for_update().filter(pk=job.pk, state__in=sources)
        if token is not None:
            held = held.filter(lease_token=token, state=State.RUNNING)
        before = held.values_list("state", flat=True).first()
        if before is None:
            return False
        Job.objects.filter(pk=job.pk).update(state=to, **columns)
        JobTransition.objects.create(job=job, from_state=before, to_state=to, by=by[:200], reason=reason)
        if before == State.RUNNING:
            JobAttempt.objects.filter(job=job, ended_at=None).update(ended_at=now, outcome=to, note=reason)
        if to is State.QUEUED:
            wake(job.queue)
    job.refresh_from_db()
    return True

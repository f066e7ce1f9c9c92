"""What people do with jobs from the dashboard, each on record in the audit trail."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from apps.accounts.models import Workspace
from apps.accounts.services import audit, create_workspace
from apps.notifications.services import job_ended
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from words import say

LEAST_PRIORITY, MOST_PRIORITY = -100, 100


DEMO_NAME = "Harbourline Bank 澄港银行 (demo)"
DEMO_SLUG = "demo"


def cancel(*, actor: Actor, job: Job) -> Job:
    """Cancel a job, or ask its worker to; a second time changes nothing."""
    cancelled = _act(actor, job, "job.cancel", jobs.cancel)
    job_ended(job=cancelled)  # one that had not started ends here; a running one ends in its worker
    return cancelled


def pause(*, actor: Actor, job: Job) -> Job:
    """Pause a job, or ask its worker to save and let go."""
    return _act(actor, job, "job.pause", jobs.pause)


def resume(*, actor: Actor, job: Job) -> Job:
    """Let a paused job go on."""
    return _act(actor, job, "job.resume", jobs.resume)


def retry(*, actor: Actor, job: Job) -> Job:
    """Send a failed or cancelled job again."""
    return _act(actor, job, "job.retry", jobs.retry)


@transaction.atomic
def prioritise(*, actor: Actor, job: Job, priority: int) -> Job:
    """Give a queued job another place in the queue."""
    if not LEAST_PRIORITY <= priority <= MOST_PRIORITY:
        raise Refused(
            "priority_out_of_range",
            say("A priority lies between {least} and {most}.", least=LEAST_PRIORITY, most=MOST_PRIORITY),
            field="priority",
        )
    before = job.priority
    job = jobs.prioritise(job=job, priority=priority)
    if job.priority != before:
        audit(actor=actor, action="job.prioritise", obj=job, before=before, after=priority)
    return job


@transaction.atomic
def _act(actor: Actor, job: Job, action: str, act: Callable[..., Any]) -> Job:
    before = (job.state, job.stop_requested)
    changed: Job = act(job=job, by=actor.user)
    if (changed.state, changed.stop_requested) != before:
        audit(actor=actor, action=action, obj=changed, kind=changed.kind)
    return changed


@transaction.atomic
def start_demo(*, owner: Any) -> Workspace:
    """The demo workspace of an invented bank, and the job that fills it."""
    workspace = create_workspace(name=DEMO_NAME, owner=owner, slug=DEMO_SLUG, is_demo=True)
    jobs.create(
        kind="dashboard.demo",
        workspace=workspace,
        queue="io",
        title=say("Fill the demo workspace"),
        by=owner,
        unit="steps",
        max_attempts=5,
    )
    return workspace

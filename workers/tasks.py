"""The Celery tasks: run the next job, sweep, clean up."""

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from apps.accounts import services as accounts
from apps.datasets.services import expire_files
from apps.notifications import services as notifications
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import shutting_down
from workers import loop

logger = logging.getLogger(__name__)


@worker_shutting_down.connect
def hand_jobs_back(**_kwargs: Any) -> None:
    """A worker that is told to stop gives its job back instead of finishing it."""
    shutting_down.set()


@shared_task(name="workers.run_next")
def run_next(queue: str) -> None:
    """Do one job of `queue`; the message carries no job, the rows decide."""
    if not shutting_down.is_set():
        loop.run_next(queue)


@shared_task(name="workers.sweep")
def sweep() -> None:
    """Take jobs from silent workers and wake queues whose messages were lost."""
    done = jobs.sweep()
    if any(done.values()):
        logger.warning("swept: %s", done)
    for job in Job.objects.filter(pk__in=done["failed"] + done["cancelled"]):
        notifications.job_ended(job=job)
    notifications.deliver_due()


@shared_task(name="workers.deliver")
def deliver(delivery_id: int) -> None:
    """Try to bring one notice to a person; the row decides whether it is due."""
    notifications.deliver(delivery_id=delivery_id)


@shared_task(name="workers.clean_up")
def clean_up() -> None:
    """Remove what is older than the retention periods."""
    removed = accounts.apply_retention()
    removed["notices"] = notifications.apply_retention()
    removed |= expire_files()
    if any(removed.values()):
        logger.info("cleaned up: %s", removed)

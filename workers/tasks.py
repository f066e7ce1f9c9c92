"""The Celery tasks: run the next job, sweep, clean up."""

import logging
import time
from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down
from django.utils import timezone

from apps.accounts import selectors as accounts_selectors
from apps.accounts import services as accounts
from apps.datasets import selectors as datasets_selectors
from apps.datasets import services as datasets
from apps.inference import selectors as inference_selectors
from apps.inference import services as inference
from apps.notifications import services as notifications
from apps.registry import selectors as registry_selectors
from apps.registry import services as registry
from apps.sentiment import selectors as sentiment_selectors
from apps.sentiment import services as sentiment
from apps.training import selectors as training_selectors
from apps.training import services as training
from core import leftovers
from core.jobs import services as jobs
from core.jobs import work
from core.jobs.models import Job
from core.jobs.run import shutting_down
from core.schedules import services as schedules
from workers import collecting, loop, watching
from workers import schedules as running
from workers.writing import drop_old_graphs

logger = logging.getLogger(__name__)

UNSTARTED_KEPT = timedelta(days=1)  # files of articles that nobody began to read
LINK_SECONDS = 30.0  # of one message; another one comes
FILE_ROOMS = (
    accounts_selectors.file_places,
    datasets_selectors.file_places,
    registry_selectors.file_places,
    training_selectors.file_places,
    inference_selectors.file_places,
    sentiment_selectors.file_places,
    work.file_places,
)
"""Who keeps files below HOME/files; each tells where, and which of them its rows name."""


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
        training.call_sweep_of(job)
        training.call_fine_tuning_of(job)
    training.stop_orphans()
    inference.mend_batches()
    inference.mend_rows()
    if any((taken := inference.check_gates()).values()):
        logger.warning("gates: %s", taken)
    notifications.deliver_due()


@shared_task(name="workers.collect")
def collect() -> None:
    """Claim the sources that are due; a message for each follows."""
    sentiment.claim_sources()


@shared_task(name="workers.read_source")
def read_source(pk: int, token: int) -> None:
    """Read one source; the row decides whether this message still holds."""
    collecting.read_source(pk, token)


@shared_task(name="workers.watch")
def watch(monitor_id: int | None = None) -> None:
    """Judge the rules whose buckets have closed and those that look at what arrives, and tell people.

    With a monitor, in which something arrived, only those of it that look at that.
    """
    if monitor_id is None:
        watching.watch()
    else:
        watching.watch_arrivals(monitor_id)


@shared_task(name="workers.link")
def link() -> None:
    """Link earlier articles anew where it was asked for; what is left goes on with the next message."""
    until = time.monotonic() + LINK_SECONDS
    while time.monotonic() < until and sentiment.link_next():
        pass


@shared_task(name="workers.tick")
def tick() -> None:
    """Find schedules whose time has come; a message for each follows."""
    schedules.tick()


@shared_task(name="workers.run_schedule")
def run_schedule(pk: int) -> None:
    """Run what a schedule owes; the row decides whether this message still holds."""
    running.run_schedule(pk)


@shared_task(name="workers.deliver", soft_time_limit=240)
def deliver(delivery_id: int) -> None:
    """Try one delivery, within the time after which its sender counts as dead; the row decides whether it is due."""
    notifications.deliver(delivery_id=delivery_id)


@shared_task(name="workers.clean_up")
def clean_up() -> None:
    """Remove what is older than the retention periods."""
    removed = accounts.apply_retention()
    removed["notices"] = notifications.apply_retention()
    removed |= datasets.expire_files() | registry.expire_files() | inference.expire_files()
    removed |= inference.expire_explanations() | inference.expire_unread() | inference.expire_texts()
    removed |= inference.expire_decisions()
    removed |= inference.expire_items() | datasets.expire_api_files()
    removed["article_texts"] = sentiment.forget_bodies()
    removed["fine_counts"] = sentiment.forget_buckets()
    removed["article_bands"] = sentiment.forget_bands()
    removed["backfill_files"] = sentiment.forget_backfill_files(before=timezone.now() - UNSTARTED_KEPT)
    removed["hosts"] = sentiment.forget_hosts()
    if any(removed.values()):
        logger.info("cleaned up: %s", removed)


@shared_task(name="workers.sweep_files")
def sweep_files() -> None:
    """Drop files that no row names any more, and say which."""
    swept = leftovers.sweep_all([place for room in FILE_ROOMS for place in room()])
    for name in drop_old_graphs():
        logger.info("dropped the graph of a version that is gone: %s", name)
    for path in swept.given_back:
        logger.warning("given back, a row names it: %s", path)
    for path in swept.set_aside:
        logger.info("set aside, no row names it: %s", path)
    for path, size in swept.dropped.items():
        logger.info("dropped, no row named it: %s (%s bytes)", path, f"{size:,}")
    if swept.dropped:
        logger.info("swept files: %s dropped, %s bytes", len(swept.dropped), f"{swept.bytes:,}")

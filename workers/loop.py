"""Claim one job, do it, end it: the same few steps for every kind."""

import logging
import os
import socket
import uuid
from collections.abc import Mapping

from django.db import OperationalError

from apps.inference.services import fail_batch
from apps.notifications.services import job_ended
from apps.training.services import call_fine_tuning_of, call_sweep_of
from core.errors import Refused
from core.jobs.run import HandBack, Run, Stopped, Waits
from core.jobs.services import claim
from core.queue import wake
from core.storage import disk_full, for_want_of_space
from words import say
from workers.runners import RUNNERS, Runner

logger = logging.getLogger(__name__)

RETRY_SECONDS = 15.0


def worker_name() -> str:
    """Host and process, for people who look for a lost worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


def run_next(queue: str, runners: Mapping[str, Runner] = RUNNERS) -> int | None:
    """Do the best job of `queue`; returns its id, or None when there was nothing to do."""
    run = claim(queue=queue, worker=worker_name())
    if run is None:
        return None
    logger.info("job %s (%s) starts, attempt %s", run.job.pk, run.job.kind, run.job.attempt_count)
    with run.beating():
        perform(run, runners)
    logger.info("job %s is %s", run.job.pk, run.job.state)
    job_ended(job=run.job)
    call_sweep_of(run.job)
    call_fine_tuning_of(run.job)
    fail_batch(job=run.job)
    wake(queue)
    return int(run.job.pk)


def perform(run: Run, runners: Mapping[str, Runner]) -> None:
    """Run the job's runner and end the job as it says."""
    runner = runners.get(run.job.kind)
    if runner is None:
        run.fail(code="unknown_kind", message=say("No worker knows jobs of kind {kind!r}.", kind=run.job.kind))
        return
    try:
        result = runner(run)
    except Stopped as stopped:
        run.stop(stopped.reason, stopped.why)
    except Waits as waits:
        run.rest(delay_seconds=waits.delay_seconds)
        waits.afterwards()
    except Refused as refused:
        run.fail(code=refused.code, message=refused.message, hint=refused.hint)
    except HandBack as wish:
        if run.job.attempt_count < run.job.max_attempts:
            run.hand_back(reason=wish.reason, delay_seconds=wish.delay_seconds)
        else:
            run.fail(code=wish.code, message=wish.reason, hint=wish.hint)
    except OperationalError as error:
        # A database or network that hiccups heals by itself; try again unless attempts are used up.
        logger.exception("job %s hit an operational error", run.job.pk)
        if run.job.attempt_count < run.job.max_attempts:
            run.hand_back(reason=str(error)[:200], delay_seconds=RETRY_SECONDS)
        else:
            run.fail(
                code="database_unavailable", message=say("The database was not reachable."), hint=say("Retry later.")
            )
    except Exception as error:
        if for_want_of_space(error):
            logger.warning("job %s found the disk full: %s", run.job.pk, error)
            run.fail(
                code="disk_full", message=disk_full().message, hint=say("Retry the job then; what it kept is kept.")
            )
            return
        number = uuid.uuid4().hex[:12]
        logger.exception("job %s failed unexpectedly, %s", run.job.pk, number)
        run.fail(
            code="unexpected",
            message=say(
                "Something went wrong on our side. Tell your administrator this number: {number}", number=number
            ),
        )
    else:
        run.succeed(result)

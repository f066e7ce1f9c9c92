"""Name Celery tasks and wake workers after commit; messages carry names and ids only."""

import logging
from dataclasses import dataclass
from functools import cache

from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

logger = logging.getLogger(__name__)

QUEUES = ("io", "train", "infer")


@dataclass(frozen=True)
class Task:
    """A Celery task by name, so that apps need not import workers."""

    name: str
    queue: str


RUN_NEXT = {queue: Task("workers.run_next", queue) for queue in QUEUES}


def enqueue(task: Task, *args: int | str) -> None:
    """Send `task` once the current transaction is committed.

    A broker that is down, or too full to take a message, is logged, not raised: the row is the truth and the
    sweeper sends again.
    """

    def send() -> None:
        try:
            current_app.send_task(task.name, args=args, queue=task.queue, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            logger.warning("broker unreachable, %s waits for the sweeper: %s", task.name, error)

    transaction.on_commit(send)


def wake(queue: str) -> None:
    """Tell one worker of `queue` that there is work."""
    enqueue(RUN_NEXT[queue], queue)


@cache
def _publisher(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def notify(channel: str, message: str = "1") -> None:
    """Wake a resident role that waits on `channel` (Redis publish) once the transaction is committed.

    Nobody listening is fine: residents look at their rows every second anyway.
    """

    def send() -> None:
        try:
            _publisher(settings.REDIS_URL).publish(channel, message)
        except RedisError as error:
            logger.warning("redis unreachable, %s will be seen at the next look: %s", channel, error)

    transaction.on_commit(send)

"""Batches that wait for the resident role: who asks for them, how often they look, and when another job has its turn."""

from dataclasses import replace
from time import monotonic, sleep
from typing import Any, Protocol

from django.http import Http404

from apps.accounts.access import actor_of_member
from core.access import Actor
from core.errors import Refused
from core.jobs.run import Run, Waits
from core.jobs.services import is_waited_for
from words import say

LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.1, 1.0
TURN_SECONDS = 10.0  # after which another job of the queue has its turn


class Started(Protocol):
    """What somebody started in a workspace."""

    created_by: Any
    workspace: Any


def asker(batch: Started, key: Any) -> Actor:
    """Who started it, with the rights they have now."""
    if batch.created_by is not None:
        try:
            return replace(actor_of_member(batch.created_by, batch.workspace.slug), key=key)
        except Http404:
            pass
    raise Refused("not_a_member", say("Who started this is no member any more."))


class Looks:
    """Pauses between looks, longer and longer while nothing moves."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._begun, self._pause = monotonic(), LOOK_SECONDS

    def rest(self, *, moved: bool) -> None:
        """Wait for the next look; raises Waits when this job has had its turn and others wait."""
        if monotonic() - self._begun > TURN_SECONDS and is_waited_for(self._run.job.queue):
            raise Waits(0.0, lambda: None)
        self._pause = LOOK_SECONDS if moved else min(LONGEST_LOOK_SECONDS, 1.5 * self._pause)
        sleep(self._pause)

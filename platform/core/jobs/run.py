"""A claimed job in a worker's hands: beats, reports progress, and ends under its fencing token."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from core.jobs.models import Job, JobLog, Stop
from core.jobs.moves import move
from core.jobs.states import State
from core.redaction import redacted
from words import say

logger = logging.getLogger(__name__)

shutting_down = threading.Event()
"""Set by the worker process when it was told to stop; runs then hand their job back."""

PROGRESS_SECONDS = 0.5
RATE_WINDOW_SECONDS = 10.0


class Stopped(Exception):
    """The run must end now. `reason` is cancel, pause, shutdown or lost; `why` says who or what wanted it."""

    def __init__(self, reason: str, why: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.why = why


class HandBack(Exception):
    """The runner asks for another attempt after `delay_seconds`; out of attempts, the job fails as said."""

    def __init__(self, reason: str, *, code: str, hint: str = "", delay_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.hint = hint
        self.delay_seconds = delay_seconds


class Waits(Exception):
    """The job has done what can be done now and looks again after `delay_seconds`, or when it is called.

    `afterwards` is called once the job is back in the queue: what happened meanwhile may call it at once.
    """

    def __init__(self, delay_seconds: float, afterwards: Callable[[], None]) -> None:
        super().__init__(delay_seconds)
        self.delay_seconds = delay_seconds
        self.afterwards = afterwards


class Run:
    """The worker's handle of one claimed job; every write carries the lease token.

    Safe to beat from a second thread while the first one works.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.token = job.lease_token
        self._reason = ""
        self._last_written = 0.0
        self._window: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        return f"Run(job={self.job.pk}, token={self.token})"

    def _held(self) -> Any:
        return Job.objects.filter(pk=self.job.pk, state=State.RUNNING, lease_token=self.token)

    def beat(self) -> None:
        """Extend the lease and learn whether a person asked to stop."""
        expires = timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
        if not self._held().update(lease_expires_at=expires):
            self._reason = "lost"
            return
        self._reason = self._held().values_list("stop_requested", flat=True).first() or self._reason

    @contextmanager
    def beating(self) -> Iterator["Run"]:
        """Beat from a thread until the block ends."""
        ended = threading.Event()

        def loop() -> None:
            while not ended.wait(settings.JOB_BEAT_SECONDS):
                try:
                    close_old_connections()
                    self.beat()
                except DatabaseError as error:
                    # The lease is longer than several beats: a short outage is survived, a long one loses it.
                    logger.warning("beat of job %s failed: %s", self.job.pk, error)
            connection.close()

        thread = threading.Thread(target=loop, name=f"beat-{self.job.pk}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    @property
    def stop_reason(self) -> str:
        """Why the run must end ("" when it may go on); does not ask the database."""
        if self._reason == "lost":
            return "lost"
        if self._reason in {Stop.CANCEL, Stop.PAUSE}:
            return str(self._reason)
        return "shutdown" if shutting_down.is_set() else ""

    def check(self) -> None:
        """Raise Stopped when a person, the process or a lost lease says so."""
        if reason := self.stop_reason:
            raise Stopped(reason)

    def progress(
        self, done: int, total: int | None = None, *, unit: str = "", phase: str = "", now: bool = False
    ) -> None:
        """Store how far the work is, at most twice a second unless `now`; then check for a stop."""
        clock = monotonic()
        changed_phase = bool(phase) and phase != self.job.phase
        if changed_phase:
            self._window.clear()
        if not (now or changed_phase) and clock - self._last_written < PROGRESS_SECONDS and done != total:
            return
        self._last_written = clock
        self._window.append((clock, done))
        while len(self._window) > 2 and clock - self._window[0][0] > RATE_WINDOW_SECONDS:
            self._window.pop(0)
        first_at, first_done = self._window[0]
        rate = (done - first_done) / (clock - first_at) if clock > first_at else None
        self.job.phase = phase or self.job.phase
        self.job.unit = unit or self.job.unit
        written = self._held().update(
            done_count=done,
            total_count=total,
            phase=self.job.phase,
            unit=self.job.unit,
            rate_per_second=rate,
            progressed_at=timezone.now(),
        )
        if not written:
            self._reason = "lost"
        else:
            self._reason = self._held().values_list("stop_requested", flat=True).first() or self._reason
        self.check()

    def log(self, message: str, *, level: str = "info", **detail: Any) -> None:
        """Keep one line for people, without secrets, if the lease is still ours."""
        with self.fenced():
            JobLog.objects.create(job=self.job, level=level, message=redacted(message), detail=detail)

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """A transaction in which the lease is held: writes of a run that lost its job are refused."""
        with transaction.atomic():
            if self._held().select_for_update(of=("self",)).first() is None:
                self._reason = "lost"
                raise Stopped("lost")
            yield

    def succeed(self, result: Mapping[str, Any] | None = None) -> bool:
        """End well; False when the lease was lost meanwhile."""
        columns: dict[str, Any] = {"result": dict(result or {})}
        return self._move(State.SUCCEEDED, **columns)

    def fail(self, *, code: str, message: str, hint: str = "") -> bool:
        """End badly with one sentence for the user."""
        return self._move(State.FAILED, reason=message, error_code=code, error_message=message, error_hint=hint)

    def hand_back(self, *, reason: str, delay_seconds: float = 0.0, counts: bool = True) -> bool:
        """Give the job back to the queue; `counts=False` does not use up an attempt."""
        columns: dict[str, Any] = {"run_after": timezone.now() + timedelta(seconds=delay_seconds)}
        if not counts:
            columns["attempt_count"] = max(0, self.job.attempt_count - 1)
        return self._move(State.QUEUED, reason=reason, **columns)

    def rest(self, *, delay_seconds: float) -> bool:
        """Wait in the queue without using up an attempt; what a person asked for meanwhile happens instead."""
        with transaction.atomic():
            wish = self._held().select_for_update(of=("self",)).values_list("stop_requested", flat=True).first()
            return self.stop(wish) if wish else self.hand_back(reason="", delay_seconds=delay_seconds, counts=False)

    def stop(self, reason: str, why: str = "") -> bool:
        """End as the stop reason says: cancelled, paused, or back in the queue on shutdown."""
        if reason == "cancel":
            return self._move(State.CANCELLED, reason=why or say("asked by a person"))
        if reason == "pause":
            return self._move(State.PAUSED, reason=say("asked by a person"))
        if reason == "shutdown":
            return self.hand_back(reason=say("the worker was stopped"), counts=False)
        return False

    def _move(self, to: State, *, reason: str = "", **columns: Any) -> bool:
        return move(self.job, to, by=self.job.worker, reason=reason, token=self.token, **columns)

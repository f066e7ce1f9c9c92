"""Ends a run whose step hangs: the stacks of all threads go to stderr, and the supervisor starts from the checkpoint."""

import faulthandler
import sys
import time
from collections import deque
from statistics import median

MEDIANS = 50  # a step may take so many times what steps take
FLOOR_SECONDS = 300.0  # and never less than this: checkpoints, page faults and slow disks are no hang
REMEMBERED = 101


class Watchdog:
    """Waits for the next step; a thread in C watches, so that a step stuck outside Python is seen as well."""

    def __init__(self, floor_seconds: float = FLOOR_SECONDS, medians: float = MEDIANS) -> None:
        self.floor_seconds = floor_seconds
        self.medians = medians
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)
        self._at: float | None = None

    def step(self) -> None:
        """A step is done: the next one may take `medians` times the usual, at least the floor."""
        now = time.monotonic()
        if self._at is not None:
            self._gaps.append(now - self._at)
        self._at = now
        usual = median(self._gaps) if self._gaps else 0.0
        # exit without clean-up (code 1): whatever holds the step would hold the clean-up too
        faulthandler.dump_traceback_later(max(self.floor_seconds, self.medians * usual), exit=True, file=sys.stderr)

    def rest(self) -> None:
        """No step is due: nothing is watched."""
        faulthandler.cancel_dump_traceback_later()
        self._at = None

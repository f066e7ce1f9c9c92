"""What a run tells the outside while it works, and how it hears that it should stop."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine.watchdog import Watchdog
from words import dump

PROGRESS_SECONDS = 0.5


class Report(Protocol):
    """The seam between a run and whoever watches it."""

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        """`done` of `total` units of the named phase are finished."""

    def metric(self, step: int, **values: float) -> None:
        """Values measured at an optimiser step; told again after a resume, so keyed by (name, step)."""

    def log(self, level: str, message: str) -> None:
        """One line for a person; level is debug, info, warning or error."""

    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None:
        """A complete checkpoint lies at `path`."""

    def part(self, path: str, first: int, rows: int) -> None:
        """Rows first .. first+rows-1 of the input are predicted and lie at `path`."""

    def preflight(self, found: Mapping[str, Any]) -> None:
        """What the run will be like, told before it begins (engine.preflight)."""

    def seen(self, found: Mapping[str, Any]) -> None:
        """The first rows as the model reads them (engine.seen)."""

    def result(self, **values: Any) -> None:
        """The run is finished; `values` is plain JSON."""

    def should_stop(self) -> bool:
        """Whether the run was asked to save and leave."""


class Silent:
    """Tells nobody and never stops."""

    def progress(self, done: int, total: int, unit: str, phase: str) -> None: ...
    def metric(self, step: int, **values: float) -> None: ...
    def log(self, level: str, message: str) -> None: ...
    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None: ...
    def part(self, path: str, first: int, rows: int) -> None: ...
    def preflight(self, found: Mapping[str, Any]) -> None: ...
    def seen(self, found: Mapping[str, Any]) -> None: ...
    def result(self, **values: Any) -> None: ...
    def should_stop(self) -> bool:
        return False


class JsonLines:
    """Writes each event as one JSON line to a file descriptor; a reader that is gone stops the run."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.watchdog: Watchdog | None = None
        self.stop_requested = False
        self._told_at = 0.0

    def progress(self, done: int, total: int, unit: str, phase: str) -> None:
        if self.watchdog is not None:
            (self.watchdog.step if unit == "steps" and done < total else self.watchdog.rest)()
        now = time.monotonic()
        if done < total and now - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = now
        self.event("progress", done=done, total=total, unit=unit, phase=phase)

    def metric(self, step: int, **values: float) -> None:
        self.event("metric", step=step, **values)

    def log(self, level: str, message: str) -> None:
        self.event("log", level=level, message=message)

    def checkpoint(self, path: str, step: int, metrics: Mapping[str, float], *, is_best: bool) -> None:
        self.event("checkpoint", path=path, step=step, metrics=dict(metrics), is_best=is_best)

    def part(self, path: str, first: int, rows: int) -> None:
        self.event("part", path=path, first=first, rows=rows)

    def preflight(self, found: Mapping[str, Any]) -> None:
        self.event("preflight", **found)

    def seen(self, found: Mapping[str, Any]) -> None:
        self.event("seen", **found)

    def result(self, **values: Any) -> None:
        self.event("result", **values)

    def failed(
        self, code: str, message: str, hint: str, rows: Sequence[int] = (), problems: Sequence[Any] = ()
    ) -> None:
        """The run ended with an expected failure."""
        self.event("failed", code=code, message=message, hint=hint, rows=list(rows), problems=list(problems))

    def should_stop(self) -> bool:
        return self.stop_requested

    def event(self, type: str, **values: Any) -> None:
        """Write one line; raises BrokenPipeError when nobody reads any more."""
        line = json.dumps(dump({"type": type, **values}), ensure_ascii=False, allow_nan=False) + "\n"
        remaining = memoryview(line.encode())
        while remaining:
            remaining = remaining[os.write(self.fd, remaining) :]

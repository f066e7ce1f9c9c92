"""Run several processes as one: shared terminal, log files, restarts, an orderly end."""

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO

from core.embedded import janitor, process

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
LOG_BYTES = 5_000_000
LOGS_KEPT = 3
TICK_SECONDS = 0.2
CALM_SECONDS = 60.0  # a process that lived this long starts its back-off afresh
LONGEST_PAUSE_SECONDS = 30.0
ORPHAN_SECONDS = 3.0


@dataclass(frozen=True)
class Role:
    """One process to keep running."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # on top of the supervisor's own


class Janitor:
    """The helper process that ends everything should we be killed."""

    def __init__(self) -> None:
        self._helper = subprocess.Popen(
            [sys.executable, "-I", "-S", janitor.__file__],
            stdin=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,
        )

    def started(self, pid: int, number: signal.Signals, seconds: float) -> None:
        """Watch over a process group."""
        self._write(f"+{pid} {int(number)} {seconds}\n")

    def ended(self, pid: int) -> None:
        """Forget it."""
        self._write(f"-{pid}\n")

    def close(self) -> None:
        """Let the janitor go; it ends what is still listed."""
        if self._helper.stdin:
            self._helper.stdin.close()
        self._helper.wait(30)

    def _write(self, line: str) -> None:
        if self._helper.stdin:
            with contextlib.suppress(BrokenPipeError):  # somebody killed it; the kernel's signal remains
                self._helper.stdin.write(line)
                self._helper.stdin.flush()


class RoleLog(RotatingFileHandler):
    """A role's log file; a line it cannot take (the disk is full) still stands on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing: a traceback for each line would hide what the line says."""


class _Child:
    """A role, its process while there is one, and what it wrote since the last line end."""

    def __init__(self, role: Role, logs: Path) -> None:
        self.role = role
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe: int | None = None
        self.rest = b""
        self.started_at = 0.0
        self.start_after = 0.0
        self.failures = 0
        self.log = logging.Logger(role.name)
        self.log.addHandler(RoleLog(logs / f"{role.name}.log", maxBytes=LOG_BYTES, backupCount=LOGS_KEPT))


class Supervisor:
    """Keeps roles running until told to stop.

    Single-threaded on purpose: children die with the thread that started them. SIGINT, SIGTERM and SIGHUP stop
    all leaders with SIGTERM (a pool's own children are left to their leader) and wait `stop_seconds`; a second
    signal kills.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        logs: Path,
        out: TextIO = sys.stdout,
        stop_seconds: float = 45.0,
        tick: Callable[["Supervisor"], None] = lambda _supervisor: None,
        warden: Janitor | None = None,
    ) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._children = [_Child(role, logs) for role in roles]
        self._out: TextIO | None = out
        self._coloured = out.isatty() and "NO_COLOR" not in os.environ
        self._width = max((len(role.name) for role in roles), default=0)
        self._stop_seconds = stop_seconds
        self._tick = tick
        self._janitor = warden or Janitor()
        self._own_janitor = warden is None
        self._selector = selectors.DefaultSelector()
        self._asked = 0
        self._exit_code = 0

    def run(self) -> int:
        """Start everything, keep it running, end it; returns the exit code."""
        watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in watched}
        try:
            while not self._asked:
                self._start_due()
                self._tick(self)
                self._pump(TICK_SECONDS)
                self._reap()
            self._end()
        finally:
            self._kill()
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._own_janitor:
                self._janitor.close()
        return self._exit_code

    def stop(self, exit_code: int = 0) -> None:
        """Stop as if asked by Ctrl-C."""
        self._asked = max(self._asked, 1)
        self._exit_code = exit_code

    def failures(self, name: str) -> int:
        """How often in a row the role has ended soon after its start."""
        return next(child.failures for child in self._children if child.role.name == name)

    def say(self, line: str) -> None:
        """A line of our own between those of the children."""
        self._print(f"{line}\n")

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._asked += 1

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and now >= child.start_after:
                self._start(child)

    def _start(self, child: _Child) -> None:
        reader, writer = os.pipe()
        try:
            child.process = process.start(
                child.role.argv,
                output=writer,
                environment={**os.environ, "PYTHONUNBUFFERED": "1", **child.role.environment},
                folder=Path.cwd(),
            )
        except OSError as error:
            os.close(reader)
            self._line(child, f"does not start: {error}".encode())
            self._failed(child)
            return
        finally:
            os.close(writer)
        os.set_blocking(reader, False)
        child.pipe, child.started_at = reader, time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, child)
        self._janitor.started(child.process.pid, signal.SIGTERM, ORPHAN_SECONDS)

    def _pump(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _events in self._selector.select(seconds):
            self._read(key.data)

    def _read(self, child: _Child) -> bool:
        """One read; False when there is nothing more for now."""
        if child.pipe is None:
            return False
        try:
            part = os.read(child.pipe, 65536)
        except BlockingIOError:
            return False
        if not part:
            self._close_pipe(child)
            return False
        *lines, child.rest = (child.rest + part).split(b"\n")
        for line in lines:
            self._line(child, line)
        if len(child.rest) > 65536:
            self._line(child, child.rest)
            child.rest = b""
        return True

    def _close_pipe(self, child: _Child) -> None:
        if child.pipe is not None:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = None
        if child.rest:
            self._line(child, child.rest)
            child.rest = b""

    def _reap(self) -> None:
        for child in self._children:
            if child.process is None or (code := child.process.poll()) is None:
                continue
            self._forget(child)
            if not self._asked:
                self._line(child, f"ended with {_spoken(code)}".encode())
                self._failed(child)

    def _forget(self, child: _Child) -> None:
        if child.process is None:
            return
        while self._read(child):
            pass
        self._close_pipe(child)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)  # what a leader left behind
        self._janitor.ended(child.process.pid)
        child.process = None

    def _failed(self, child: _Child) -> None:
        lived = time.monotonic() - child.started_at
        child.failures = 1 if lived > CALM_SECONDS else child.failures + 1
        pause = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** (child.failures - 1))
        child.start_after = time.monotonic() + pause
        self._line(child, f"starts again in {pause:g} s".encode())

    def _end(self) -> None:
        """SIGTERM to every leader, then wait; a second signal or the end of patience leaves the rest to _kill."""
        asked = self._asked
        self.say("Stopping. Press Ctrl-C again to stop at once.")
        for child in self._children:
            if child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        while any(child.process for child in self._children):
            if self._asked > asked or time.monotonic() > deadline:
                late = [child.role.name for child in self._children if child.process]
                self.say(f"Killing {', '.join(late)}.")
                return
            self._pump(TICK_SECONDS)
            self._reap()

    def _kill(self) -> None:
        for child in self._children:
            if child.process is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
                self._forget(child)
            self._close_pipe(child)
            for handler in child.log.handlers:
                handler.close()

    def _line(self, child: _Child, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        child.log.info(text)
        name = child.role.name.ljust(self._width)
        if self._coloured:
            name = f"\x1b[{COLOURS[self._children.index(child) % len(COLOURS)]}m{name}\x1b[0m"
        self._print(f"{name} | {text}\n")

    def _print(self, text: str) -> None:
        if self._out is None:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):  # the terminal is gone; the log files go on
            self._out = None


def _spoken(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

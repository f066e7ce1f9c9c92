"""Start and stop one server process: own session, own user, dies with its parent."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from core.embedded.places import ServiceUser

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A preexec_fn: the kernel sends `number` when the parent's starting thread ends (Linux only).

    Start children from the main thread. Elsewhere than on Linux the janitor does this work alone.
    """
    parent = os.getpid()

    def arrange() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # it died in between
                os._exit(1)

    return arrange


def start(
    argv: Sequence[str | Path],
    *,
    output: IO[bytes] | int,
    user: ServiceUser | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    folder: Path | str = "/",
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, so that a terminal's Ctrl-C reaches only us."""
    identity: dict[str, object] = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd=folder,
        start_new_session=True,
        preexec_fn=dies_with_parent(last_signal),
        **identity,
    )


def stop(process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal in turn and wait its seconds; ends with SIGKILL. Returns the exit code."""
    for number, seconds in [*signals, (signal.SIGKILL, 10.0)]:
        if process.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    return process.wait()


def command_of(pid: int) -> str:
    """The command line of a running process; empty when there is none."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""
    listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.strip()


def end_orphan(pid: int, mark: str, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop a server that outlived its launcher, if `pid` still is the one whose command names `mark`."""
    for number, seconds in [*signals, (signal.SIGKILL, 10.0)]:
        if mark not in command_of(pid):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and mark in command_of(pid):
            time.sleep(0.05)

"""Clean up after a launcher that was killed: run as a script that reads from a pipe which only the launcher holds.

Each line is "+PID SIGNAL SECONDS" for a process group that started or "-PID" for one that ended. When the pipe ends,
every group still listed gets its signal (to the leader), its seconds to obey, and then SIGKILL.
"""

import contextlib
import os
import signal
import sys
import time


def watch() -> dict[int, tuple[int, float]]:
    """Read until the pipe ends; what is left over is {group: (signal, seconds)}."""
    groups: dict[int, tuple[int, float]] = {}
    for line in sys.stdin:
        words = line[1:].split()
        if line.startswith("+"):
            groups[int(words[0])] = (int(words[1]), float(words[2]))
        else:
            groups.pop(int(words[0]), None)
    return groups


def lives(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def clean_up(groups: dict[int, tuple[int, float]]) -> None:
    """Ask, wait, end."""
    started = time.monotonic()
    for group, (number, _seconds) in groups.items():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(group, number)
    while groups:
        passed = time.monotonic() - started
        for group, (_number, seconds) in list(groups.items()):
            if not lives(group):
                del groups[group]
            elif passed > seconds:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
                del groups[group]
        time.sleep(0.05)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    clean_up(watch())

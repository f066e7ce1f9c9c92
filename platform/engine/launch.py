"""Several processes for one run: started together, watched, and ended together.

The launching process computes nothing. The first of the others reports on its pipe; each of the rest writes only why it
failed. Whoever dies takes all with it, and one sentence says which of them it was.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.rank import MEETING
from engine.report import JsonLines
from engine.specs.machine import SPLITS_STEPS
from words import say

GRACE_SECONDS = 5.0  # for the others to say why, and to leave, when one has ended
STOPPED, FAILED = 75, 2
PARENT = "ENGINE_PARENT"


def processes(order: Mapping[str, Any], spec: Any) -> int:
    """How many processes the order's run wants here: as many as its spec says, else one for each GPU."""
    if order["task"] != "train" or order["recipe"] not in SPLITS_STEPS or "WORLD_SIZE" in os.environ:
        return 1
    if spec.processes:
        return int(spec.processes)
    import torch  # here, so that a wrong spec is refused before

    return max(1, torch.cuda.device_count())


@dataclass
class Member:
    """One started process, and where it says why it failed."""

    process: subprocess.Popen[bytes]
    said: IO[bytes] | None = None  # the first one says it itself

    @property
    def failure(self) -> bytes:
        """What it wrote, b"" if nothing."""
        if self.said is None:
            return b""
        self.said.seek(0)
        return self.said.read()


def launch(order_file: Path, report: JsonLines, count: int, threads: int) -> int:
    """Run the order in `count` processes that share `threads`; returns the exit code of the run."""
    if count * max(1, threads // count) > (os.cpu_count() or 1):
        report.log("warning", say("{count} processes share {cores} cores.", count=count, cores=os.cpu_count() or 1))
    with tempfile.TemporaryDirectory(prefix="engine-") as folder, started(order_file, report.fd, count, folder) as team:

        def stop(*_: Any) -> None:
            report.stop_requested = True
            _tell(team, signal.SIGTERM)

        signal.signal(signal.SIGTERM, stop)
        if report.stop_requested:  # while they were started
            stop()
        return _outcome(team, report)


@contextlib.contextmanager
def started(order_file: Path, report_fd: int, count: int, folder: str) -> Iterator[list[Member]]:
    """The processes by number; none of them is left when the block ends."""
    team: list[Member] = []
    try:
        for number in range(count):
            said = tempfile.TemporaryFile() if number else None  # noqa: SIM115 - read when the process has ended
            fd = said.fileno() if said is not None else report_fd
            environment = {
                **os.environ,
                "RANK": str(number),
                "LOCAL_RANK": str(number),
                "WORLD_SIZE": str(count),
                MEETING: str(Path(folder) / "meeting"),
                PARENT: str(os.getpid()),
                "GLOO_SOCKET_IFNAME": _loopback(),
            }
            command = [sys.executable, "-m", "engine.run", str(order_file), "--report-fd", str(fd)]
            team.append(Member(subprocess.Popen(command, env=environment, pass_fds=[fd]), said))
        yield team
    finally:
        _tell(team, signal.SIGKILL)
        for member in team:
            member.process.wait()
            if member.said is not None:
                member.said.close()


def _loopback() -> str:
    """All processes are on this machine: nothing listens on the network."""
    return "lo" if sys.platform.startswith("linux") else "lo0"


def _tell(team: list[Member], number: int) -> None:
    for member in team:
        if member.process.poll() is None:
            member.process.send_signal(number)


def _outcome(team: list[Member], report: JsonLines) -> int:
    """Wait for all, or for the first that ends badly: all end with it."""
    while any(member.process.poll() is None for member in team):
        if _fallen(team):
            break
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    return _failed(team, _fallen(team)[0], report) if _fallen(team) else 0


def _fallen(team: list[Member]) -> list[int]:
    return [number for number, member in enumerate(team) if member.process.poll()]


def _failed(team: list[Member], noticed: int, report: JsonLines) -> int:
    """The exit code after a process ended badly, the reason said unless the first process has said it."""
    end = time.monotonic() + GRACE_SECONDS
    for member in team:
        with contextlib.suppress(subprocess.TimeoutExpired):
            member.process.wait(max(0.0, end - time.monotonic()))
    codes = [member.process.poll() for member in team]
    if codes[0] in (FAILED, STOPPED):
        return codes[0]
    if report.stop_requested and {*codes} <= {None, 0, STOPPED, -signal.SIGTERM}:
        return STOPPED
    # Who dies makes the others fail: blame a signal first, then who has something to say, then whom we noticed.
    fallen = [number for number, code in enumerate(codes) if code]
    number = min(fallen, key=lambda at: ((codes[at] or 0) > 0, not team[at].failure, at != noticed))
    code = codes[number] or 0
    if team[number].failure:
        os.write(report.fd, team[number].failure)
        return FAILED
    if number == 0 and code > 0:
        return code
    said = {"number": number + 1, "count": len(team)}
    if code == -signal.SIGKILL:
        report.failed(
            "out_of_memory",
            say("Process {number} of {count} was killed, as systems do when memory runs out.", **said),
            say("Lower batch_size or max_length_tokens; raise gradient_accumulation to keep the same steps."),
        )
    else:
        report.failed(
            "process_died",
            say("Process {number} of {count} died (exit code {code}).", **said, code=code),
            say("The run's log holds its last words."),
        )
    return FAILED

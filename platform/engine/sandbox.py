"""Programs that a model wrote, run apart from everything, and the share of them that pass their tests.

What a run is kept from, where Linux has it (`Outcome.layers` says what this machine had):

- limits: processor time, memory, size of files, open files, core dumps; at the time-out its process group is killed.
- calls (seccomp, x86-64 and arm64): processes, other programs, sockets, signals to others, mounts, looking into others.
- files (Landlock): everything but its own temporary folder, the standard library and shared libraries, which it may read.
- namespaces: a user of its own, so that our memory and environment are closed to it, and a network without devices.
- audit: the same rules once more inside the interpreter. This layer is everywhere, and alone where the others are missing.

It starts with an empty environment (HOME and TMPDIR are its folder), without site-packages, and nobody reads what it
prints. It is made for mistakes and for the mischief that a language model may write. It is no wall against an attacker
who has a hole in the kernel; without "calls" and "files" it is none against one who knows the interpreter's inside
either; and a program that searches the frames of its own interpreter can forge its result.
"""

import json
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import metrics, sandbox_guard
from engine.failures import Stopped
from engine.report import Report
from words import say

ENDINGS = ("passed", "wrong", "error", "refused", "left", "time", "memory", "killed")
"""passed; an assertion failed; anything else was raised; something not allowed was tried; it ended before its tests did;
too slow; out of memory; ended by a signal, for example when it broke the interpreter."""

SECONDS = 5.0
MEMORY_BYTES = 256_000_000
LEAST_MEMORY_BYTES = 64_000_000  # the interpreter alone maps about half of this
STARTING_SECONDS = 30.0
WAITING_FACTOR = 3  # a program that sleeps, or a busy machine, gets this many times its processor time by the clock
REPORT_BYTES = 16_000
ALONE = ("-I", "-S", "-B", "-X", "utf8")  # no environment, no site-packages, no cache beside the sources
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+#.-]*)[^\n`]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.M | re.S)
_PYTHON = ("python", "python3", "py")


class SandboxFailed(RuntimeError):
    """The program was not run because the sandbox itself did not start; says nothing about the program."""


@dataclass(frozen=True)
class Outcome:
    """How a program ended: `reason` is one of ENDINGS, `detail` what it raised in short."""

    passed: bool
    reason: str
    detail: str = ""
    layers: tuple[str, ...] = ()


def run_code(program: str, *, seconds: float = SECONDS, memory_bytes: int = MEMORY_BYTES) -> Outcome:
    """Run a Python program to its end; it passes when it gets there without raising.

    `seconds` of processor time, rounded up, and WAITING_FACTOR times as many by the clock; `memory_bytes` of address
    space. Raises ValueError for less than LEAST_MEMORY_BYTES and SandboxFailed when nothing could be run.
    """
    if memory_bytes < LEAST_MEMORY_BYTES or seconds <= 0:
        raise ValueError("A program needs some seconds and 64 MB at least.")
    with tempfile.TemporaryDirectory(prefix="program-", ignore_cleanup_errors=True) as folder:
        # What a model writes may hold halves of surrogate pairs; they become a syntax error of the program.
        (Path(folder) / "program.py").write_bytes(program.encode("utf-8", "surrogatepass"))
        return _run(folder, seconds, memory_bytes)


def pass_at_1(
    answers: Sequence[str],
    tests: Sequence[str],
    *,
    report: Report,
    seconds: float = SECONDS,
    memory_bytes: int = MEMORY_BYTES,
) -> tuple[dict[str, Any], list[Outcome]]:
    """The share of answers whose code passes the row's tests, with Wilson's 95 % interval, and each row's outcome.

    One answer a row, so pass@1 is a plain share (Chen et al. 2021, k = n = 1). Raises Stopped when asked, ValueError
    without rows.
    """
    if not answers:
        raise ValueError("There is no answer to run.")
    outcomes: list[Outcome] = []
    for at, (answer, test) in enumerate(zip(answers, tests, strict=True)):
        if report.should_stop():
            raise Stopped
        report.progress(at, len(answers), "programs", say("running programs"))
        outcomes.append(run_code(f"{code_of(answer)}\n\n{test}\n", seconds=seconds, memory_bytes=memory_bytes))
    report.progress(len(answers), len(answers), "programs", say("running programs"))
    passed = sum(outcome.passed for outcome in outcomes)
    low, high = metrics.wilson(passed, len(outcomes))
    reasons = Counter(outcome.reason for outcome in outcomes)
    return {
        "headline": {"pass_at_1": {"value": passed / len(outcomes), "low": low, "high": high}},
        "reasons": {name: reasons[name] for name in ENDINGS if reasons[name]},
        "layers": list(outcomes[0].layers),
        "seconds": seconds,
        "memory_bytes": memory_bytes,
    }, outcomes


def code_of(answer: str) -> str:
    """The last fenced block of an answer, of those said to be Python if any is; without a fence the whole text."""
    blocks = [(match[2].lower(), match[3]) for match in _FENCE.finditer(answer)]
    python = [block for block in blocks if block[0] in _PYTHON]
    return (python or blocks or [("", answer)])[-1][1]


def _run(folder: str, seconds: float, memory_bytes: int) -> Outcome:
    secret = secrets.token_hex(16)
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as told:
        try:
            process = subprocess.Popen(
                [sys.executable, *ALONE, sandbox_guard.__file__, str(writer), secret, str(seconds), str(memory_bytes)],
                cwd=folder,
                env={"HOME": folder, "TMPDIR": folder},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(writer,),
                start_new_session=True,
            )
        finally:
            os.close(writer)
        try:
            lines, in_time = _told(told.fileno(), WAITING_FACTOR * seconds)
        finally:
            _end(process)
    return _outcome(lines, process.returncode, secret, in_time=in_time)


def _told(reader: int, waiting: float) -> tuple[list[bytes], bool]:
    """What the process reported, and whether it closed its report (as its end does) in time.

    The clock starts anew with the first line, which the guard writes when the program is about to begin.
    """
    found, until = b"", time.monotonic() + STARTING_SECONDS
    while len(found) < REPORT_BYTES:
        if not select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
            return found.splitlines(), False
        part = os.read(reader, REPORT_BYTES)
        if not part:
            break
        if not found:
            until = time.monotonic() + waiting
        found += part
    return found.splitlines(), True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group while its leader is not yet buried, so that its number cannot be another's."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except PermissionError:  # what macOS says of a group whose only member has ended
        process.kill()
    process.wait()


def _outcome(lines: Sequence[bytes], status: int, secret: str, *, in_time: bool) -> Outcome:
    first, last = (_read(lines[at]) if lines else {} for at in (0, -1))
    if "layers" not in first:
        raise SandboxFailed(f"The sandbox did not start (status {status}).")
    layers = tuple(first["layers"])
    if last.get("secret") == secret:
        return Outcome(last["end"] == "passed", last["end"], last["detail"], layers)
    if not in_time or status == -signal.SIGXCPU:
        return Outcome(False, "time", layers=layers)
    return Outcome(False, "killed" if status < 0 else "left", layers=layers)


def _read(line: bytes) -> dict[str, Any]:
    """A line of the report; the program may have written to it, too, so anything else is nothing."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

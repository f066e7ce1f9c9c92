"""The supervisor restarts what dies, stops in order and leaves nothing behind, however it ends itself."""

import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.supervisor import Role, RoleLog, Supervisor

ROOT = Path(__file__).resolve().parents[2]

SUPERVISE = """
import sys
from pathlib import Path
from core.supervisor import Role, Supervisor
roles = [Role(name, [sys.executable, "-c", program]) for name, program in zip(sys.argv[2::2], sys.argv[3::2])]
raise SystemExit(Supervisor(roles, logs=Path(sys.argv[1]), stop_seconds=20).run())
"""
POLITE = (
    "import signal, sys\nsignal.signal(15, lambda *_: sys.exit('goodbye'))\nprint('ready', flush=True)\nsignal.pause()"
)
STUBBORN = "import os, signal\nsignal.signal(15, 1)\nprint('pid', os.getpid(), flush=True)\nwhile True: signal.pause()"
FAMILY = (
    "import os, signal, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.signal(15, 1); signal.pause()'])\n"
    "print('pid', child.pid, flush=True)\n"
    "signal.pause()"
)
ONCE = (
    "import os, pathlib, signal\nmark = pathlib.Path({mark!r})\n"
    "if not mark.exists(): mark.touch(); print('falls', flush=True); os._exit(3)\n"
    "print('stands', flush=True); signal.pause()"
)


class Supervised:
    """A supervisor in a process of its own, with programs as roles."""

    def __init__(self, logs: Path, **programs: str) -> None:
        words = [word for pair in programs.items() for word in pair]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(logs), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "platform")},
            start_new_session=True,
        )
        self.said = ""

    def until(self, word: str) -> str:
        """The line that holds `word`."""
        for line in self.process.stdout or ():
            self.said += line
            if word in line:
                return line
        raise AssertionError(f"{word!r} was never said:\n{self.said}")

    def end(self) -> int:
        """Read to the end."""
        self.said += self.process.stdout.read() if self.process.stdout else ""
        return self.process.wait(30)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def started() -> Iterator[list[Supervised]]:
    """Whatever a test starts and forgets."""
    made: list[Supervised] = []
    yield made
    for each in made:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()
        if each.process.stdout:
            each.process.stdout.close()


def ended(handle: int, seconds: float) -> bool:
    found = bool(select.select([handle], [], [], seconds)[0])
    os.close(handle)
    return found


def watch(line: str) -> int:
    return os.pidfd_open(int(line.split("pid")[1]))


def test_output_is_prefixed_and_kept_in_a_log_for_each_role(logs: Path, started: list[Supervised]) -> None:
    run = Supervised(logs, web=POLITE, worker=POLITE)
    started.append(run)
    run.until("ready")
    run.until("ready")

    run.process.send_signal(signal.SIGINT)

    assert run.end() == 0
    assert "web    | ready" in run.said
    assert "worker | goodbye" in run.said
    assert (logs / "web.log").read_text() == "ready\ngoodbye\n"


def test_a_role_that_dies_is_started_again(logs: Path, started: list[Supervised], tmp_path: Path) -> None:
    run = Supervised(logs, web=ONCE.format(mark=str(tmp_path / "mark")))
    started.append(run)

    run.until("stands")

    assert "ended with exit code 3" in run.said
    assert "starts again in 0.5 s" in run.said


def test_ctrl_c_takes_what_leaders_leave_behind(logs: Path, started: list[Supervised]) -> None:
    run = Supervised(logs, family=FAMILY)
    started.append(run)
    grandchild = watch(run.until("pid"))

    run.process.send_signal(signal.SIGINT)

    assert run.end() == 0
    assert ended(grandchild, 5)


def test_a_second_ctrl_c_ends_the_stubborn_at_once(logs: Path, started: list[Supervised]) -> None:
    run = Supervised(logs, stubborn=STUBBORN)
    started.append(run)
    child = watch(run.until("pid"))

    run.process.send_signal(signal.SIGINT)
    run.until("Stopping")
    run.process.send_signal(signal.SIGINT)

    assert run.end() == 0
    assert "Killing stubborn" in run.said
    assert ended(child, 0)


def test_nobody_survives_a_killed_supervisor(logs: Path, started: list[Supervised]) -> None:
    run = Supervised(logs, stubborn=STUBBORN, family=FAMILY)
    started.append(run)
    handles = [watch(run.until("pid")), watch(run.until("pid"))]

    run.process.kill()

    assert [ended(handle, 15) for handle in handles] == [True, True]


def test_a_program_that_does_not_exist_is_reported_not_raised(
    logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w") as out:
        missing = Supervisor(
            [Role("web", ["/no/such/program"])],
            logs=logs,
            out=out,
            tick=lambda supervisor: supervisor.stop(1) if supervisor.failures("web") else None,
        )
        assert missing.run() == 1

    assert "does not start" in (tmp_path / "out").read_text()


def test_a_log_on_a_full_disk_spills_no_tracebacks(capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.Logger("web")
    log.addHandler(RoleLog("/dev/full", maxBytes=1_000))

    log.info("a line that the terminal has shown already")

    assert capfd.readouterr() == ("", "")

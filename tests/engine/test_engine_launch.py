"""Starting the processes of a run: one voice, one end, whoever stops, dies or is killed; and the launchers of others."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine import launch
from engine.launch import Member
from engine.report import JsonLines
from words import revive

PLATFORM = Path(__file__).parents[2] / "platform"
SMALL = {
    "layers": 1,
    "width": 16,
    "heads": 2,
    "context_tokens": 32,
    "vocabulary_size": 300,
    "batch_size": 4,
    "sample_count": 0,
}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PLATFORM)}


@pytest.fixture
def training(corpus: Path, tmp_path: Path, order: Any) -> Callable[..., Path]:
    """An order file to train a tiny GPT in two processes: of all recipes it starts fastest."""

    def make(**spec: Any) -> Path:
        data = {"path": str(corpus), "kind": "corpus", "hash": "d1"}
        settings = {**SMALL, "processes": 2, **spec}
        written: Path = order(task="train", recipe="pretrain", spec=settings, data=data, out=str(tmp_path / "out"))
        return written

    return make


def started(path: Path) -> tuple["subprocess.Popen[str]", Iterator[dict[str, Any]]]:
    """The launching process, and its events."""
    command = [sys.executable, "-m", "engine.run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    return process, (json.loads(line, object_hook=revive) for line in iter(process.stdout.readline, ""))


def in_step(events: Iterator[dict[str, Any]]) -> None:
    next(event for event in events if event["type"] == "progress" and event["phase"] == "training")


def test_a_run_of_two_processes_asked_to_stop_saves_and_none_is_left(training: Any) -> None:
    process, events = started(training(epochs=200))
    in_step(events)
    others = psutil.Process(process.pid).children()

    process.send_signal(signal.SIGTERM)

    rest = [event for event in events if event["type"] in ("checkpoint", "stopped", "failed")]
    process.communicate()
    assert process.returncode == 75 and len(others) == 2
    assert [event["type"] for event in rest] == ["checkpoint", "stopped"]
    assert (Path(rest[0]["path"]) / "random-1.safetensors").is_file()
    assert psutil.wait_procs(others, timeout=30)[1] == []


def test_a_killed_process_takes_all_with_it_and_one_sentence_says_which(training: Any) -> None:
    process, events = started(training(epochs=200))
    in_step(events)
    others = sorted(psutil.Process(process.pid).children(), key=lambda one: one.pid)

    others[1].kill()

    failure = next(event for event in events if event["type"] == "failed")
    process.communicate()
    assert process.returncode == 2 and failure["code"] == "out_of_memory"
    assert str(failure["message"]) == "Process 2 of 2 was killed, as systems do when memory runs out."
    assert psutil.wait_procs(others, timeout=30)[1] == []


def test_no_process_outlives_the_one_that_started_it(training: Any) -> None:
    process, events = started(training(epochs=200))
    next(events)
    others = psutil.Process(process.pid).children()

    process.kill()

    process.communicate()
    assert len(others) == 2 and psutil.wait_procs(others, timeout=30)[1] == []


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
# Its --cpu starts one process only, unless there is MPI; this is what it does where there are GPUs.
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1")


@pytest.mark.parametrize("launcher", [TORCHRUN, (*ACCELERATE, "--main_process_port")])
def test_the_launchers_of_others_start_the_same_run(training: Any, tmp_path: Path, launcher: tuple[str, ...]) -> None:
    path = training(epochs=1, processes=0, checkpoint_every_steps=6)
    if launcher[-1] == "--main_process_port":
        with socket.create_server(("127.0.0.1", 0)) as free:
            launcher = (*launcher, str(free.getsockname()[1]))

    found = subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "engine.run", str(path)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
    )

    assert found.returncode == 0, found.stderr
    events = [json.loads(line, object_hook=revive) for line in found.stdout.splitlines() if line.startswith("{")]
    assert [event["type"] for event in events].count("result") == 1
    assert events[-1]["type"] == "result" and events[-1]["steps"] == 26
    saved = list((tmp_path / "out" / "checkpoints").glob("step-*"))
    assert saved and all((one / "random-1.safetensors").is_file() for one in saved)  # there were two


@pytest.fixture
def ended() -> Iterator[Callable[..., tuple[int, list[dict[str, Any]]]]]:
    """(exit code, events) of a launch whose processes are these programs; what they print to 2 is why they failed."""
    with tempfile.TemporaryFile() as told:

        def of(*programs: str) -> tuple[int, list[dict[str, Any]]]:
            team = []
            for number, program in enumerate(programs):
                said = tempfile.TemporaryFile() if number else None  # noqa: SIM115 - the member's own
                process = subprocess.Popen([sys.executable, "-S", "-c", program], stderr=said)
                team.append(Member(process, said))
            code = launch._outcome(team, JsonLines(told.fileno()))
            for member in team:
                member.process.kill()
                member.process.wait()
                if member.said is not None:
                    member.said.close()
            told.seek(0)
            return code, [json.loads(line, object_hook=revive) for line in told.read().splitlines()]

        yield of


WAITS = "import time; time.sleep(600)"


def test_why_a_process_failed_is_said_once(ended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)
    tells = 'import sys; sys.stderr.write(\'{"type": "failed", "code": "disk"}\\n\'); sys.exit(2)'

    assert ended(WAITS, tells) == (2, [{"type": "failed", "code": "disk"}])
    assert ended("import sys; sys.exit(2)", tells)[1][1:] == []  # the first one has said it itself


@pytest.mark.parametrize(
    ("programs", "code", "failure"),
    [
        (("pass", "pass"), 0, None),
        ((WAITS, "import sys; sys.exit(3)"), 2, "process_died"),
        ((WAITS, "import os; os.abort()"), 2, "process_died"),
        (("import os; os.kill(os.getpid(), 9)", WAITS), 2, "out_of_memory"),
        (("import sys; sys.exit(75)", WAITS), 75, None),
        (("import sys; sys.exit(1)", WAITS), 1, None),
    ],
)
def test_the_worst_end_is_the_end_of_all(
    ended: Any, monkeypatch: pytest.MonkeyPatch, programs: tuple[str, str], code: int, failure: str | None
) -> None:
    monkeypatch.setattr(launch, "GRACE_SECONDS", 0.5)

    found, events = ended(*programs)

    assert found == code
    assert [event["code"] for event in events] == ([failure] if failure else [])

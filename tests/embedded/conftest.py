"""Homes to break: one is made for the whole run, every test gets its own copy."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.embedded.places import environment
from core.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


def open_folder() -> Path:
    """A fresh folder, in memory where there is plenty: databases that are made to be broken need no slow disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2_000_000_000
    made = Path(tempfile.mkdtemp(prefix="lx-", dir=memory if roomy else None))
    made.chmod(0o711)
    return made


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that the servers' user may walk through."""
    made = open_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def first_home() -> Iterator[Path]:
    """A stopped home whose database was made."""
    made = open_folder()
    home = made / "first"
    with Stack(home, durable=False):
        pass
    yield home
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def home(first_home: Path, folder: Path) -> Path:
    """A copy of the first home, to do with as you like."""
    subprocess.run(["cp", "-a", str(first_home), str(folder / "home")], check=True)
    return folder / "home"


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a person who has configured nothing."""
    ours = ("LINGXI_", "DATABASE_URL", "REDIS_URL", "DJANGO_", "COV_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'platform'}", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def script(bare_environment: dict[str, str]) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a Python program in a process of its own; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=bare_environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def addresses() -> Callable[[Path], dict[str, str]]:
    """The environment of a home."""
    return environment


@pytest.fixture
def gone() -> Callable[[list[int], float], bool]:
    """Whether all processes end within some seconds; waits for the event, not by the clock."""

    def wait(pids: list[int], seconds: float) -> bool:
        handles = []
        for pid in pids:
            try:
                handles.append(os.pidfd_open(pid))
            except ProcessLookupError:
                continue
        ended = all(select.select([handle], [], [], seconds)[0] for handle in handles)
        for handle in handles:
            os.close(handle)
        return ended

    return wait


@pytest.fixture
def kill() -> Callable[[int], None]:
    """kill -9."""
    return lambda pid: os.kill(pid, signal.SIGKILL)

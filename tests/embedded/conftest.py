"""Homes to break: one is made for the whole run, every test gets its own copy."""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.embedded.places import environment
from core.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(open_folder: Callable[[], Path]) -> Iterator[Path]:
    """An empty folder that the servers' user may walk through."""
    made = open_folder()
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def first_home(open_folder: Callable[[], Path]) -> Iterator[Path]:
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

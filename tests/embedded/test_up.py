"""`./lingxi up` for real: starts, is refused twice, dies, recovers and ends without leaving a process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from core.embedded.places import environment

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """All processes below `pid`."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listing.splitlines())}
    below, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in below} - below
        below |= more
        grown = bool(more)
    return sorted(below - {pid})


class Up:
    """A running `up` and what it has said."""

    def __init__(self, home: Path, port: int, surroundings: dict[str, str], *words: str) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), "--home", str(home), "--empty", *words],
            cwd=ROOT,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, word: str) -> str:
        """Read up to the line that holds `word`, or to the end."""
        for line in self.process.stdout or ():
            self.said += line
            if word in line:
                break
        return self.said

    def end(self, number: signal.Signals) -> int:
        """Send a signal and read to the end."""
        self.process.send_signal(number)
        return self.close()

    def close(self) -> int:
        """Read to the end."""
        self.until("\0never")
        if self.process.stdout:
            self.process.stdout.close()
        return self.process.wait(60)


@pytest.fixture
def up(bare_environment: dict[str, str]) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(home: Path, port: int, *words: str) -> Up:
        started.append(Up(home, port, bare_environment, *words))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGINT)


def owners(home: Path) -> int:
    with psycopg.connect(environment(home)["DATABASE_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM accounts_user").fetchone()
    return int(row[0]) if row else 0


def test_up_starts_everything_survives_kill_minus_nine_and_leaves_nothing_behind(
    home: Path, up: Callable[..., Up], gone: Callable[[list[int], float], bool]
) -> None:
    port = free_port()

    first = up(home, port)
    said = first.until("Lingxi is ready")
    assert f"http://127.0.0.1:{port}" in said
    assert re.search(r"password  \S{12,}", said)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as page:
        assert page.status == 200
    assert not [pid for pid in children_of(first.process.pid) if loaded_torch(pid)]

    second = up(home, free_port())
    assert second.close() == 1
    assert "already runs in" in second.said
    third = up(home.with_name("another"), port)
    assert third.close() == 1
    assert f"Port {port} is taken" in third.said
    assert "Traceback" not in second.said + third.said

    everything = children_of(first.process.pid)
    first.process.kill()
    first.close()
    assert len(everything) >= 9
    assert gone(everything, 20)

    again = up(home, port, "--json")
    told = json.loads(again.until('"url"').splitlines()[-1])
    assert told == {"url": f"http://127.0.0.1:{port}", "home": str(home), "pid": again.process.pid, "account": None}
    assert "password" not in again.said
    assert owners(home) == 1
    everything = children_of(again.process.pid)
    assert again.end(signal.SIGINT) == 0
    assert gone(everything, 0)


def loaded_torch(pid: int) -> bool:
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def test_an_unknown_address_is_one_sentence(home: Path, bare_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--host", "203.0.113.7", "--home", str(home)],
        cwd=ROOT,
        env=bare_environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Cannot listen on 203.0.113.7" in done.stderr
    assert os.listdir(home)

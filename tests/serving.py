"""A real server for tests: uvicorn serves config.asgi on the test database, in a process of its own."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import connection

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[1]


def environment(**more: str) -> dict[str, str]:
    """What a process of ours needs to stand on the test database."""
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": _database_url(),
        "LINGXI_HOME": str(settings.HOME),
        **more,
    }


@contextmanager
def serving(log_file: Path) -> Iterator[str]:
    """The address of the server while the block runs; what tests commit is what it sees."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = log_file.open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "warning"],
        cwd=ROOT,
        env=environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        if not _answers(f"{address}/healthz", process):
            raise AssertionError(f"the server did not start: {log_file.read_text()}")
        yield address
    finally:
        process.terminate()
        process.wait(10)
        log.close()


def _database_url() -> str:
    found = connection.settings_dict
    host, port = found["HOST"], found["PORT"]
    who = found["USER"] + (f":{found['PASSWORD']}" if found["PASSWORD"] else "")
    if host.startswith("/"):
        return f"postgresql://{who}@/{found['NAME']}?host={host}" + (f"&port={port}" if port else "")
    return f"postgresql://{who}@{host}:{port}/{found['NAME']}"


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    return False


def in_a_loop_of_its_own(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work; a browser that is open in this process has a loop running in the main thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

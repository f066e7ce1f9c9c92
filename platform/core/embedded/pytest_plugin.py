"""A pytest plugin: with no DATABASE_URL, a throw-away stack serves this run and all its xdist workers."""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.embedded.stack import Stack

_running: list[tuple[Stack, Path]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start before pytest-django reads the settings; xdist workers inherit DATABASE_URL and start nothing."""
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ.update(of_worker(int(worker.removeprefix("gw")), os.environ))
    if "DATABASE_URL" in os.environ or {"-h", "--help", "--version", "--collect-only"} & set(
        early_config.invocation_params.args
    ):
        return
    folder = Path(tempfile.mkdtemp(prefix="lingxi-run-"))
    folder.chmod(0o711)  # when root runs the tests, the servers' user must walk through
    home = folder / "home"
    stack = Stack(home, durable=False)
    _running.append((stack, folder))
    os.environ.update(stack.start())


def pytest_unconfigure() -> None:
    """Stop the servers and remove what they kept."""
    while _running:
        stack, folder = _running.pop()
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def of_worker(number: int, shared: Mapping[str, str]) -> dict[str, str]:
    """A numbered xdist worker's own part of what all share: a folder, and a database of the Redis server.

    pytest-django gives each worker its own PostgreSQL database; row ids are equal there, so files and keys would meet.
    """
    own = {
        name: re.sub(r"((?:db|virtual_host)=|:\d+/)\d+$", rf"\g<1>{number}", shared[name])
        for name in ("REDIS_URL", "LINGXI_BROKER_URL")
        if name in shared
    }
    if "LINGXI_HOME" in shared:
        home = Path(shared["LINGXI_HOME"]) / f"worker-{number}"
        home.mkdir(mode=0o700, exist_ok=True)
        own["LINGXI_HOME"] = str(home)
    return own

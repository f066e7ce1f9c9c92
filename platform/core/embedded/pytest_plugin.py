"""A pytest plugin: with no DATABASE_URL, a throw-away stack serves this run and all its xdist workers."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from core.embedded.stack import Stack

_running: list[tuple[Stack, Path]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start before pytest-django reads the settings; xdist workers inherit DATABASE_URL and start nothing."""
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

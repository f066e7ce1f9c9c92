"""An engine process that tests fork from a loaded one does what `python -m engine.run` does."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.warm_engine import Engines
from workers.child import engine_child

CROWDED = {"task": "train", "recipe": "classify", "spec": {"epochs": "many"}, "out": "", "data": {"path": "none"}}


def said(order: dict[str, Any], folder: Path) -> tuple[int | None, Any, str]:
    """Exit code, failure and error output of an order."""
    with engine_child(order, folder, threads=1) as child:
        events = [event for event in child.events() if event is not None]
    assert events[-1] == child.failure
    return child.process.returncode, child.failure, child.log_path.read_text()


def test_it_says_and_returns_what_a_new_interpreter_does(
    warm_engines: Engines, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forked = said(CROWDED, tmp_path / "forked")
    monkeypatch.setattr("workers.child.subprocess", subprocess)

    assert forked == said(CROWDED, tmp_path / "new")
    assert forked[0] == 2


@pytest.mark.parametrize(
    ("words", "given"), [(["-c", "pass"], {}), (["-m", "engine.run", "--help"], {"HF_HOME": "/x"})]
)
def test_what_a_loaded_process_cannot_do_is_done_by_a_new_interpreter(
    warm_engines: Engines, words: list[str], given: dict[str, str]
) -> None:
    process = warm_engines.Popen([sys.executable, *words], env={**os.environ, **given}, stdout=subprocess.DEVNULL)

    assert isinstance(process, subprocess.Popen)
    assert process.wait() == 0


def test_a_signal_ends_it_and_its_code_says_so(warm_engines: Engines, tmp_path: Path) -> None:
    fifo = tmp_path / "order.json"
    os.mkfifo(fifo)  # it waits for its order until somebody writes one
    reader, writer = os.pipe()
    with (tmp_path / "log").open("ab") as log:
        process = warm_engines.Popen(
            [sys.executable, "-m", "engine.run", str(fifo), "--report-fd", str(writer)],
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            env=dict(os.environ),
            cwd=tmp_path,
        )
    os.close(writer)
    assert process.poll() is None
    assert os.getsid(process.pid) == process.pid
    assert Path(f"/proc/{process.pid}/cwd").resolve() == tmp_path

    process.send_signal(signal.SIGKILL)

    assert process.wait() == process.poll() == -signal.SIGKILL
    assert os.read(reader, 1) == b""
    os.close(reader)

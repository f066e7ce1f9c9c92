"""The child process: its events, its exit codes, and that it survives SIGKILL and does not survive its parent."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from engine import tasks
from engine.run import main
from words import revive

PLATFORM = Path(__file__).parents[2] / "platform"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PLATFORM)}


def child(path: Path, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "engine.run", str(path)], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, **options
    )


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    return (json.loads(line, object_hook=revive) for line in lines)


def finish(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """All events of a child that ends by itself."""
    with process:
        assert process.stdout is not None
        return list(events(iter(process.stdout)))


@pytest.fixture
def training(encoder: Path, texts: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """An order to train the tiny classifier, with some values changed."""

    def make(out: str = "out", **spec: Any) -> dict[str, Any]:
        settings = {"base_model": f"folder:{encoder}", "epochs": 3, "batch_size": 8, "checkpoint_every_steps": 0}
        return {
            "task": "train",
            "recipe": "classify",
            "spec": {**settings, "head_start": "random", "learning_rate": 0.01, "average_decay": 0.9, **spec},
            "data": {"path": str(texts), "kind": "classification", "hash": "d1"},
            "out": str(tmp_path / out),
            "threads": 1,
        }

    return make


def run(path: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and events of a run in this very process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    code = main([str(path)])
    for number, handler in before.items():
        signal.signal(number, handler)
    return code, list(events(iter(capfd.readouterr().out.splitlines())))


def test_a_killed_run_resumes_to_the_same_weights(order: Any, training: Any, tmp_path: Path) -> None:
    wanted = finish(child(order(**training("whole", checkpoint_every_steps=9))))[-1]
    killed = child(order(**training("killed", checkpoint_every_steps=9)))
    assert killed.stdout is not None
    for event in events(iter(killed.stdout)):
        if event["type"] == "checkpoint":
            break
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    found = finish(
        child(
            order(**training("resumed", checkpoint_every_steps=9), resume_from=str(tmp_path / "killed" / "checkpoints"))
        )
    )

    assert killed.returncode == -signal.SIGKILL
    assert any("Resumed at step" in event.get("message", "") for event in found)
    assert found[-1]["type"] == "result"
    assert found[-1]["files"]["model.safetensors"] == wanted["files"]["model.safetensors"]
    assert found[-1]["history"] == wanted["history"]


def test_a_run_asked_to_stop_saves_and_leaves_with_75(order: Any, training: Any) -> None:
    process = child(order(**training(epochs=200)))
    assert process.stdout is not None
    lines = events(iter(process.stdout))
    next(event for event in lines if event["type"] == "progress" and event["phase"] == "training")

    process.send_signal(signal.SIGTERM)

    rest = [event for event in lines if event["type"] in ("checkpoint", "stopped")]
    process.communicate()
    assert process.returncode == 75
    assert [event["type"] for event in rest] == ["checkpoint", "stopped"]
    assert (Path(rest[0]["path"]) / "manifest.json").is_file()


def test_a_run_does_not_outlive_its_parent(order: Any, training: Any) -> None:
    path = order(**training(epochs=200))
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'engine.run', {str(path)!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))

    parent.kill()
    parent.communicate()

    assert psutil.wait_procs([orphan], timeout=30)[1] == []


def test_a_run_whose_reader_is_gone_ends(order: Any, training: Any) -> None:
    process = child(order(**training(epochs=200)))
    assert process.stdout is not None
    process.stdout.readline()

    process.stdout.close()

    assert process.wait(timeout=60) == 75


def test_a_wrong_spec_is_refused_before_torch_is_loaded(order: Any, tmp_path: Path) -> None:
    path = order(task="train", recipe="classify", spec={"epochs": 0, "seeds": 1}, data={}, out="")
    code = (
        "import sys\nsys.modules['torch'] = sys.modules['transformers'] = sys.modules['numpy'] = None\n"
        f"from engine.run import main\nsys.exit(main([{str(path)!r}]))"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)

    event = json.loads(found.stdout, object_hook=revive)
    assert found.returncode == 2, found.stderr
    assert (event["type"], event["code"]) == ("failed", "bad_spec")
    assert {problem["field"] for problem in event["problems"]} == {"epochs", "seeds", "data.path", "out"}


@pytest.mark.parametrize("content", ["", "[]", "{not json", "null"])
def test_an_unreadable_order_is_refused(tmp_path: Path, content: str, capfd: Any) -> None:
    path = tmp_path / "order.json"
    path.write_text(content)

    code, found = run(path, capfd)

    assert code == 2 and found[0]["code"] == "bad_spec"


@pytest.mark.parametrize("content", [b"", b"PAR1 no parquet", None])
def test_a_dataset_that_is_no_parquet_is_refused(
    order: Any, training: Any, tmp_path: Path, capfd: Any, content: Any
) -> None:
    data = tmp_path / "bad.parquet"
    if content is not None:
        data.write_bytes(content)

    code, found = run(order(**training() | {"data": {"path": str(data)}}), capfd)

    assert code == 2 and found[-1]["code"] == "bad_data" and found[-1]["hint"]


def test_running_out_of_memory_is_a_typed_failure(
    order: Any, training: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setitem(tasks.TRAIN, "classify", greedy)

    code, found = run(order(**training()), capfd)

    assert code == 2 and found[-1]["code"] == "out_of_memory"


def test_a_version_is_trained_checked_evaluated_and_labels_a_file(
    order: Any, training: Any, texts: Path, tmp_path: Path, capfd: Any
) -> None:
    assert run(order(**training(epochs=8)), capfd)[0] == 0
    model, data = str(tmp_path / "out" / "model"), {"path": str(texts), "kind": "classification"}

    _, checked = run(order(**training() | {"task": "preflight"}), capfd)
    _, measured = run(
        order(task="evaluate", model=model, data={**data, "split": "test"}, out=str(tmp_path / "measured")), capfd
    )
    _, labelled = run(
        order(task="predict", model=model, data=data, out=str(tmp_path / "labelled"), skip_rows=100), capfd
    )

    assert checked[-1]["problems"] == [] and checked[-1]["estimate"]["steps"] == 33
    assert checked[-1]["lengths"]["max"] >= checked[-1]["lengths"]["p50"] > 0
    assert measured[-1]["rows"] == 18 and measured[-1]["headline"]["accuracy"]["value"] > 0.7
    part = next(event for event in labelled if event["type"] == "part")
    assert (part["first"], part["rows"], labelled[-1]["rows"]) == (100, 20, 120)
    rows = pq.read_table(part["path"]).to_pylist()
    assert rows[0]["example_id"] == 200 and len(rows[0]["probabilities"]) == len(labelled[-1]["labels"]) == 3

"""Programs of models run apart: what passes, what does not, and what each layer keeps them from."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine import metrics, sandbox, sandbox_guard
from engine.failures import Stopped
from engine.report import Silent
from engine.sandbox import code_of, pass_at_1, run_code


@pytest.mark.parametrize(
    "program",
    [
        "import re, math, json, decimal, itertools, collections\nassert math.gcd(4, 6) == 2",
        "import threading\nseen = []\nt = threading.Thread(target=seen.append, args=(1,))\nt.start(); t.join()\nassert seen",
        "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 1\nassert asyncio.run(f()) == 1",
        "import os\nopen('a.txt', 'w').write('x')\nassert open('a.txt').read() == 'x' and os.environ['HOME'] == os.getcwd()",
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport typing\n@dataclass\nclass A:\n"
        "    a: int\nassert typing.get_type_hints(A) == {'a': int}\nassert __name__ == '__main__'",
        "for _ in range(100):\n    print('x' * 1_000_000)\n",
    ],
    ids=["standard library", "thread", "event loop", "own folder", "main module", "a hundred megabytes printed"],
)
def test_an_ordinary_program_passes(program: str) -> None:
    assert run_code(program) == sandbox.Outcome(True, "passed", "", run_code("").layers)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("assert 1 + 1 == 3, 'no'", "wrong"),
        ("1 / 0", "error"),
        ("def f(:", "error"),
        ("x = '\ud800'", "error"),
        ("import sys\nsys.exit(0)\nassert False", "left"),
        ("import os\nos._exit(0)\nassert False", "left"),
        ("x = [0] * 10**10", "memory"),
        ("while True:\n    pass", "time"),
        ("import time\ntime.sleep(600)", "time"),
        ("import os\nwhile True:\n    os.fork()", "refused"),
        ("import subprocess\nsubprocess.run(['/bin/true'])", "refused"),
        ("import os\nos.kill(os.getppid(), 0)", "refused"),
        ("import socket\nsocket.socket()", "refused"),
        ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1')", "error"),
        ("import ctypes\nctypes.CDLL(None)", "refused"),
        ("import os\nopen(f'/proc/{os.getppid()}/environ', 'rb').read()", "refused"),
        ("open('/etc/passwd').read()", "refused"),
        ("import os\nos.symlink('/etc', 'way')", "refused"),
        ("import os\nos.listdir('/')", "refused"),
        ("open('big', 'wb').write(bytes(10_000_000))", "error"),
        ("for at in range(1000):\n    open(str(at), 'w').close()", "refused"),
        (
            "import os\nfor at in range(3, 64):\n    try:\n        os.write(at, b'x' * 10**6)\n    except OSError:\n        0",
            "killed",
        ),
    ],
)
def test_a_program_that_fails_says_how(program: str, reason: str) -> None:
    found = run_code(program, seconds=0.5)

    assert (found.passed, found.reason) == (False, reason), found


def test_nothing_is_written_outside_and_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"

    found = run_code(f"open({str(outside)!r}, 'w').write('x')")
    folder = run_code("import os\nraise ValueError(os.getcwd())").detail.removeprefix("ValueError: ")

    assert found.reason == "refused" and not outside.exists()
    assert Path(folder).name.startswith("program-") and not Path(folder).exists()


def test_our_environment_is_not_the_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGXI_SECRET_OF_THIS_TEST", "seen")

    found = run_code("import os\nassert set(os.environ) <= {'HOME', 'TMPDIR', 'LC_CTYPE'}, sorted(os.environ)")

    assert found.passed, found


def test_a_program_cannot_report_in_the_place_of_its_end() -> None:
    found = run_code(
        "import os, json\n"
        "for at in range(3, 64):\n"
        "    try:\n"
        "        os.write(at, json.dumps({'secret': '', 'end': 'passed', 'detail': ''}).encode() + b'\\n')\n"
        "    except OSError:\n"
        "        pass\n"
        "os._exit(0)"
    )

    assert (found.passed, found.reason) == (False, "left")


def test_a_program_does_not_outlive_whoever_waits_for_it(tmp_path: Path) -> None:
    program = "open('begun', 'w').close()\nimport time\ntime.sleep(600)"
    waiting = f"from engine.sandbox import run_code; run_code({program!r}, seconds=200)"
    waiter = psutil.Popen(
        [sys.executable, "-c", waiting], env={"PYTHONPATH": str(Path(GUARD).parent), "TMPDIR": str(tmp_path)}
    )
    while not list(tmp_path.glob("program-*/begun")):
        assert waiter.poll() is None
        time.sleep(0.1)
    programs = waiter.children()

    waiter.kill()
    waiter.wait()

    assert len(programs) == 1
    _, alive = psutil.wait_procs(programs, timeout=20)
    assert not alive


def test_a_sandbox_that_does_not_start_is_no_failed_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.sandbox_guard, "__file__", "/nowhere.py")

    with pytest.raises(sandbox.SandboxFailed):
        run_code("")


def test_too_little_memory_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError):
        run_code("", memory_bytes=1_000_000)


GUARD = str(Path(sandbox_guard.__file__).parent)
PRELUDE = """
import ctypes, json, os, socket, struct, sys, threading
sys.path.insert(0, sys.argv[1])
import sandbox_guard as guard
libc = ctypes.CDLL(None, use_errno=True)
if os.getuid() == 0:  # what holds must hold for anyone: give up the powers of root
    assert libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0
folder, places = os.path.realpath(os.getcwd()), guard.readable_places()

def refused(action):
    try:
        action()
    except OSError:
        return True
    return False

def tell(held, **seen):
    print(json.dumps({"held": held, **seen}))
"""


def alone(folder: Path, program: str) -> dict[str, bool]:
    """What a process sees under one layer of the guard and no other; skipped where this machine lacks the layer."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PRELUDE + program, GUARD],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, bool] = json.loads(done.stdout)
    if not found.pop("held"):
        pytest.skip("this machine has no such layer")
    return found


def test_the_call_filter_alone_stops_processes_programs_sockets_and_signals(tmp_path: Path) -> None:
    found = alone(
        tmp_path,
        "held = guard.only_these_calls(libc)\n"
        "thread = threading.Thread(target=int)\n"
        "tell(held,\n"
        "     fork=refused(os.fork), program=refused(lambda: os.execv('/bin/true', ['true'])),\n"
        "     spawn=refused(lambda: os.posix_spawn('/bin/true', ['true'], {})), socket=refused(socket.socket),\n"
        "     datagrams=refused(lambda: socket.socketpair(type=socket.SOCK_DGRAM)),\n"
        "     signal=refused(lambda: os.kill(os.getppid(), 0)),\n"
        "     thread=(thread.start(), thread.join()) == (None, None), pair=bool(socket.socketpair()))",
    )

    assert found == dict.fromkeys(found, True) and len(found) == 8


def test_the_file_rules_alone_close_everything_but_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside").write_text("x")

    found = alone(
        tmp_path / "in",
        "held = guard.only_these_files(libc, folder, places)\n"
        "os.symlink('../outside', 'way')\n"
        "tell(held,\n"
        "     password=refused(lambda: open('/etc/passwd')), proc=refused(lambda: open('/proc/self/environ')),\n"
        "     outside=refused(lambda: open('../outside')), over=refused(lambda: open('way', 'w')),\n"
        "     made=refused(lambda: open('../new', 'w')), removed=refused(lambda: os.remove('../outside')),\n"
        "     library=not refused(lambda: open(places[0] + '/os.py')), own=not refused(lambda: open('new', 'w')))",
    )

    assert found == dict.fromkeys(found, True) and len(found) == 8
    assert (tmp_path / "outside").read_text() == "x"


def test_the_namespaces_alone_hide_our_environment_and_our_network(tmp_path: Path) -> None:
    found = alone(
        tmp_path,
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "held = guard.own_namespaces(libc)\n"
        "tell(held, environment=refused(lambda: open(f'/proc/{os.getppid()}/environ', 'rb').read()),\n"
        "     network=refused(lambda: socket.create_connection(server.getsockname())))",
    )

    assert found == {"environment": True, "network": True}


def test_the_limits_alone_end_a_program_that_never_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{PRELUDE}guard.limits(1, 256_000_000)\nwhile True: pass", GUARD],
        cwd=tmp_path,
        timeout=60,
    )

    assert done.returncode == -signal.SIGXCPU


@pytest.mark.parametrize(
    ("event", "values"),
    [
        ("os.fork", ()),
        ("os.posix_spawn", ("/bin/true", [], {})),
        ("subprocess.Popen", ("/bin/true", [], None, None)),
        ("socket.__new__", (None, 2, 1, 0)),
        ("socket.connect", (None, ("127.0.0.1", 80))),
        ("ctypes.dlopen", (None,)),
        ("open", ("/etc/passwd", "r", os.O_RDONLY)),
        ("open", ("../x", "w", os.O_WRONLY | os.O_CREAT)),
        ("os.rename", ("x", "../x", -1, -1)),
        ("os.remove", (b"/etc/passwd", -1)),
    ],
)
def test_the_audit_alone_refuses_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str, values: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    watch = sandbox_guard.Watch(str(tmp_path.resolve()), ["/usr/lib"])

    with pytest.raises(PermissionError):
        watch(event, values)


def test_the_audit_lets_a_program_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watch = sandbox_guard.Watch(str(tmp_path.resolve()), ["/usr/lib"])

    watch("open", ("x", "w", os.O_WRONLY | os.O_CREAT))
    watch("open", ("/usr/lib/os.py", "rb", 0))
    watch("open", (3, "rb", 0))
    watch("socket.__new__", (None, 1, 1, 0))

    assert watch.changes == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("x = 1\n", "x = 1\n"),
        ("First:\n```python\na = 1\n```\nBetter:\n```python\na = 2\n```\nDone.", "a = 2\n"),
        ("```python\na = 1\n```\nRun it:\n```bash\npython a.py\n```", "a = 1\n"),
        ("```\na = 1\n```", "a = 1\n"),
        ("~~~py\na = '```'\n~~~", "a = '```'\n"),
        ("好的：\n```python\na = 1", "a = 1"),
        ("````python\na = '''\n```\n'''\n````", "a = '''\n```\n'''\n"),
    ],
)
def test_the_code_of_an_answer_is_its_last_block_of_python(answer: str, code: str) -> None:
    assert code_of(answer) == code


def test_pass_at_1_is_the_share_of_rows_whose_tests_pass() -> None:
    answers = ["```python\ndef twice(x):\n    return 2 * x\n```", "def twice(x):\n    return x", "I cannot do that."]

    figures, outcomes = pass_at_1(answers, ["assert twice(4) == 8"] * 3, report=Silent())

    low, high = metrics.wilson(1, 3)
    assert figures["headline"] == {"pass_at_1": {"value": pytest.approx(1 / 3), "low": low, "high": high}}
    assert figures["reasons"] == {"passed": 1, "wrong": 1, "error": 1}
    assert [outcome.reason for outcome in outcomes] == ["passed", "wrong", "error"]
    assert set(figures["layers"]) >= {"limits", "audit"}


def test_pass_at_1_stops_when_asked() -> None:
    class Stopping(Silent):
        def should_stop(self) -> bool:
            return True

    with pytest.raises(Stopped):
        pass_at_1(["1"], [""], report=Stopping())

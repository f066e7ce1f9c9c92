"""Engine processes forked from one that has loaded torch and transformers already, which takes a new one five seconds.

Run as a program this file is that one process: it takes orders over a socket until its tests end. Each order becomes a
process of its own, with the arguments, environment, folder and files it was given, as `python -m engine.run` would be.
"""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ENGINE = ["-m", "engine.run"]
REPORT = "--report-fd"
READ_AT_IMPORT = ("HF_", "TRANSFORMERS_", "TORCH", "PYTHON", "LD_", "MALLOC")
LARGEST = 1 << 17
LOADED = (
    "engine.tasks",
    "torch._dynamo",
    "torch.distributed.tensor",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "peft",
)


class Engines:
    """Stands in for the module `subprocess` where engine processes are started."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self) -> None:
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def Popen(self, command: Sequence[str], **options: Any) -> Any:
        """A forked engine process where the command is one, else what subprocess makes of it."""
        if command[1:3] != ENGINE or not alike(options["env"]):
            return subprocess.Popen(command, **options)
        return Forked(self._socket(), command[3:], options)

    def stop(self) -> None:
        """End the process that was forked from; it ends with its socket."""
        if self._server:
            server, ours = self._server
            ours.close()
            server.wait()

    def _socket(self) -> socket.socket:
        if self._server is None:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            root = Path(__file__).parents[1]
            server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "platform")},
            )
            theirs.close()
            self._server = server, ours
        return self._server[1]


def alike(environment: Mapping[str, str]) -> bool:
    """Whether what libraries read while they are loaded is the same there as here; our own import path aside."""

    def read(variables: Mapping[str, str]) -> dict[str, str]:
        return {k: v for k, v in variables.items() if k.startswith(READ_AT_IMPORT) and k != "PYTHONPATH"}

    return read(environment) == read(os.environ)


class Forked:
    """One forked engine process, with what of subprocess.Popen its callers use."""

    def __init__(self, server: socket.socket, arguments: Sequence[str], options: Mapping[str, Any]) -> None:
        self.args = list(arguments)
        self.returncode: int | None = None
        self._status, theirs = os.pipe()
        order = {"argv": self.args, "env": dict(options["env"]), "cwd": str(options["cwd"])}
        files = [theirs, options["stdout"].fileno(), options["stderr"].fileno(), *options["pass_fds"]]
        socket.send_fds(server, [json.dumps(order).encode()], files)
        os.close(theirs)
        self.pid = self._number()

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self._ended()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing to one that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended(self) -> None:
        self.returncode = self._number()
        os.close(self._status)

    def _number(self) -> int:
        return array.array("i", os.read(self._status, 4))[0]


def serve(server: socket.socket) -> None:
    """Fork an engine process for every order; returns in none of them."""
    for name in LOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "only a process of one thread may be forked"
    gc.freeze()
    signal.signal(signal.SIGCHLD, reap)
    while True:
        message, files, _flags, _address = socket.recv_fds(server, LARGEST, 8)
        if not message:
            return
        if not os.fork():
            server.close()
            attend(json.loads(message), files)
        for file in files:
            os.close(file)


def reap(*_: Any) -> None:
    """Take leave of the ended, whose processor time then counts as this process's and its tests'."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def attend(order: Mapping[str, Any], files: Sequence[int]) -> None:
    """Start the engine process and tell its exit code; never returns."""
    from engine.run import die_with_parent

    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status, *rest = files
    pid = os.fork()
    if not pid:
        become(order, *files)
    for file in rest:
        os.close(file)
    _pid, how = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(status, array.array("i", [os.waitstatus_to_exitcode(how)]))
    os._exit(0)


def become(order: Mapping[str, Any], status: int, out: int, err: int, report: int) -> None:
    """Be the engine process of an order, which tells its number once it is one; never returns."""
    os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    for file, place in ((out, 1), (err, 2)):
        os.dup2(file, place)
        os.close(file)
    os.write(status, array.array("i", [os.getpid()]))
    os.close(status)
    argv = list(order["argv"])
    argv[argv.index(REPORT) + 1] = str(report)
    sys.argv = ["engine.run", *argv]
    code = 1
    try:
        from engine.run import main

        code = main(argv)
    except BaseException:  # noqa: BLE001  # what an interpreter does with whatever reaches its top
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))

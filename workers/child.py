"""Run the engine in a child process of its own memory: events come over a pipe, stops go as signals."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from django.conf import settings

from core import storage
from words import revive

GRACE_SECONDS = 30.0
POLL_SECONDS = 0.5
EXIT_STOPPED = 75
SECRETS = ("DATABASE_", "LINGXI_", "REDIS_", "WANDB_", "MLFLOW_")  # the engine needs none of them
ENGINE = ("-m", "engine.run")
HANGS = "Timeout ("  # how a stack dump of the engine's watchdog begins


@dataclass
class Child:
    """One engine process and what is known of its end."""

    process: subprocess.Popen[bytes]
    reader: int
    log_path: Path
    killed_by_us: bool = False
    failure: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    _buffer: bytearray = field(default_factory=bytearray)

    def events(self) -> Iterator[dict[str, Any] | None]:
        """Every event in order, and None twice a second while there is none; ends when the pipe does."""
        while True:
            ready, _w, _x = select.select([self.reader], [], [], POLL_SECONDS)
            if not ready:
                yield None
                continue
            chunk = os.read(self.reader, 1 << 16)
            if not chunk:
                self.process.wait()
                return
            self._buffer += chunk
            *lines, rest = bytes(self._buffer).split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                event: dict[str, Any] = json.loads(line, object_hook=revive)
                if event["type"] == "failed":
                    self.failure = event
                elif event["type"] == "result":
                    self.result = event
                yield event

    def ask_to_stop(self) -> Iterator[dict[str, Any]]:
        """SIGTERM, then the last events (a final checkpoint among them), then SIGKILL after the grace."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        deadline = monotonic() + GRACE_SECONDS
        for event in self.events():
            if event is not None:
                yield event
            if monotonic() > deadline:
                break
        self.kill()

    def kill(self) -> None:
        """End it at once, with all that it started; harmless when it has ended."""
        if self.process.poll() is None:
            self.killed_by_us = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def out_of_memory(self) -> bool:
        """A SIGKILL we did not send is the kernel's, for memory."""
        return self.process.returncode == -signal.SIGKILL and not self.killed_by_us

    @property
    def hung(self) -> bool:
        """Whether the engine's watchdog ended it because a step did not end."""
        return self.process.returncode == 1 and HANGS in self.last_words(400)

    def last_words(self, lines: int = 15) -> str:
        """The end of its error output, for the log."""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def engine_child(order: Mapping[str, Any], folder: Path, *, threads: int) -> Iterator[Child]:
    """Start `python -m engine.run` on `order`; whatever happens, it is gone when the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    order_path, log_path = folder / "order.json", folder / "engine.log"
    with storage.whole_file(order_path) as beside:
        beside.write_text(json.dumps({**order, "threads": threads}, ensure_ascii=False, indent=1))
    reader, writer = os.pipe()
    root = Path(settings.ROOT)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(SECRETS)},
        "PYTHONPATH": f"{root / 'platform'}",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
    }
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *ENGINE, str(order_path), "--report-fd", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writer],
            start_new_session=True,
            env=environment,
            cwd=root,
        )
    os.close(writer)
    child = Child(process=process, reader=reader, log_path=log_path)
    try:
        yield child
    finally:
        child.kill()
        os.close(reader)

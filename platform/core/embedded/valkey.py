"""The private Valkey: broker, cache and streams, on a socket, with an append-only file."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from core.embedded import process
from core.embedded.errors import DISK_FULL, StackError, sentences
from core.embedded.places import Places, ServiceUser, owned_folder

STOP = [(signal.SIGTERM, 15.0)]


@dataclass
class Valkey:
    """One server below `places.valkey`."""

    places: Places
    binary: Path
    user: ServiceUser | None
    password: str
    durable: bool
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self.places.logs / "valkey.log"

    @property
    def socket(self) -> Path:
        """The only door."""
        return self.places.sockets / "valkey.sock"

    def start(self) -> None:
        """Write the settings, end an orphan of the last run, start and wait until it answers."""
        owned_folder(self.places.valkey, self.user)
        settings = self.places.valkey / "valkey.conf"
        with sentences(settings):
            self._end_orphan(settings)
            self._write(settings)
            with self.log.open("ab") as output:
                self.process = process.start([self.binary, settings], output=output, user=self.user)
            (self.places.valkey / "pid").write_text(str(self.process.pid))
        self._wait(self.process)

    def stop(self) -> int:
        """Flush and stop; returns the exit code."""
        return process.stop(self.process, STOP) if self.process else 0

    def _end_orphan(self, settings: Path) -> None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            process.end_orphan(int((self.places.valkey / "pid").read_text()), str(settings), STOP)

    def _write(self, settings: Path) -> None:
        lines = [
            "port 0",
            f'unixsocket "{self.socket}"',
            "unixsocketperm 700",
            f"requirepass {self.password}",
            f'dir "{self.places.valkey}"',
            'save ""',
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            "aof-load-truncated yes",
            "daemonize no",
            "loglevel warning",
            "maxmemory-policy noeviction",
            'proc-title-template "{title} {config-file}"',
        ]
        settings.unlink(missing_ok=True)
        with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write("\n".join(lines) + "\n")
        if self.user:
            os.chown(settings, self.user.uid, self.user.gid)

    def _wait(self, server: "subprocess.Popen[bytes]") -> None:
        while server.poll() is None:
            if self._answers():
                return
            time.sleep(0.02)
        said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        if said and "No space left" in said[0]:
            raise StackError(DISK_FULL.format(place=self.places.valkey))
        raise StackError(f"Valkey does not start: {said[0] if said else 'no reason given'} (see {self.log})")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(2)
            try:
                door.connect(str(self.socket))
                door.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while (part := door.recv(200)) and (answer := answer + part).count(b"\n") < 2:
                    pass
            except OSError:
                return False
            return b"+PONG" in answer

"""The embedded servers of one home as a whole: one owner at a time, started and stopped in order."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from core.embedded.errors import DISK_FULL, StackError, sentences
from core.embedded.places import (
    binaries,
    environment,
    make_home,
    may_reach,
    owned_folder,
    places_of,
    secrets_of,
    service_user,
)
from core.embedded.postgres import Postgres
from core.embedded.valkey import Valkey

LEAST_FREE_BYTES = 200_000_000
LARGEST_LOG_BYTES = 10_000_000


def silent(_line: str) -> None:
    """Say nothing."""


class Stack:
    """PostgreSQL and Valkey below `home`.

    `start()` returns the environment that lets any process use them. While it runs, a second Stack on the same
    home raises StackError. All trouble a person can mend is a StackError with one sentence.
    """

    def __init__(self, home: Path, *, durable: bool = True, say: Callable[[str], None] = silent) -> None:
        self.home = home.resolve()
        self._durable = durable
        self._say = say
        self._locks: list[IO[str]] = []
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> dict[str, str]:
        """Start both servers and wait until they answer; recovers by itself from any kind of crash."""
        make_home(self.home)
        try:
            self._take_locks()
            self._start()
        except BaseException:
            self.stop()
            raise
        return environment(self.home)

    def stop(self) -> None:
        """Stop PostgreSQL, then Valkey, then let go of the home; harmless when nothing runs."""
        try:
            if self.postgres:
                self.postgres.stop()
        finally:
            try:
                if self.valkey:
                    self.valkey.stop()
            finally:
                self._drop_locks()

    def processes(self) -> dict[str, "subprocess.Popen[bytes]"]:
        """The servers' processes by name."""
        servers = {"postgres": self.postgres, "valkey": self.valkey}
        return {name: server.process for name, server in servers.items() if server and server.process}

    def mend(self) -> list[str]:
        """Start again what died on its own; returns the names."""
        dead = [name for name, process in self.processes().items() if process.poll() is not None]
        if "postgres" in dead and self.postgres:
            self.postgres.start()
        if "valkey" in dead and self.valkey:
            self.valkey.start()
        return dead

    def _start(self) -> None:
        if shutil.disk_usage(self.home).free < LEAST_FREE_BYTES:
            raise StackError(DISK_FULL.format(place=self.home))
        places, words, user = places_of(self.home), secrets_of(self.home), service_user()
        with sentences(self.home):
            places.logs.mkdir(mode=0o700, exist_ok=True)
            for log in (places.logs / "postgres.log", places.logs / "valkey.log"):
                if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
                    log.replace(log.with_suffix(".log.1"))
        if not may_reach(user, places.postgres.parent):
            raise StackError(f"The user {user.name if user else ''} may not reach {places.postgres.parent}.")
        owned_folder(places.sockets, user)
        programs = binaries(user)
        self.valkey = Valkey(places, programs.valkey, user, words.valkey, self._durable)
        self.postgres = Postgres(places, programs.postgres, user, words.postgres, self._durable, self._say)
        self.valkey.start()
        self.postgres.start()

    def _take_locks(self) -> None:
        """The home's lock, and that of a services folder elsewhere, which a copied home would share."""
        folders = dict.fromkeys([self.home, places_of(self.home).postgres.parent])
        with sentences(self.home):
            for folder in folders:
                folder.mkdir(mode=0o711, parents=True, exist_ok=True)
                self._locks.append(self._take_lock(folder / "lock"))

    def _take_lock(self, path: Path) -> IO[str]:
        handle = path.open("a+")
        deadline = time.monotonic() + 0.5  # somebody may just be asking is_running()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                handle.seek(0)
                owner = handle.read().strip()
                handle.close()
                raise StackError(
                    f"Lingxi already runs in {self.home}{f' (process {owner})' if owner else ''}. "
                    "Stop it first, or choose another folder with --home."
                ) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            return handle

    def _drop_locks(self) -> None:
        while self._locks:
            handle = self._locks.pop()
            handle.truncate(0)
            handle.close()


def is_running(home: Path) -> bool:
    """Whether some process holds the home."""
    with contextlib.suppress(FileNotFoundError), (home / "lock").open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False

"""The private PostgreSQL: made once, started, recovered and stopped."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.embedded import process
from core.embedded.errors import DISK_FULL, StackError, sentences
from core.embedded.places import Places, ServiceUser, owned_folder

STOP = [(signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0)]  # fast: roll back and checkpoint; then at once
LOCALES = ("C.UTF-8", "en_US.UTF-8")  # with plain C, pg_trgm would be blind to every letter beyond ASCII
NO_SPACE = "No space left on device"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_checkpoints": "off",
}
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass
class Postgres:
    """One cluster below `places.postgres`; `durable=False` trades safety for speed in tests."""

    places: Places
    bin: Path
    user: ServiceUser | None
    password: str
    durable: bool
    say: Callable[[str], None]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.places.postgres / "data"

    @property
    def log(self) -> Path:
        """Where the server writes."""
        return self.places.logs / "postgres.log"

    def start(self) -> None:
        """Make the cluster when there is none, clear what a crash left, start and wait until it answers."""
        owned_folder(self.places.postgres, self.user)
        if not (self.data / "PG_VERSION").exists():
            self._make()
        self._check_version()
        self._clear_stale_pid()
        self._launch()

    def stop(self) -> int:
        """Roll back what is open, write everything down, stop; returns the exit code."""
        return process.stop(self.process, STOP) if self.process else 0

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
        return {**kept, "LC_ALL": "C", "TZ": "UTC"}

    def _run(self, *argv: str | Path, given: str = "") -> "subprocess.CompletedProcess[str]":
        identity = {"user": self.user.uid, "group": self.user.gid, "extra_groups": []} if self.user else {}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [str(word) for word in argv],
            input=given,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            cwd="/",
            check=False,
            start_new_session=True,
            preexec_fn=process.dies_with_parent(signal.SIGKILL),
            **identity,
        )

    def _make(self) -> None:
        """initdb beside, then rename: an interrupted first start leaves nothing that looks finished."""
        self.say("Making the database (once)")
        beside = self.places.postgres / "data.new"
        with sentences(beside):
            shutil.rmtree(beside, ignore_errors=True)
            word = self.places.postgres / "password"
            word.unlink(missing_ok=True)
            with os.fdopen(os.open(word, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
                handle.write(self.password)
            if self.user:
                os.chown(word, self.user.uid, self.user.gid)
            try:
                self._initdb(beside, word)
            finally:
                word.unlink(missing_ok=True)
            if self.data.exists():  # a folder without PG_VERSION holds no cluster; keep it aside all the same
                self.data.rename(self.places.postgres / f"data.broken-{time.time_ns()}")
            beside.rename(self.data)

    def _initdb(self, folder: Path, password_file: Path) -> None:
        said = ""
        for locale in LOCALES:
            made = self._run(
                self.bin / "initdb",
                *("--pgdata", folder, "--username", "lingxi", "--pwfile", password_file, "--encoding", "UTF8"),
                *("--auth", "scram-sha-256", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                *("--locale", locale, "--no-instructions", "--set", "scram_iterations=1"),
                *(() if self.durable else ("--no-sync",)),
            )
            said = made.stdout
            if made.returncode == 0:
                break
            if "invalid locale name" not in said:
                raise self._trouble("The database could not be made", said)
        else:
            raise self._trouble("This system has no UTF-8 locale", said)
        # A random 256-bit password needs no slow hashing, hence scram_iterations=1.
        made = self._run(
            self.bin / "postgres", "--single", "-D", folder, "postgres", given="CREATE DATABASE lingxi OWNER lingxi\n"
        )
        if made.returncode or "ERROR" in made.stdout or "FATAL" in made.stdout:
            raise self._trouble("The database could not be made", made.stdout)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        ours = self._run(self.bin / "postgres", "--version").stdout.split()[-1].split(".")[0]
        if found != ours:
            raise StackError(
                f"{self.data} was made by PostgreSQL {found}, this is PostgreSQL {ours}. "
                "Start the older Lingxi, make a backup, and restore it here."
            )

    def _clear_stale_pid(self) -> None:
        """We hold the home's lock: a server named in postmaster.pid is an orphan, or the number is somebody else's."""
        note = self.data / "postmaster.pid"
        try:
            pid = int(note.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            note.unlink(missing_ok=True)
            return
        if str(self.data) in process.command_of(pid):
            self.say("Waiting for the database of the last run to stop")
            process.end_orphan(pid, str(self.data), STOP)
        note.unlink(missing_ok=True)

    def _launch(self) -> None:
        """Start; retry while backends of a killed server still hold its shared memory."""
        deadline = time.monotonic() + 30
        while True:
            seen = self.log.stat().st_size if self.log.exists() else 0
            settings = {**SETTINGS, **({} if self.durable else CARELESS)}
            settings["unix_socket_directories"] = str(self.places.sockets)
            with sentences(self.log), self.log.open("ab") as output:
                self.process = process.start(
                    [self.bin / "postgres", "-D", self.data, *(f"--{k}={v}" for k, v in settings.items())],
                    output=output,
                    user=self.user,
                    last_signal=signal.SIGINT,
                    environment=self._environment(),
                )
            if self._answers(self.process):
                return
            said = self.log.read_bytes()[seen:].decode(errors="replace")
            if "still in use" not in said or time.monotonic() > deadline:
                raise self._trouble("The database does not start", said)
            time.sleep(0.5)

    def _answers(self, server: "subprocess.Popen[bytes]") -> bool:
        """True once it takes connections, False when it ended; recovery after a crash may take its time."""
        note = self.data / "postmaster.pid"
        patience = time.monotonic() + 5
        while server.poll() is None:
            lines = note.read_text().splitlines() if note.exists() else []
            if len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready":
                return True
            if time.monotonic() > patience:
                self.say("The database is recovering")
                patience = time.monotonic() + 30
            time.sleep(0.02)
        return False

    def _trouble(self, what: str, said: str) -> StackError:
        if NO_SPACE in said:
            return StackError(DISK_FULL.format(place=self.places.postgres))
        lines = [line for line in said.splitlines() if line.strip()]
        marked = [line for line in lines if "FATAL" in line or "error:" in line or "PANIC" in line] or lines
        return StackError(f"{what}: {marked[-1].strip() if marked else 'no reason given'} (see {self.log})")

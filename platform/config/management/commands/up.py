"""Start everything on this machine under one supervisor and keep it running."""

import argparse
import contextlib
import errno
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from config.launch import roles
from config.prepare import FirstAccount, first_owner, prepare
from core.embedded.connect import uses_embedded
from core.embedded.errors import StackError
from core.embedded.stack import Stack
from core.errors import Refused
from core.supervisor import Janitor, Supervisor
from core.translations import TranslationError

HOPELESS = 5  # ends in a row before the first page


class Command(BaseCommand):
    """Servers, migrations, first owner, then the roles; Ctrl-C ends them in the opposite order."""

    help = "Start everything on this machine: database, Redis, web, workers and beat."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Address, folder and demo."""
        parser.add_argument("--port", type=int, default=8000, help="port of the pages and the API (default: 8000)")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--home", help="folder for everything Lingxi keeps (default: var)")
        parser.add_argument("--empty", action="store_true", help="leave the demo workspace out")
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object once the first page answers; the rest on stderr"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        os.umask(0o077)
        require_free_port(options["host"], options["port"])
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        home = Path(settings.HOME)
        try:
            self._run(home, options)
        except (StackError, TranslationError) as error:
            raise SystemExit(str(error)) from error
        except Refused as refused:
            raise SystemExit(refused.message) from refused
        except KeyboardInterrupt:
            raise SystemExit(130) from None

    def _run(self, home: Path, options: dict[str, Any]) -> None:
        with contextlib.ExitStack() as ending:
            warden = Janitor()
            ending.callback(warden.close)
            out = self.stderr if options["json"] else self.stdout
            stack = self._start_servers(home, warden, ending, say=out.write)
            prepare(out.write)
            account = first_owner(with_demo=not options["empty"])
            if account and not options["json"]:
                out.write("\n".join(account.lines()))
            connections.close_all()
            address = f"http://{shown_host(options['host'])}:{options['port']}"
            os.environ.setdefault("LINGXI_SITE_URL", address)
            if options["host"] not in settings.ALLOWED_HOSTS and "LINGXI_ALLOWED_HOSTS" not in os.environ:
                os.environ["LINGXI_ALLOWED_HOSTS"] = ",".join([*settings.ALLOWED_HOSTS, options["host"]])
            supervisor = Supervisor(
                roles(host=options["host"], port=options["port"]),
                logs=home / "logs",
                out=sys.stderr if options["json"] else sys.stdout,
                tick=Watch(
                    stack, warden, address, ready=self._document(home, address, account) if options["json"] else ""
                ),
                warden=warden,
            )
            code = supervisor.run()
        if code:
            raise SystemExit(code)

    @staticmethod
    def _document(home: Path, address: str, account: FirstAccount | None) -> str:
        """What --json prints: where it answers, the process to stop, and the log-in when it was made just now."""
        found = {"url": address, "home": str(home), "pid": os.getpid(), "account": asdict(account) if account else None}
        return json.dumps(found)

    def _start_servers(
        self, home: Path, warden: Janitor, ending: contextlib.ExitStack, *, say: Callable[[str], None]
    ) -> Stack | None:
        """The embedded servers, unless the environment names others."""
        if not uses_embedded(home):
            return None
        stack = Stack(home, say=say)
        ending.callback(stop_servers, stack, warden)
        stack.start()
        watch_servers(stack, warden)
        return stack


class Watch:
    """What happens beside keeping roles alive: say when the first page answers, mend the servers."""

    def __init__(self, stack: Stack | None, warden: Janitor, address: str, *, ready: str = "") -> None:
        self._said_when_ready = ready
        self._stack = stack
        self._warden = warden
        self._address = address
        self._ready = False
        self._ask_after = 0.0

    def __call__(self, supervisor: Supervisor) -> None:
        """One look, a few times a second."""
        if self._stack and (mended := self._stack.mend()):
            watch_servers(self._stack, self._warden)
            supervisor.say(f"Started again: {', '.join(mended)}.")
        if self._ready or time.monotonic() < self._ask_after:
            return
        self._ask_after = time.monotonic() + 0.3
        if answers(f"{self._address}/readyz"):
            self._ready = True
            supervisor.say(f"Lingxi is ready: {self._address}   (Ctrl-C stops everything)")
            if self._said_when_ready:
                sys.stdout.write(f"{self._said_when_ready}\n")
                sys.stdout.flush()
        elif supervisor.failures("web") >= HOPELESS:
            supervisor.say("The web process does not start; its last lines above say why.")
            supervisor.stop(exit_code=1)


def watch_servers(stack: Stack, warden: Janitor) -> None:
    """Have the janitor stop the servers should we be killed."""
    kinds = {"postgres": signal.SIGINT, "valkey": signal.SIGTERM}
    for name, process in stack.processes().items():
        warden.started(process.pid, kinds[name], 10.0)


def stop_servers(stack: Stack, warden: Janitor) -> None:
    """Stop them without letting an impatient Ctrl-C leave them half stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    started = [process.pid for process in stack.processes().values()]
    stack.stop()
    for pid in started:
        warden.ended(pid)


def require_free_port(host: str, port: int) -> None:
    """One sentence before anything starts."""
    if not 0 < port < 65536:
        raise SystemExit(f"{port} is no port. Choose one from 1 to 65535.")
    try:
        family, kind, protocol, _name, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SystemExit(f"{host} is no address of this machine.") from error
    with socket.socket(family, kind, protocol) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise SystemExit(
                    f"Port {port} is taken by another program. Choose another one: ./lingxi up --port {port + 1}"
                ) from error
            if error.errno == errno.EACCES:
                raise SystemExit(f"Port {port} needs root. Choose one above 1023.") from error
            raise SystemExit(f"Cannot listen on {host}:{port}: {error.strerror}.") from error


def shown_host(host: str) -> str:
    """An address that a browser on this machine can open."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def answers(url: str) -> bool:
    """Whether the page is there, now."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt

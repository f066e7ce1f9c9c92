"""The web process: its memory at rest and the time of every list page, over HTTP on loopback."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from django.test import Client
from django.urls import URLResolver, get_resolver

from apps.datasets import services as datasets
from core.access import Actor
from workers.bench.measure import Measure, Options
from workers.bench.tenant import own_workspace

ROWS = 20_000
TIMES = 15
QUIET_SECONDS = 2.0


def measures(options: Options) -> Iterator[Measure]:
    """One uvicorn process of the installation's own application."""
    with own_workspace() as actor, serving() as (process, address):
        dataset = datasets.create(actor=actor, name="Rows", kind="classification")
        for at in range(0, ROWS // (10 if options.small else 1), 1_000):
            records = [{"record": {"text": f"row {at + n}", "labels": [f"label {n % 20}"]}} for n in range(1_000)]
            datasets.add(actor=actor, dataset=dataset, items=records)
        time.sleep(QUIET_SECONDS)
        yield Measure("web process at rest", rss_mb(process.pid), "MB", at_most=250)
        cookies = log_in(actor)
        home = f"{address}/w/{actor.workspace.slug}"
        full = [f"datasets/{dataset.pk}", f"datasets/{dataset.pk}?q=row", f"datasets/{dataset.pk}/imports"]
        for path in [*_lists(), *full]:
            seconds = _seconds(f"{home}/{path}", cookies)
            if seconds is None and path in full:
                raise RuntimeError(f"/{path} does not answer with a page")
            if seconds is not None:
                yield Measure(f"page /{path}", seconds * 1000, "ms", at_most=150, detail=f"median of {TIMES}")
        yield Measure("web process after these pages", rss_mb(process.pid), "MB", at_most=250)


def _lists() -> list[str]:
    """Every page of a workspace that needs no further id."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for found in patterns:
            route = prefix + str(found.pattern)
            if isinstance(found, URLResolver):
                yield from walk(found.url_patterns, route)
            else:
                yield route

    start = "w/<slug:workspace>/"
    routes = [route.removeprefix(start) for route in walk(get_resolver().url_patterns, "") if route.startswith(start)]
    return sorted({route for route in routes if not re.search("[<(]", route)})


@contextmanager
def serving(**more: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """(a web process of its own, its address); `more` stands in its environment."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(command, env={**os.environ, "LINGXI_DATABASE_POOL": "10", **more})
    try:
        _wait(f"{address}/readyz", process)
        yield process, address
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    for _each in range(600):
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except OSError:
            if process.poll() is not None:
                raise RuntimeError("the web process ended") from None
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


def log_in(actor: Actor) -> str:
    """The cookies of somebody who is logged in."""
    client = Client()
    client.force_login(actor.user)
    return "; ".join(f"{name}={cookie.value}" for name, cookie in client.cookies.items())


def _seconds(url: str, cookies: str) -> float | None:
    """Median time of one page; None for an address that answers with no page."""
    taken = []
    for _each in range(TIMES + 1):
        begun = time.perf_counter()
        request = urllib.request.Request(url, headers={"Cookie": cookies})  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                answer.read()
                if "text/html" not in answer.headers.get("Content-Type", ""):
                    return None
        except urllib.error.HTTPError as error:
            if error.code in {403, 404, 405}:  # an address for another method, or for data that is not here
                return None
            raise
        taken.append(time.perf_counter() - begun)
    return median(taken[1:])


def rss_mb(pid: int) -> float:
    """Memory of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        words = next(line for line in file if line.startswith("VmRSS"))
    return int(words.split()[1]) / 1000


def busy_seconds(pid: int) -> float:
    """Processor time that a process took so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

"""Ten thousand connections to one web process, listeners who do not read, and the calls of others meanwhile."""

import http.client
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings

from apps.inference.models import Generation
from core.events import Teller
from workers.bench.measure import Measure, Options, quantile
from workers.bench.web import rss_mb

CONNECTIONS, OPENERS = 10_000, 16
CALLERS, CALLS = 4, 100
DEAF, PIECES, PIECE_CHARACTERS, AT_ONCE, PAUSE_SECONDS = 50, 4_000, 5_000, 20, 0.1
SPARE = 200  # files that a process needs besides
CALL_LIMIT_MS, DEAF_LIMIT_MB = 250, 50


@dataclass
class Opened:
    """What became of the connections that asked for a stream."""

    heard: list[socket.socket] = field(default_factory=list)
    told_to_wait: int = 0
    others: list[str] = field(default_factory=list)

    def ask(self, address: str, head: str) -> None:
        """Open one more, and read what it is answered."""
        place = urlsplit(address)
        made = socket.create_connection((place.hostname or "", place.port or 80), timeout=120)
        made.sendall(head.encode())
        said = made.recv(4096).decode("utf-8", "replace")
        if said.startswith("HTTP/1.1 200"):
            self.heard.append(made)
            return
        made.close()
        if said.startswith("HTTP/1.1 503") and "retry-after" in said.lower():
            self.told_to_wait += 1
        else:
            self.others.append(said[:100])


def more_files(count: int) -> None:
    """Let this process and its children open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + SPARE:
        raise RuntimeError(f"{count} connections need more files than the {hard} that the system allows")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + SPARE), hard))


def measures(options: Options, pid: int, address: str, key: str, row: Generation, head: str) -> Iterator[Measure]:
    """`head` is a request whose answer are the events of `row`, which is at work and about which nothing is said."""
    count = 300 if options.small else CONNECTIONS
    alone, _failed = _calls(address, key)
    before, begun, opened = rss_mb(pid), time.perf_counter(), Opened()
    with ThreadPoolExecutor(OPENERS) as openers:
        list(openers.map(lambda _at: opened.ask(address, head), range(count)))
    seconds = time.perf_counter() - begun
    taken, failed = _calls(address, key)
    grown, lost = rss_mb(pid) - before, sum(_is_closed(each) for each in opened.heard)
    for each in opened.heard:
        each.close()
    room = min(count, settings.MOST_LISTENERS)
    told = f"of {count} that asked within {seconds:.0f} s; {opened.told_to_wait} were told to wait"
    yield Measure("listeners at once", len(opened.heard), "", at_least=room, at_most=room + OPENERS, detail=told)
    yield Measure("listeners that were let go", lost, "", at_most=0)
    strange = len(opened.others)
    yield Measure(
        "other answers to listeners", strange, "", at_most=0, detail="; ".join(sorted(set(opened.others))[:3])
    )
    yield Measure("calls beside them that failed", failed, "", at_most=0, detail=f"of {len(taken)}")
    told = (
        f"median {_ms(taken, 0.5):.0f} ms; before they came {_ms(alone, 0.95):.0f} ms, median {_ms(alone, 0.5):.0f} ms"
    )
    yield Measure("calls beside them, p95", _ms(taken, 0.95), "ms", at_most=CALL_LIMIT_MS, detail=told)
    yield Measure("growth of the web process", grown, "MB", detail=f"from {before:.0f} MB")
    yield from _deaf(options, pid, address, key, row, head)


def _deaf(options: Options, pid: int, address: str, key: str, row: Generation, head: str) -> Iterator[Measure]:
    """Listeners who never read while a long answer is told; what is told stays in Redis, not in the web process."""
    pieces = PIECES // (10 if options.small else 1)
    opened = Opened()
    for _each in range(DEAF):
        opened.ask(address, head)
    before = rss_mb(pid)
    with ThreadPoolExecutor(1) as beside:
        calls = beside.submit(_calls, address, key)
        most = max(before, _tell(row, pieces, pid))
        taken, failed = calls.result()
    most = max(most, rss_mb(pid))
    for each in opened.heard:
        each.close()
    told = f"{len(opened.heard)} listeners, {pieces * PIECE_CHARACTERS / 1e6:.0f} MB told to each, from {before:.0f} MB"
    yield Measure(
        "growth of the web process beside listeners who do not read",
        most - before,
        "MB",
        at_most=DEAF_LIMIT_MB,
        detail=told,
    )
    detail = f"median {_ms(taken, 0.5):.0f} ms, {failed} failed"
    yield Measure("calls beside them, p95", _ms(taken, 0.95), "ms", at_most=CALL_LIMIT_MS, detail=detail)


def _tell(row: Generation, pieces: int, pid: int) -> float:
    """Tell so many pieces of an answer at an even pace; the most memory the web process had meanwhile, in MB."""
    teller, text, most = Teller(), "x" * PIECE_CHARACTERS, 0.0
    for at in range(0, pieces, AT_ONCE):
        events = [
            {
                "id": f"1.{number + 1}",
                "answer": 0,
                "begin": number * len(text),
                "text": text,
                "tokens": number + 1,
                "finish": None,
            }
            for number in range(at, at + AT_ONCE)
        ]
        teller.tell([(f"generation:{row.pk}", event) for event in events])
        most = max(most, rss_mb(pid))
        time.sleep(PAUSE_SECONDS)
    teller.close()
    return most


def _is_closed(connection: socket.socket) -> bool:
    """Whether the server let go of it; what it said meanwhile is read over."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _calls(address: str, key: str) -> tuple[list[float], int]:
    """(seconds of each call, how many failed)"""
    place = urlsplit(address)

    def caller(_number: int) -> tuple[list[float], int]:
        taken, failed = [], 0
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        for _each in range(CALLS):
            begun = time.perf_counter()
            line.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            answer = line.getresponse()
            answer.read()
            failed += answer.status != 200
            taken.append(time.perf_counter() - begun)
        line.close()
        return taken, failed

    with ThreadPoolExecutor(CALLERS) as callers:
        found = list(callers.map(caller, range(CALLERS)))
    return [seconds for each, _failed in found for seconds in each], sum(failed for _each, failed in found)


def _ms(seconds: list[float], share: float) -> float:
    """A quantile, in milliseconds."""
    return 1000 * quantile(seconds, share)

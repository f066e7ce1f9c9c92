"""Answers over HTTP: the time to a first token beside the engine's own, what many callers get, and idle listeners."""

import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from apps.accounts.services import create_api_key
from apps.inference import services
from apps.inference.models import Generation
from apps.registry.models import ModelVersion
from apps.registry.selectors import version_folder
from core.access import Actor
from engine.bench.generation import VOCABULARY
from engine.specs.sampling import Sampling
from workers.bench import connections, kills, online, switch
from workers.bench.measure import Measure, Options, quantile
from workers.bench.models import bench_version
from workers.bench.tenant import own_workspace
from workers.bench.web import busy_seconds, log_in, rss_mb, serving

PARTS = ("engine", "http", "online", "idle", "connections", "kills", "switch")
PROMPT_TOKENS, NEW_TOKENS = 100, 64
BY_OPENVINO = ("openvino", "openvino int8")
SHARED_TOKENS = 300
WAVES = 6  # requests of each caller
GOOD_FIRST_SECONDS, GOOD_PER_TOKEN_SECONDS = 1.0, 0.1
LISTENERS, CALLS_PER_SECOND, CALL_SECONDS = 200, 50, 20


@dataclass(frozen=True)
class Heard:
    """One answer as its caller heard it, in seconds."""

    first: float
    whole: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Seconds a token behind the first."""
        return (self.whole - self.first) / max(1, self.tokens - 1)


def measures(options: Options) -> Iterator[Measure]:
    """The chosen parts, or all."""
    chosen = options.only or PARTS
    if "engine" in chosen:
        yield from _engine(options)
    if "kills" in chosen:
        yield from kills.measures(options)
    if "switch" in chosen:
        yield from _switch(options)
    if set(chosen) <= {"engine", "kills", "switch"}:
        return
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        version = bench_version(actor, Path(place))
        key = create_api_key(actor=actor, name="bench", scopes=sorted(actor.permissions))[1]
        if "connections" in chosen:
            connections.more_files(connections.CONNECTIONS)
        with serving(LINGXI_API_RATE_PER_MINUTE="1000000") as (web, address):
            if "http" in chosen:
                with _generation():
                    yield from _http(options, version, address, key)
            if "online" in chosen:
                yield from online.measures(options, actor, Path(place), address, key)
            if "idle" in chosen:
                yield from _idle(options, actor, version, web.pid, address, key)
            if "connections" in chosen:
                with _silent(actor, version) as row:
                    head = _head(address, log_in(actor), _events_of(actor, row))
                    yield from connections.measures(options, web.pid, address, key, row, head)


def _switch(options: Options) -> Iterator[Measure]:
    """Many requests while aliases move, each caller with a key of its own."""
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        scopes = sorted(actor.permissions)
        keys = [create_api_key(actor=actor, name=f"bench {at}", scopes=scopes)[1] for at in range(switch.CALLERS)]
        with serving() as (_web, address), _generation():
            yield from switch.measures(actor, address, keys, Path(place), small=options.small)


def _engine(options: Options) -> Iterator[Measure]:
    """Our back ends beside transformers' static and continuous batches, at 1, 8 and 32 at once, then under one prompt."""
    by_openvino = {(name, count): bound for name in BY_OPENVINO for count, bound in ((1, 2.0), (8, 2.2), (32, 2.2))}
    yield from _rows(options, {**by_openvino, ("torch", 8): 1.3, ("torch", 32): 1.6})
    shared = ("--shared", str(SHARED_TOKENS), "--at-once", "8")
    bounds = dict.fromkeys(((name, 8) for name in BY_OPENVINO), 3.0)
    yield from _rows(options, bounds, *shared, told=f" under a prompt of {SHARED_TOKENS} tokens")


def _rows(options: Options, wanted: dict[tuple[str, int], float], *more: str, told: str = "") -> Iterator[Measure]:
    rounds = "1" if options.small else "5"
    command = [sys.executable, "-m", "engine.bench.generation", "--json", "--rounds", rounds, *more]
    command += ["--threads", str(options.spec.get("threads", 2))]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=settings.ROOT / "platform")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for row in rows:
        name, count = row["contender"], row["at_once"]
        detail = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("contender", "at_once"))
        bound = wanted.get((name, count))
        if bound is None:
            yield Measure(f"{name}, {count} at once{told}", row["tokens_per_second"], "tokens/s", detail=detail)
            continue
        ratios = [row["times_static"]] + ([row["times_continuous"]] if name in BY_OPENVINO else [])
        yield Measure(
            f"{name}, {count} at once{told}, times transformers", min(ratios), "x", at_least=bound, detail=detail
        )
        if name in BY_OPENVINO and count == 8 and not told:
            share = row["first_token_of_static"]
            yield Measure(f"{name}, first token, 8 at once, of the static batch's", share, "x", at_most=0.6)


def _http(options: Options, version: ModelVersion, address: str, key: str) -> Iterator[Measure]:
    """8 callers who ask again as soon as they were answered; then 1, 8 and 32 as a report."""
    waves = 2 if options.small else WAVES
    ask = _caller(address, key, f"{version.family.name}:{version.number}")
    _crowd(ask, 8, 1)  # loads, converts and warms
    over_http = _crowd(ask, 8, waves)
    inside = _inside(version, 8, waves)
    own = quantile([heard.first for heard in inside], 0.95)
    through = quantile([heard.first for heard in over_http], 0.95)
    detail = f"{1000 * through:.0f} ms against {1000 * own:.0f} ms, {len(over_http)} answers each, {PROMPT_TOKENS} + {NEW_TOKENS} tokens"
    yield Measure(
        "first token p95 over HTTP, 8 at once, of the engine's own", through / own, "x", at_most=1.5, detail=detail
    )
    for count in (1, 8, 32):
        begun = time.perf_counter()
        found = _crowd(ask, count, max(2, waves // 2))
        seconds = time.perf_counter() - begun
        good = sum(one.first <= GOOD_FIRST_SECONDS and one.per_token <= GOOD_PER_TOKEN_SECONDS for one in found)
        firsts, steps = [one.first * 1000 for one in found], [one.per_token * 1000 for one in found]
        told = f"{len(found)} answers, TTFT {_spread(firsts)}, TPOT {_spread(steps)}"
        told += f", goodput {good / seconds:.2f} answers/s (TTFT <= {GOOD_FIRST_SECONDS:g} s, TPOT <= {GOOD_PER_TOKEN_SECONDS * 1000:g} ms)"
        yield Measure(
            f"over HTTP, {count} at once", sum(one.tokens for one in found) / seconds, "tokens/s", detail=told
        )


def _idle(options: Options, actor: Actor, version: ModelVersion, pid: int, address: str, key: str) -> Iterator[Measure]:
    """Listeners to whom nothing is said, while the API is called."""
    count, seconds = (20, 4) if options.small else (LISTENERS, CALL_SECONDS)
    with _silent(actor, version) as row:
        head = _head(address, log_in(actor), _events_of(actor, row))
        _calls(address, key, 2)
        before, busy = rss_mb(pid), busy_seconds(pid)
        listeners = [_listen(address, head) for _ in range(count)]
        taken = _calls(address, key, seconds)
        growth, busy = rss_mb(pid) - before, busy_seconds(pid) - busy
        for each in listeners:
            each.close()
    told = f"{count} listeners, {len(taken)} calls in {seconds} s, median {1000 * quantile(taken, 0.5):.0f} ms"
    yield Measure("API beside idle listeners, p95", 1000 * quantile(taken, 0.95), "ms", at_most=100, detail=told)
    yield Measure(
        "processor time of the web process, by call", 1000 * busy / len(taken), "ms", detail="listeners included"
    )
    yield Measure("growth of the web process", growth, "MB", at_most=50, detail=f"from {before:.0f} MB")


@contextmanager
def _silent(actor: Actor, version: ModelVersion) -> Iterator[Generation]:
    """A request that somebody seems to be at work on, about which nothing is said."""
    row = services.generate_texts(
        actor=actor, version=version, reference="bench", prompts=["x"], sampling=Sampling(max_tokens=1)
    )
    Generation.objects.filter(pk=row.pk).update(state="running", token=1, lease_expires_at="2999-01-01T00:00:00Z")
    yield row
    Generation.objects.filter(pk=row.pk).delete()


def _events_of(actor: Actor, row: Generation) -> str:
    return f"/w/{actor.workspace.slug}/predictions/playground/{row.pk}/events"


def _head(address: str, cookies: str, path: str) -> str:
    """The head of a request to a page."""
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(address).netloc}\r\nCookie: {cookies}\r\n\r\n"


@contextmanager
def _generation() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, str(settings.ROOT / "manage.py"), "generation"], env=os.environ.copy())
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _prompt(draw: random.Random) -> list[int]:
    return [draw.randrange(2, VOCABULARY) for _ in range(PROMPT_TOKENS)]


def _caller(address: str, key: str, model: str) -> Callable[[random.Random], Heard]:
    """One streamed completion, timed from the request on."""
    place = urlsplit(address)

    def ask(draw: random.Random) -> Heard:
        body = {"model": model, "prompt": _prompt(draw), "max_tokens": NEW_TOKENS, "ignore_eos": True, "temperature": 0}
        begun, first, tokens = time.perf_counter(), 0.0, 0
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=300)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        line.request(
            "POST",
            "/v1/completions",
            json.dumps({**body, "stream": True, "stream_options": {"include_usage": True}}),
            headers,
        )
        answer = line.getresponse()
        if answer.status != 200:
            raise RuntimeError(answer.read().decode())
        for raw in answer:
            if not raw.startswith(b"data: {"):
                continue
            event = json.loads(raw[6:])
            if event["choices"] and event["choices"][0]["text"] and not first:
                first = time.perf_counter() - begun
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
        whole = time.perf_counter() - begun
        line.close()
        return Heard(first, whole, tokens)

    return ask


def _crowd(ask: Callable[[random.Random], Heard], count: int, waves: int) -> list[Heard]:
    """So many callers, each asking again as soon as it was answered."""

    def caller(number: int) -> list[Heard]:
        draw = random.Random(number)  # noqa: S311 - prompts, not secrets
        return [ask(draw) for _ in range(waves)]

    with ThreadPoolExecutor(count) as callers:
        return [heard for each in callers.map(caller, range(count)) for heard in each]


def _inside(version: ModelVersion, count: int, waves: int) -> list[Heard]:
    """The same crowd at the engine itself, in this process."""
    from engine.generate.opening import open_writer
    from engine.threads import use_threads

    use_threads(settings.INFER_THREADS)
    graphs = settings.HOME / "cache" / "openvino" if settings.GENERATION_ENGINE == "auto" else None
    writer = open_writer(version_folder(version), graphs=graphs, content_hash=version.content_hash)
    draws = [random.Random(number) for number in range(count)]  # noqa: S311
    left = dict.fromkeys(range(count), waves)
    begun: dict[str, float] = {}
    first: dict[str, float] = {}
    found: list[Heard] = []

    def ask(number: int) -> None:
        left[number] -= 1
        key = f"{number}.{left[number]}"
        sampling = Sampling(max_tokens=NEW_TOKENS, temperature=0, ignore_end=True)
        begun[key] = time.perf_counter()
        writer.backend.add(writer.request(key, _prompt(draws[number]), sampling, tenant="bench"))

    for number in left:
        ask(number)
    while writer.is_busy:
        for delta in writer.backend.step():
            now = time.perf_counter()
            if delta.text:
                first.setdefault(delta.key, now)
            if delta.finish is not None:
                start = begun[delta.key]
                found.append(Heard(first[delta.key] - start, now - start, NEW_TOKENS))
                number = int(delta.key.split(".")[0])
                if left[number]:
                    ask(number)
    return found


def _listen(address: str, head: str) -> socket.socket:
    place = urlsplit(address)
    made = socket.create_connection((place.hostname or "", place.port or 80), timeout=30)
    made.sendall(head.encode())
    if b" 200 " not in made.recv(4096):
        raise RuntimeError("the events of an answer are not streamed")
    return made


def _calls(address: str, key: str, seconds: float) -> list[float]:
    """Small calls at an even pace over a few connections; their times."""
    place, connections = urlsplit(address), 5
    until = time.perf_counter() + seconds

    def caller(number: int) -> list[float]:
        taken = []
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        due = time.perf_counter() + number / CALLS_PER_SECOND
        while due < until:
            time.sleep(max(0.0, due - time.perf_counter()))
            begun = time.perf_counter()
            line.request("GET", "/v1/models", headers={"Authorization": f"Bearer {key}"})
            line.getresponse().read()
            taken.append(time.perf_counter() - begun)
            due += connections / CALLS_PER_SECOND
        line.close()
        return taken

    with ThreadPoolExecutor(connections) as callers:
        return [each for found in callers.map(caller, range(connections)) for each in found]


def _spread(values: Sequence[float]) -> str:
    quantiles = " ".join(f"p{round(100 * share)} {quantile(values, share):.0f}" for share in (0.5, 0.95, 0.99))
    return f"mean {statistics.mean(values):.0f} {quantiles} ms"

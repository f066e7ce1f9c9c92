"""Single requests for labels over HTTP: what callers get whose requests are read together, and what they get one by one."""

import http.client
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from apps.registry.models import ModelVersion
from apps.registry.services import register_version
from core.access import Actor
from engine.bench.encoders import made_rows, make_model, mixed_texts
from workers.bench.measure import Measure, Options

CALLERS = (1, 8, 32)
SECONDS = 8.0
ALONE = "from apps.inference.services import claiming; claiming.MOST_TOGETHER = 1; "
ROLE = "import django; django.setup(); {how}from django.core.management import call_command; call_command('generation')"


def measures(options: Options, actor: Actor, place: Path, address: str, key: str) -> Iterator[Measure]:
    """Requests a second, and how long one takes, at 1, 8 and 32 callers who ask again as soon as they were answered."""
    version = labels_version(actor, place)
    seconds = SECONDS / 4 if options.small else SECONDS
    rates: dict[int, list[float]] = {count: [] for count in CALLERS}
    for name, how in (("one by one", ALONE), ("read together", "")):
        with _role(how):
            _crowd(address, key, version, 1, seconds / 4)  # loads
            for count in CALLERS:
                taken = sorted(_crowd(address, key, version, count, seconds))
                middle, high = taken[len(taken) // 2], taken[int(0.95 * len(taken))]
                rates[count].append(len(taken) / seconds)
                told = f"p50 {1000 * middle:.0f} ms, p95 {1000 * high:.0f} ms, {len(taken)} requests"
                yield Measure(f"labels over HTTP, {name}, {count} callers", rates[count][-1], "requests/s", detail=told)
    for count, (alone, together) in rates.items():
        yield Measure(f"read together, {count} callers, times one by one", together / alone, "x")


def labels_version(actor: Actor, place: Path) -> ModelVersion:
    """A classifier of the bench's made texts."""
    folder = make_model(place / "labels", made_rows(90, 17), 17)
    return register_version(
        workspace=actor.workspace, folder=folder, name="labels", recipe="classify", task="classification", by=actor.user
    )


@contextmanager
def _role(how: str) -> Iterator[None]:
    paths = os.pathsep.join((str(settings.ROOT / "platform"), str(settings.ROOT)))
    process = subprocess.Popen([sys.executable, "-c", ROLE.format(how=how)], env={**os.environ, "PYTHONPATH": paths})
    try:
        yield
    finally:
        process.terminate()
        process.wait(120)


def _crowd(address: str, key: str, version: ModelVersion, count: int, seconds: float) -> list[float]:
    """How long each request took, in seconds."""
    place = urlsplit(address)
    texts = mixed_texts(200, 17)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    until = time.perf_counter() + seconds

    def caller(number: int) -> list[float]:
        draw = random.Random(number)  # noqa: S311 - texts, not secrets
        taken: list[float] = []
        line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=300)
        while not taken or time.perf_counter() < until:
            body = {"model": version.family.name, "input": draw.choice(texts)}
            begun = time.perf_counter()
            line.request("POST", "/v1/classify", json.dumps(body), headers)
            answer = line.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise RuntimeError(said.decode())
            taken.append(time.perf_counter() - begun)
        line.close()
        return taken

    with ThreadPoolExecutor(count) as callers:
        return [each for found in callers.map(caller, range(count)) for each in found]

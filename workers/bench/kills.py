"""kill -9 of the worker of batches and of the role that writes, again and again: each request of a batch has one result."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.datasets import services as datasets
from apps.datasets.models import ApiFile
from apps.inference import services
from apps.inference.models import ApiBatch, Generation, Prediction
from apps.registry.models import ModelVersion
from core.access import Actor
from core.jobs import services as jobs
from core.jobs.states import ENDED
from core.storage import home
from workers.bench.measure import Measure, Options
from workers.bench.models import bench_version
from workers.bench.tenant import own_workspace

LEASES = {
    "LINGXI_JOB_LEASE_SECONDS": "3",
    "LINGXI_JOB_BEAT_SECONDS": "1",
    "LINGXI_GENERATION_LEASE_SECONDS": "2",
    "OMP_NUM_THREADS": "1",
}
ROLES = {
    "batch worker": ["-m", "celery", "-A", "config.celery", "worker", "-Q", "io", "-P", "solo", "-l", "WARNING"],
    "generation role": [str(settings.ROOT / "manage.py"), "generation"],
}
LOOK_SECONDS, SWEEP_SECONDS = 0.02, 0.5
SEED = 17
PREDICTION_KILLS = 4


@dataclass
class Survived:
    """What was killed and what came out."""

    killed: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)  # custom_id -> lines in both files
    answered: int = 0
    begun: int = 0  # answers that were asked for

    @property
    def not_once(self) -> list[str]:
        """Requests with no result or several."""
        return [name for name, count in self.results.items() if count != 1]


def measures(options: Options) -> Iterator[Measure]:
    """20 kills over some hundred requests, and four over the rows of a prediction."""
    count, kills = (40, 3) if options.small else (400, 20)
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        version = bench_version(actor, Path(place))
        batch = batch_of(actor, version, count, max_tokens=16)
        begun = time.monotonic()
        found = survive(batch, kills=kills, seed=SEED, surroundings=os.environ)
        told = ", ".join(f"{name} {times} times" for name, times in sorted(found.killed.items()))
        told += f"; {count} requests, {found.answered} answered, {found.begun} asked of the role, "
        told += f"{time.monotonic() - begun:.0f} s, seed {SEED}"
        wrong = len(found.not_once) + abs(count - len(found.results))
        yield Measure("requests without exactly one result", wrong, "", at_most=0, detail=told)
        yield Measure("requests with an answer", found.answered, "", at_least=count)
        yield predicted(actor, version, count)


def predicted(actor: Actor, version: ModelVersion, count: int) -> Measure:
    """Rows of a batch prediction that are not stored exactly once, in their order; a job has three attempts."""
    items = [{"id": f"r{at}", "text": f"card {at}"} for at in range(count)]
    made = services.predict_texts(actor=actor, version=version, items=items, max_new_tokens=16)
    begun = time.monotonic()

    def stand() -> Stand:
        made.refresh_from_db()
        return Stand(made.stored_count, made.job.attempts.exists(), made.job.state in ENDED)

    killed = kill_at_work(stand, count, kills=PREDICTION_KILLS, seed=SEED, surroundings=os.environ)
    rows = Prediction.objects.filter(batch_job=made).order_by("position").values_list("custom_id", flat=True)
    wrong = sum(one != other for one, other in zip_longest(rows, (f"r{at}" for at in range(count))))
    told = ", ".join(f"{name} {times} times" for name, times in sorted(killed.items()))
    told += f"; {count} rows, job {made.job.state}, {time.monotonic() - begun:.0f} s, seed {SEED}"
    return Measure("rows of a prediction that are not stored once", wrong, "", at_most=0, detail=told)


def batch_of(actor: Actor, version: ModelVersion, count: int, **body: Any) -> ApiBatch:
    """A batch of `count` completions."""
    name = f"{version.family.name}:{version.number}"
    asked = {"model": name, "temperature": 0, "ignore_eos": True, **body}
    lines = [
        {
            "custom_id": f"r{at}",
            "method": "POST",
            "url": "/v1/completions",
            "body": {**asked, "prompt": [2 + (at * 7 + place) % 90 for place in range(20)]},
        }
        for at in range(count)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    upload = SimpleUploadedFile("kills.jsonl", content)
    file = datasets.receive_file(actor=actor, upload=upload, purpose="batch")
    return services.create_batch(actor=actor, endpoint="/v1/completions", queue="io", file=file)


def survive(batch: ApiBatch, *, kills: int, seed: int, surroundings: Mapping[str, str]) -> Survived:
    """Let real processes work on the batch, and kill them; what became of its requests."""
    count = int((home() / ApiFile.objects.get(pk=batch.input_file).path).read_bytes().count(b"\n"))

    def stand() -> Stand:
        batch.refresh_from_db()
        return Stand(batch.done_count, batch.job.attempts.exists(), batch.ended)

    found = Survived(kill_at_work(stand, count, kills=kills, seed=seed, surroundings=surroundings))
    found.results.update(dict.fromkeys((f"r{at}" for at in range(count)), 0))
    for file in (batch.output_file, batch.error_file):
        for line in _lines(file):
            found.results[line["custom_id"]] += 1
            found.answered += line["response"] is not None and line["response"]["status_code"] == 200
    found.begun = Generation.objects.filter(model_version=batch.model_version).count()
    return found


@dataclass(frozen=True)
class Stand:
    """How far something is."""

    done: int
    has_begun: bool
    has_ended: bool


def kill_at_work(
    stand: Callable[[], Stand], count: int, *, kills: int, seed: int, surroundings: Mapping[str, str]
) -> Counter[str]:
    """Let real processes work until the end; one of them is killed whenever a drawn share of `count` is done.

    What runs is swept as beat would have it swept, a little more often. Returns who was killed how often.
    """
    draw, killed = random.Random(seed), Counter[str]()  # noqa: S311 - moments, not secrets
    moments = sorted(draw.randrange(count // 2) for _ in range(kills))
    victims = [list(ROLES)[at % len(ROLES)] for at in range(kills)]
    draw.shuffle(victims)
    with ExitStack() as stack:
        running = {name: stack.enter_context(_process(name, surroundings)) for name in ROLES}
        while not (now := _looked(stand)).has_ended:
            if dead := [name for name, process in running.items() if process.poll() is not None]:
                raise RuntimeError(f"ended by itself: {dead}")
            while moments and now.has_begun and not now.has_ended and now.done >= moments[0]:
                time.sleep(draw.random() * SWEEP_SECONDS)
                moments.pop(0)
                name = victims.pop()
                os.kill(running[name].pid, signal.SIGKILL)
                running[name].wait()
                killed[name] += 1
                running[name] = stack.enter_context(_process(name, surroundings))
                now = stand()
    return killed


def _looked(stand: Callable[[], Stand]) -> Stand:
    """Sweep, then wait a moment for something to have happened."""
    jobs.sweep()
    services.mend_batches()
    services.mend_rows()
    before, until = stand().done, time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        now = stand()
        if now.has_ended or now.done != before:
            break
    return stand()


@contextmanager
def _process(name: str, surroundings: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *ROLES[name]], env={**surroundings, **LEASES}, cwd=settings.ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _lines(file: ApiFile | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    return [json.loads(line) for line in (home() / file.path).read_text(encoding="utf-8").splitlines()]

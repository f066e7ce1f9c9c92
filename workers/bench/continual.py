"""Four tasks learnt one after the other: replay and an adapter for each task against what plain fine-tuning forgets."""

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import mean
from typing import Any

from django.conf import settings

from workers.bench.measure import Measure, Options

MOST_OF_NAIVE = 0.5  # of its forgetting
BOUND = ("replay", "adapter_per_task")


def measures(options: Options) -> Iterator[Measure]:
    """The matrix of each seed and way as soon as it is known, then the means over the seeds."""
    if options.data is None or not options.data.is_dir():
        raise FileNotFoundError(
            "Name a folder with banking77, tweeteval, clinc150 and financial_phrasebank: --data FOLDER"
        )
    seeds = options.seeds[: 1 if options.small else None]
    command = [sys.executable, "-m", "engine.bench.continual", "--data", str(options.data)]
    command += ["--threads", str(settings.TRAIN_THREADS), "--spec", json.dumps(dict(options.spec))]
    command += ["--seeds", *map(str, seeds), *(["--ways", *options.only] if options.only else [])]
    forgotten: dict[str, list[float]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            found = json.loads(line)
            forgotten.setdefault(found["way"], []).append(found["forgetting"])
            yield from _told(found)
    if child.returncode:
        raise RuntimeError(f"the bench ended with {child.returncode}")
    for name, values in forgotten.items():
        said = ", ".join(f"{value:.3f}" for value in values)
        yield Measure(f"all seeds, {name}: forgetting", mean(values), "", detail=said)
    for name in BOUND:
        if name in forgotten and "naive" in forgotten:
            share = mean(forgotten[name]) / mean(forgotten["naive"])
            yield Measure(f"forgetting of {name}, times naive", share, "x", at_most=MOST_OF_NAIVE)


def _told(found: dict[str, Any]) -> Iterator[Measure]:
    name = f"seed {found['seed']}, {found['way']}"
    rows = "; ".join(" ".join("–" if value is None else f"{value:.3f}" for value in row) for row in found["matrix"])
    specs = ", ".join(digest[:12] for digest in found["spec_hashes"])
    yield Measure(f"{name}: ACC", found["acc"], "", detail=f"R {rows}; specs {specs}; {found['seconds']:.0f} s")
    yield Measure(f"{name}: BWT", found["bwt"], "")
    yield Measure(f"{name}: forgetting", found["forgetting"], "", detail=f"largest {found['most_forgotten']:.3f}")
    if "routed_acc" in found:
        detail = f"task found for {found['router_accuracy']:.1%} of the texts"
        yield Measure(f"{name}: ACC by nearest task", found["routed_acc"], "", detail=detail)

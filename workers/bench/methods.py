"""One small GPT tuned by each method: share of weights, steps to a loss that all reach, final loss, bytes, parity."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean, stdev
from typing import Any

from django.conf import settings

from workers.bench.measure import Measure, Options

SMALL_BASE = {"layers": 2, "width": 32, "heads": 2, "epochs": 1}


def measures(options: Options) -> Iterator[Measure]:
    """Every run as soon as it is known, then a row for each method."""
    if options.data is None or not options.data.is_file():
        raise FileNotFoundError(
            "Name a play as plain text, blocks of a name with a colon and what is said: --data FILE"
        )
    command = [sys.executable, "-m", "engine.bench.methods", "--data", str(options.data)]
    command += ["--threads", str(settings.TRAIN_THREADS), "--spec", json.dumps(dict(options.spec))]
    command += ["--seeds", *map(str, options.seeds[: 1 if options.small else None])]
    command += ["--base", json.dumps(SMALL_BASE if options.small else {})]
    command += ["--methods", *options.only] if options.only else []
    runs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            found = json.loads(line)
            runs[found["method"]].append(found)
            losses = " ".join(f"{loss:.3f}" for _, loss in found["dev"])
            name = f"{found['method']}, seed {found['seed']}: lowest dev loss"
            detail = f"by epoch {losses}; spec {found['spec_hash'][:12]}, {found['seconds']:.0f} s"
            yield Measure(name, lowest(found), "nats", detail=detail)
    if child.returncode:
        raise RuntimeError(f"the bench ended with {child.returncode}")
    target = max(lowest(found) for several in runs.values() for found in several)
    for method, several in runs.items():
        yield from _row(method, several, target)


def lowest(found: dict[str, Any]) -> float:
    """The dev loss of the weights that are kept."""
    return float(min(loss for _, loss in found["dev"]))


def steps_to(found: dict[str, Any], target: float) -> int:
    """The first measured step at which dev loss is not above the target."""
    return int(next(step for step, loss in found["dev"] if loss <= target))


def _row(method: str, runs: list[dict[str, Any]], target: float) -> Iterator[Measure]:
    first, losses = runs[0], [lowest(found) for found in runs]
    spread = stdev(losses) if len(losses) > 1 else 0.0
    share = first["trainable"] / first["parameters"]
    yield Measure(f"{method}: trainable share", share * 100, "%", detail=f"{first['trainable']:,} parameters")
    steps = [steps_to(found, target) for found in runs]
    yield Measure(f"{method}: steps to dev loss {target:.3f}", mean(steps), "", detail=", ".join(map(str, steps)))
    yield Measure(
        f"{method}: final dev loss", mean(losses), "nats", detail=f"deviation {spread:.4f} of {len(runs)} seeds"
    )
    yield Measure(f"{method}: bytes", first["bytes"], "")
    told = [parity for found in runs for parity in found["parities"].values()]
    worst = max(told, key=lambda parity: parity["max_logit_difference"])
    passed = "all pass" if all(parity["passed"] for parity in told) else "NOT all pass"
    detail = f"{worst['max_logit_difference']:.1e}, exports {' and '.join(first['parities'])}, {passed}"
    name = f"{method}: largest difference of a logit"
    yield Measure(name, worst["max_logit_difference"], "", at_most=worst["tolerance"], detail=detail)

"""Training speed beside other loops, what packing saves, and a character model against a plain loop."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion
from apps.training import services as training
from core.access import Actor
from workers.bench.measure import Measure, Options
from workers.bench.tenant import as_upload, finish, first_owner

PARTS = ("speed", "packing", "characters")
NAME = "Characters, own split"
TOLERANCE = 0.01  # nats over the plain loop
# The published CPU shape and budget of a character model of tiny Shakespeare.
SHAPE = {"shape": "gpt2", "layers": 4, "heads": 4, "width": 128, "context_tokens": 64}
BUDGET = {
    "batch_size": 12,
    "max_tokens": 2000 * 12 * 64,
    "learning_rate": 1e-3,
    "final_learning_rate_share": 0.1,
    "warmup_share": 0.05,
    "beta2": 0.99,
    "weight_decay": 0.1,
    "max_gradient_norm": 1.0,
    "dropout": 0.0,
}


def measures(options: Options) -> Iterator[Measure]:
    """The chosen parts, or all; the character model needs a text."""
    chosen = options.only or (PARTS if options.data else PARTS[:2])
    if "speed" in chosen:
        yield from _speed(options, threads=1, batch=8, wanted=0.98)
        yield from _speed(options, threads=2, batch=16, wanted=1.1)
    if "packing" in chosen:
        yield from _packing(options)
    if "characters" in chosen:
        yield from _characters(options)


def _speed(options: Options, *, threads: int, batch: int, wanted: float) -> Iterator[Measure]:
    rounds = "2" if options.small else "5"
    found = _engine(
        "train", "speed", "--threads", str(threads), "--batch", str(batch), "--rounds", rounds, small=options.small
    )
    speeds = found["tokens_per_second"]
    detail = (
        f"{found['parameters'] / 1e6:.1f} M parameters, {batch} x {found['context']}, {threads} thread(s), {rounds} rounds "
        f"{[round(ratio, 3) for ratio in found['ratios_by_round']]}, product of matrices {found['gemm'] / 1e9:.0f} GF/s, "
        f"{found['share_of_gemm']:.0%} of it"
    )
    yield Measure(f"our loop, times the best other, {threads} thread(s)", found["ratio"], "x", None, wanted, detail)
    for name, value in speeds.items():
        yield Measure(f"{name}, {threads} thread(s)", value, "tokens/s")


def _packing(options: Options) -> Iterator[Measure]:
    found = _engine("train", "packing", "--rounds", "1" if options.small else "3", small=options.small)
    detail = f"{found['rows']} rows, {found['tokens']} tokens, lognormal, mean 58, most 256, {found['threads']} thread"
    yield Measure("packed, times padded to the maximum", found["times_maximum"], "x", None, 3.7, detail)
    yield Measure("packed, times padded to the longest", found["times_dynamic"], "x", None, 1.4)
    for name, value in found["tokens_per_second"].items():
        curve = ", ".join(f"{loss:.4f}" for loss in found["curves"][name])
        yield Measure(name, value, "tokens/s", detail=f"loss by step {curve}")
    yield Measure("largest difference of a loss by step", found["largest_difference"], "", at_most=1e-3)


def _characters(options: Options) -> Iterator[Measure]:
    """The plain loop and one training job per seed, in turns, measured on all of the last tenth."""
    if options.data is None or not options.data.is_file():
        raise FileNotFoundError("Name a text file: --data FILE (its last tenth is held out)")
    text = options.data.read_text(encoding="utf-8")
    text = text[: len(text) // 10] if options.small else text
    cut = len(text) * 9 // 10
    actor = first_owner()
    version = _version(actor, text[:cut], text[cut:])
    differences, seconds = [], []
    for at, seed in enumerate(options.seeds):
        plain = _plain(options, text, seed) if at % 2 == 0 else None
        mine = _ours(actor, version, options, seed)
        plain = plain or _plain(options, text, seed)
        differences.append(mine["loss"] - plain["loss"])
        seconds.append(mine["seconds"] / plain["seconds"])
        detail = (
            f"ours {mine['loss']:.4f} [{mine['low']:.4f}, {mine['high']:.4f}] in {mine['seconds']:.0f} s (job {mine['job']}, "
            f"spec {mine['spec'][:12]}, {mine['steps']} steps, {mine['tokens']:,} tokens, {mine['parameters']:,} parameters); "
            f"plain {plain['loss']:.4f} in {plain['seconds']:.0f} s ({plain['parameters']:,.0f} parameters)"
        )
        yield Measure(f"seed {seed}: held-out loss over the plain loop's", differences[-1], "nats", detail=detail)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    detail = f"{len(text) - cut:,} held-out characters, deviation over seeds {spread:.4f}"
    mean = float(np.mean(differences))
    yield Measure("mean held-out loss over the plain loop's", mean, "nats", at_most=TOLERANCE, detail=detail)
    yield Measure("time, times the plain loop's", float(np.median(seconds)), "x", at_most=1.0)


def _version(actor: Actor, train: str, held_out: str) -> DatasetVersion:
    """Two documents, the second of them the part that is only measured."""
    dataset = datasets.create(actor=actor, name=NAME, kind="corpus", language="en")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        rows = [{"id": split, "text": part, "split": split} for split, part in (("train", train), ("test", held_out))]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        received = datasets.receive(actor=actor, dataset=dataset, upload=as_upload(path, "application/json"))
    started = datasets.start(actor=actor, import_job=received)
    assert started.job is not None
    finish(started.job)
    made = datasets.freeze(actor=actor, dataset=Dataset.objects.get(pk=dataset.pk))
    assert made.job is not None
    finish(made.job)
    return DatasetVersion.objects.get(pk=made.pk)


def _ours(actor: Actor, version: DatasetVersion, options: Options, seed: int) -> dict[str, Any]:
    """One ordinary training job; without dev rows the last weights are kept, as the plain loop keeps them."""
    budget = {**BUDGET, "max_tokens": BUDGET["max_tokens"] // 20} if options.small else BUDGET
    vocabulary = {"vocabulary": "character", "vocabulary_size": 200, "layout": "blocks", "holdout_share": 0}
    spec = {**SHAPE, **budget, **vocabulary, "seed": seed, **options.spec}
    run = training.start(actor=actor, recipe="pretrain", spec=spec, version=version, name=f"Characters, seed {seed}")
    finish(run.job)
    run.refresh_from_db()
    assert run.model_version is not None
    loss = run.model_version.metrics["test"]["headline"]["loss"]
    return {
        "loss": loss["value"],
        "low": loss["low"],
        "high": loss["high"],
        "seconds": run.summary["seconds"],
        "steps": run.summary["steps"],
        "tokens": run.summary["tokens_seen"],
        "parameters": run.model_version.parameter_count,
        "job": run.pk,
        "spec": run.spec_hash,
    }


def _plain(options: Options, text: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text, encoding="utf-8")
        steps = "100" if options.small else "2000"
        return _engine("plain", "--data", str(path), "--seed", str(seed), "--steps", steps)


def _engine(module: str, *words: str, small: bool = False) -> dict[str, Any]:
    """What `python -m engine.bench.MODULE` prints last; torch and its threads stay out of this process."""
    command = [sys.executable, "-m", f"engine.bench.{module}", *words, *(["--small"] if small else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found

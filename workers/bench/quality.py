"""Classifiers through the platform's own jobs against a simple peer on the same rows of a CSV file of texts and labels."""

import csv
import gzip
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from apps.datasets.models import DatasetVersion
from apps.datasets.selectors import version_file
from apps.evaluation.models import ExampleResult
from engine import metrics
from engine.texts import normalised
from workers.bench.measure import Measure, Options
from workers.bench.runs import frozen, learn_and_measure
from workers.bench.tenant import first_owner

HELD_OUT = 2_200 / 9_013  # of each label, where no file to measure on is named
SPLIT_SEED = 7
GAIN, FEW_SHOT_GAIN = 0.8, 1.5  # points over the probe
ROUNDS = 10_000
LABEL_COLUMNS = ("category", "label")
TEXT_COLUMNS = ("text", "sentence", "review")

Labelled = tuple[str, str]  # text, label


def measures(options: Options) -> Iterator[Measure]:
    """For each seed the peer, one training job and one evaluation job; then the mean gain with its interval.

    All rows of `data` are learnt from by the recipe classify, or `shots` texts of each label by the recipe few_shot.
    """
    if options.data is None or not options.data.is_file() or not (options.test is None or options.test.is_file()):
        raise FileNotFoundError("Name CSV files with columns of texts and labels: --data FILE, perhaps --test FILE")
    actor, name = first_owner(), options.data.resolve().parent.name
    rows = read(options.data)
    rows, judged = apart(rows) if options.test is None else (rows, read(options.test))
    measured_on = "own split" if options.test is None else options.test.name.split(".")[0]
    gains, ours = [], []
    for seed in options.seeds[: 1 if options.small else None]:
        drawn = draw(rows, options.shots, seed) if options.shots else rows
        sort = f"{options.shots} a class, seed {seed}, " if options.shots else ""
        data = frozen(actor, f"{name}, {sort}{measured_on}", "classification", records(drawn, judged))
        base = peer_of(options.peer, data)
        floor = {int(number): right for number, right in base["right"].items()}
        recipe = "few_shot" if options.shots else "classify"
        title = f"{name}, {sort}{recipe}, seed {seed}"
        spec = {"holdout_share": 0, **options.spec, "seed": seed}
        found, words = learn_and_measure(actor, data, recipe, spec, title)
        right = dict(ExampleResult.objects.filter(evaluation=found).values_list("example_id", "correct"))
        pairs = np.array([(floor[number], right[number]) for number in sorted(floor)], dtype=bool)
        gains.append(pairs[:, 1].astype(float) - pairs[:, 0])
        ours.append(float(pairs[:, 1].mean()))
        p = metrics.mcnemar(pairs[:, 0], pairs[:, 1])["mid_p"]
        peer = options.peer.replace("_", " ")
        yield Measure(f"{title}: {peer}", base["accuracy"] * 100, "%", detail=base["chosen"])
        low, high = (found.headline["accuracy"][end] * 100 for end in ("low", "high"))
        f1 = found.headline["macro_f1"]
        about = f"[{low:.2f}, {high:.2f}], macro F1 {f1['value']:.4f} [{f1['low']:.4f}, {f1['high']:.4f}], {words}"
        yield Measure(f"{title}: accuracy", ours[-1] * 100, "%", detail=about)
        yield Measure(f"{title}: points over {peer}", gains[-1].mean() * 100, "", detail=f"McNemar mid-p {p:.2g}")
    low, high = interval(np.mean(gains, axis=0))
    detail = f"{len(gains[0])} texts, paired bootstrap over them [{low * 100:.2f}, {high * 100:.2f}]"
    yield Measure("mean accuracy of the seeds", float(np.mean(ours)) * 100, "%")
    yield Measure("mean gain in points", float(np.mean(gains)) * 100, "", at_least=aim(options), detail=detail)


def aim(options: Options) -> float:
    """Points by which the mean must lie above the peer."""
    if options.peer == "naive_bayes":
        return 0.0
    return FEW_SHOT_GAIN if options.shots else GAIN


def read(path: Path) -> list[Labelled]:
    """Texts with their labels; the file may be compressed."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    text, label = (next(one for one in names if one in rows[0]) for names in (TEXT_COLUMNS, LABEL_COLUMNS))
    return [(row[text], row[label]) for row in rows]


def apart(rows: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Rows to learn from and rows to measure on: of each label the same share, drawn by a fixed seed."""
    of_label: dict[str, list[int]] = defaultdict(list)
    for at, (_, label) in enumerate(rows):
        of_label[label].append(at)
    dice = random.Random(SPLIT_SEED)  # noqa: S311 - a repeatable split, no secret
    out: set[int] = set()
    for label in sorted(of_label):
        out |= set(dice.sample(of_label[label], round(len(of_label[label]) * HELD_OUT)))
    return [one for at, one in enumerate(rows) if at not in out], [rows[at] for at in sorted(out)]


def draw(rows: Sequence[Labelled], shots: int, seed: int) -> list[Labelled]:
    """So many different texts of each label, by the seed."""
    dice = random.Random(seed)  # noqa: S311 - a repeatable draw, no secret
    of_label: dict[str, dict[str, str]] = defaultdict(dict)
    for text, label in rows:
        of_label[label].setdefault(normalised(text), text)
    return [
        (text, label)
        for label in sorted(of_label)
        for text in dice.sample(list(of_label[label].values()), min(shots, len(of_label[label])))
    ]


def records(drawn: Sequence[Labelled], judged: Sequence[Labelled]) -> Iterator[dict[str, object]]:
    """The rows of a dataset: what is learnt from, and what is judged on without texts that are also learnt from."""
    seen = {normalised(text) for text, _ in drawn}
    kept = [one for one in judged if normalised(one[0]) not in seen]
    for split, rows in (("train", drawn), ("test", kept)):
        for number, (text, label) in enumerate(rows):
            yield {"id": f"{split}-{number}", "text": text, "label": label, "split": split}


def peer_of(peer: str, version: DatasetVersion) -> dict[str, Any]:
    """What engine.bench.probe or .naive_bayes finds on a frozen version: accuracy on test and which rows are right."""
    command = [sys.executable, "-m", f"engine.bench.{peer}", "--data", str(version_file(version))]
    threads = ["--threads", str(settings.TRAIN_THREADS)]
    found: dict[str, Any] = json.loads(subprocess.run([*command, *threads], stdout=subprocess.PIPE, check=True).stdout)
    return found


def interval(differences: Any) -> tuple[float, float]:
    """Percentile bootstrap over rows of a mean difference [N]."""
    dice = np.random.default_rng(SPLIT_SEED)
    means = [dice.choice(differences, len(differences)).mean() for _ in range(ROUNDS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)

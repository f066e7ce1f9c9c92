"""Fine-tuning through the platform's own jobs against a linear probe, on held-out rows of BANKING77's training file."""

import csv
import json
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion
from apps.datasets.selectors import version_file
from apps.evaluation import services as evaluation
from apps.evaluation.models import ExampleResult
from apps.training import services as training
from core.access import Actor
from core.jobs.models import Job
from engine import metrics
from engine.texts import normalised
from workers.bench.measure import Measure, Options
from workers.bench.tenant import as_upload, finish, first_owner

NAME = "BANKING77, own split"
HELD_OUT = 2_200
SPLIT_SEED = 7
GAIN = 0.8  # points over the probe
ROUNDS = 10_000


def measures(options: Options) -> Iterator[Measure]:
    """The probe, then one training job and one evaluation job per seed."""
    if options.data is None or not options.data.is_file():
        raise FileNotFoundError("Name the training file of BANKING77 (columns text and category): --data FILE")
    actor = first_owner()
    version = _version(actor, options.data)
    splits = version.counts["splits"]
    base = probe_of(version)
    yield Measure("linear probe", base["accuracy"] * 100, "%", detail=f"{splits['train']} rows, l2 {base['l2']:g}")
    floor = {int(number): right for number, right in base["right"].items()}
    gains = []
    for seed in options.seeds:
        right, detail = _fine_tune(actor, version, {"holdout_share": 0, **options.spec, "seed": seed})
        pairs = np.array([(floor[number], right[number]) for number in sorted(floor)], dtype=bool)
        gains.append(pairs[:, 1].astype(float) - pairs[:, 0])
        p = metrics.mcnemar(pairs[:, 0], pairs[:, 1])["mid_p"]
        name = f"fine-tuned, seed {seed}: points over the probe"
        yield Measure(name, gains[-1].mean() * 100, "", detail=f"McNemar mid-p {p:.2g}, {detail}")
    low, high = interval(np.mean(gains, axis=0))
    detail = f"{splits['test']} held-out rows, 95 % interval [{low * 100:.2f}, {high * 100:.2f}]"
    yield Measure("mean gain in points", float(np.mean(gains)) * 100, "", at_least=GAIN, detail=detail)


def _version(actor: Actor, source: Path) -> DatasetVersion:
    """The frozen version with our split; made once in an installation."""
    found = DatasetVersion.objects.filter(dataset__workspace=actor.workspace, dataset__name=NAME).first()
    if found is not None:
        return found
    dataset = datasets.create(actor=actor, name=NAME, kind="classification", language="en")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "banking77.csv"
        _write(source, path)
        received = datasets.receive(actor=actor, dataset=dataset, upload=as_upload(path))
    finish(_job(datasets.start(actor=actor, import_job=received).job))
    made = datasets.freeze(actor=actor, dataset=Dataset.objects.get(pk=dataset.pk))
    finish(_job(made.job))
    return DatasetVersion.objects.get(pk=made.pk)


def _write(source: Path, path: Path) -> None:
    """The rows with a split: of each label the same share is held out, no text stands on both sides."""
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    of_label: dict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        of_label[row["category"]].append(at)
    dice = random.Random(SPLIT_SEED)  # noqa: S311 - a repeatable split, no secret
    out: set[int] = set()
    for label in sorted(of_label):
        members = of_label[label]
        out |= set(dice.sample(members, round(len(members) * HELD_OUT / len(rows))))
    seen = {normalised(row["text"]) for at, row in enumerate(rows) if at not in out}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "label", "split"])
        for at, row in enumerate(rows):
            if at not in out or normalised(row["text"]) not in seen:
                writer.writerow([f"row-{at}", row["text"], row["category"], "test" if at in out else "train"])


def probe_of(version: DatasetVersion) -> dict[str, Any]:
    """What engine.bench.probe finds on a frozen version: accuracy on test and which rows are right."""
    command = [sys.executable, "-m", "engine.bench.probe", "--data", str(version_file(version))]
    threads = ["--threads", str(settings.TRAIN_THREADS)]
    found: dict[str, Any] = json.loads(subprocess.run([*command, *threads], stdout=subprocess.PIPE, check=True).stdout)
    return found


def _fine_tune(actor: Actor, version: DatasetVersion, spec: dict[str, Any]) -> tuple[dict[int, bool], str]:
    """({example id: right}, job, spec, figures and time in words) of one run measured on the held-out rows."""
    name = f"BANKING77, seed {spec['seed']}"
    run = training.start(actor=actor, recipe="classify", spec=spec, version=version, name=name, family_name="BANKING77")
    finish(run.job)
    run.refresh_from_db()
    assert run.model_version is not None
    found = evaluation.start_evaluation(actor=actor, model_version=run.model_version, dataset_version=version)
    finish(found.job)
    found.refresh_from_db()
    accuracy = found.metrics["headline"]["accuracy"]
    rows = ExampleResult.objects.filter(evaluation=found).values_list("example_id", "correct")
    detail = (
        f"accuracy {accuracy['value']:.4f} [{accuracy['low']:.4f}, {accuracy['high']:.4f}], training job {run.pk}, "
        f"spec {run.spec_hash[:12]}, {run.summary['seconds'] / 60:.1f} min, {run.threads} thread(s)"
    )
    return dict(rows), detail


def _job(job: Job | None) -> Job:
    assert job is not None
    return job


def interval(differences: Any) -> tuple[float, float]:
    """Percentile bootstrap over rows of a mean difference [N]."""
    dice = np.random.default_rng(SPLIT_SEED)
    means = [dice.choice(differences, len(differences)).mean() for _ in range(ROUNDS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)

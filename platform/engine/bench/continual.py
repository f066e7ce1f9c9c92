"""Four tasks learnt one after the other: what each way of going on forgets; `python -m engine.bench.continual`, JSON lines."""

import argparse
import csv
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from engine.continuing import Earlier
from engine.data import write_whole
from engine.predict import Classifier, encode, forward_all, load_classifier
from engine.recipes import classify
from engine.report import Silent
from engine.specs import BaseModel, ClassifySpec, forgetting, spec_hash
from engine.texts import normalised

TASKS = (  # folder, file to learn from, file that judges, columns of text and label
    ("banking77", "train.csv", "dev.csv", "text", "category"),
    ("tweeteval", "emotion_train.csv", "emotion_dev.csv", "text", "label"),
    ("clinc150", "train.csv", "dev.csv", "text", "intent"),
    ("financial_phrasebank", "train.csv", "dev.csv", "sentence", "label"),
)
LABELS, TRAIN_ROWS, TEST_ROWS, DRAW_SEED = 8, 160, 100, 7
SPEC: Mapping[str, Any] = {"epochs": 4, "batch_size": 16, "max_length_tokens": 48, "holdout_share": 0.0}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "naive": {},
    "replay": {"keep": "replay"},
    "adapter_per_task": {"keep": "adapter_per_task", "method": "lora"},
    "l2_sp": {"keep": "l2_sp"},
    "ewc": {"keep": "ewc"},
}
Row = tuple[str, str]  # text and label


@dataclass(frozen=True)
class Task:
    """The rows of a task, and the file it is learnt from."""

    name: str
    learnt: list[Row]
    judged: list[Row]
    path: Path


def sequence(
    tasks: Sequence[Task], first: Path, seed: int, way: str, options: Mapping[str, Any], place: Path
) -> dict[str, Any]:
    """Learn all tasks but the first, which `first` knows; the matrix and its figures as plain JSON."""
    began = time.monotonic()
    models, names = [first], []
    rows: list[list[float | None]] = [[accuracy(load_classifier(first), tasks[0]), *[None] * (len(tasks) - 1)]]
    for number, task in enumerate(tasks[1:], start=1):
        is_adapter = way == "adapter_per_task"
        base = BaseModel("version", str(number), place=str(first if is_adapter else models[-1]))
        spec = ClassifySpec(base_model=base, **{**SPEC, **WAYS[way], **options, "seed": seed})
        earlier = [Earlier(one.path, one.name) for one in tasks[:number]] if spec.rehearses else []
        made = classify.train(spec, task.path, place / f"{way}-{number}", Silent(), earlier=earlier)
        models.append(Path(made["model"]))
        names.append(spec_hash(spec))
        newest = load_classifier(models[-1])
        known = rows[-1][:number] if is_adapter else [accuracy(newest, one) for one in tasks[:number]]
        rows.append([*known, accuracy(newest, task), *[None] * (len(tasks) - 1 - number)])
    found = {
        "way": way,
        "seed": seed,
        "matrix": rows,
        "spec_hashes": names,
        "seconds": time.monotonic() - began,
        "acc": forgetting.acc(rows).value,
        "bwt": forgetting.bwt(rows).value,
        "forgetting": forgetting.mean_forgetting(rows).value,
        "most_forgotten": forgetting.most_forgotten(rows).value,
    }
    return found | (routed(tasks, models) if way == "adapter_per_task" else {})


def routed(tasks: Sequence[Task], models: Sequence[Path]) -> dict[str, float]:
    """Each text answered by the version of the task whose mean text vector, in the shared base, is nearest."""
    base, versions = load_classifier(models[0]), [load_classifier(path) for path in models]
    means = torch.stack([vectors(base, [text for text, _ in task.learnt]).mean(0) for task in tasks])
    right, chosen = [], []
    for number, task in enumerate(tasks):
        texts = [text for text, _ in task.judged]
        nearest = torch.cdist(vectors(base, texts), means).argmin(1).tolist()
        said = [versions[at].predict([text]).labels[0][0] for at, text in zip(nearest, texts, strict=True)]
        right.append(np.mean([one == label for one, (_, label) in zip(said, task.judged, strict=True)]))
        chosen.append(np.mean([at == number for at in nearest]))
    return {"routed_acc": float(np.mean(right)), "router_accuracy": float(np.mean(chosen))}


def vectors(model: Classifier, texts: Sequence[str]) -> Tensor:
    """Text vectors [N, D]."""
    sequences = encode(model.tokenizer, texts, model.max_length_tokens)
    return forward_all(model.model, sequences, Silent(), phase="", features=True)


def accuracy(model: Classifier, task: Task) -> float:
    """Share of right labels."""
    said = model.predict([text for text, _ in task.judged]).labels
    return float(np.mean([one[0] == label for one, (_, label) in zip(said, task.judged, strict=True)]))


def read_task(folder: Path, place: Path, name: str, train: str, test: str, text: str, label: str) -> Task:
    """At most so many labels and rows, drawn by a fixed seed; no text stands on both sides."""
    dice = random.Random(DRAW_SEED)
    learnt, judged = (_read(folder / name / file, text, label) for file in (train, test))
    labels = sorted({one for _, one in learnt} - {"oos"})
    kept = set(dice.sample(labels, min(LABELS, len(labels))))
    for rows in (learnt, judged):
        dice.shuffle(rows)
    learnt = [row for row in learnt if row[1] in kept][:TRAIN_ROWS]
    seen = {normalised(row[0]) for row in learnt}
    judged = [row for row in judged if row[1] in kept and normalised(row[0]) not in seen][:TEST_ROWS]
    return Task(name, learnt, judged, _write(place / f"{name}.parquet", learnt))


def _read(path: Path, text: str, label: str) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[text], row[label]) for row in csv.DictReader(file)]


def _write(path: Path, rows: Sequence[Row]) -> Path:
    columns = {
        "example_id": pa.array(range(len(rows)), pa.int64()),
        "split": pa.array(["train"] * len(rows)),
        "text": pa.array([text for text, _ in rows]),
        "labels": pa.array([[label] for _, label in rows], pa.list_(pa.string())),
    }
    write_whole(path, pa.table(columns))
    return path


def results(
    folder: Path, seeds: Sequence[int], ways: Sequence[str], options: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Seed by seed each way's matrix; the first task is learnt once a seed."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        tasks = [read_task(folder, place, *task) for task in TASKS]
        for seed in seeds:
            spec = ClassifySpec(**{**SPEC, **options, "seed": seed})
            first = Path(classify.train(spec, tasks[0].path, place / f"first-{seed}", Silent())["model"])
            for way in ways:
                yield sequence(tasks, first, seed, way, options, place / str(seed))


def main() -> None:
    """One JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {', '.join(task[0] for task in TASKS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--spec", type=json.loads, default={})
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    for found in results(given.data, given.seeds, given.ways, given.spec):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()

"""A reader through the platform's own jobs: most passages of a file of questions learnt from, the others measured."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.bench.measure import Measure, Options
from workers.bench.runs import frozen, learn_and_measure
from workers.bench.tenant import first_owner

HELD_OUT = 0.2  # of the passages: all questions about one stand on one side
SPLIT_SEED = 7


def measures(options: Options) -> Iterator[Measure]:
    """Exact match and F1 of one training job a seed."""
    if options.data is None or not options.data.is_file():
        raise FileNotFoundError("Name a JSONL file of question, context and answers (text, answer_start): --data FILE")
    actor, name = first_owner(), options.data.stem
    version = frozen(actor, f"{name}, by passage", "qa", rows(options.data))
    for seed in options.seeds:
        spec = {"holdout_share": 0, **options.spec, "seed": seed}
        found, detail = learn_and_measure(actor, version, "extract", spec, f"{name}, seed {seed}")
        for figure in ("f1", "exact_match"):
            values = found.headline[figure]
            words = f"[{values['low']:.4f}, {values['high']:.4f}], {detail}"
            yield Measure(f"{name}, seed {seed}: {figure}", values["value"], "", detail=words)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows with id and split, passage by passage on one side."""
    read = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    passages = sorted({row["context"] for row in read})
    out = set(random.Random(SPLIT_SEED).sample(passages, round(HELD_OUT * len(passages))))  # noqa: S311 - a split
    for number, row in enumerate(read):
        answers = [{"text": one["text"], "start": one["answer_start"]} for one in row["answers"]]
        split = "test" if row["context"] in out else "train"
        yield {
            "id": f"row-{number}",
            "question": row["question"],
            "context": row["context"],
            "answers": answers,
            "split": split,
        }

"""Few-shot runs through the platform's own jobs against a linear probe on the same few texts a class."""

import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from apps.evaluation.models import ExampleResult
from engine import metrics
from engine.texts import normalised
from workers.bench.measure import Measure, Options
from workers.bench.quality import interval, probe_of
from workers.bench.runs import frozen, learn_and_measure
from workers.bench.tenant import first_owner

GAIN = 1.5  # points over the probe
LABEL_COLUMNS = ("category", "label")
TEXT_COLUMNS = ("text", "sentence")

Labelled = tuple[str, str]  # text, label


def measures(options: Options) -> Iterator[Measure]:
    """For each seed a draw, the probe, one training job and one evaluation job; then the mean gain with its interval."""
    if options.data is None or options.test is None or not (options.data.is_file() and options.test.is_file()):
        raise FileNotFoundError("Name two CSV files with columns of texts and labels: --data FILE --test FILE")
    actor, name = first_owner(), options.data.parent.name
    rows, judged = read(options.data), read(options.test)
    gains, ours = [], []
    for seed in options.seeds[: 1 if options.small else None]:
        title = f"{name}, {options.shots} a class, seed {seed}"
        drawn = draw(rows, options.shots, seed)
        data = frozen(actor, f"{title}, {options.test.stem}", "classification", records(drawn, judged))
        base = probe_of(data)
        floor = {int(number): right for number, right in base["right"].items()}
        spec = {"holdout_share": 0, **options.spec, "seed": seed}
        found, words = learn_and_measure(actor, data, "few_shot", spec, title)
        right = dict(ExampleResult.objects.filter(evaluation=found).values_list("example_id", "correct"))
        pairs = np.array([(floor[number], right[number]) for number in sorted(floor)], dtype=bool)
        gains.append(pairs[:, 1].astype(float) - pairs[:, 0])
        ours.append(float(pairs[:, 1].mean()))
        p = metrics.mcnemar(pairs[:, 0], pairs[:, 1])["mid_p"]
        yield Measure(f"{title}: linear probe", base["accuracy"] * 100, "%", detail=f"l2 {base['l2']:g}")
        low, high = (found.headline["accuracy"][end] * 100 for end in ("low", "high"))
        yield Measure(f"{title}: few-shot", ours[-1] * 100, "%", detail=f"[{low:.2f}, {high:.2f}], {words}")
        yield Measure(f"{title}: gain in points", gains[-1].mean() * 100, "", detail=f"McNemar mid-p {p:.2g}")
    low, high = interval(np.mean(gains, axis=0))
    detail = f"{len(gains[0])} texts, paired bootstrap over them [{low * 100:.2f}, {high * 100:.2f}]"
    yield Measure("mean accuracy of the seeds", float(np.mean(ours)) * 100, "%")
    yield Measure("mean gain in points", float(np.mean(gains)) * 100, "", at_least=GAIN, detail=detail)


def read(path: Path) -> list[Labelled]:
    """Texts with their labels."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    text, label = (next(one for one in names if one in rows[0]) for names in (TEXT_COLUMNS, LABEL_COLUMNS))
    return [(row[text], row[label]) for row in rows]


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

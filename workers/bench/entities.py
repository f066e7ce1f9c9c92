"""Taggers through the platform's own jobs, on texts in CoNLL's form: folds of all of them, or dev after learning train."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from apps.datasets.formats.tagging import decode_tags, join_tokens
from apps.evaluation.models import ExampleResult
from engine import span_metrics
from engine.spans import Span
from engine.texts import normalised
from workers.bench.measure import Measure, Options
from workers.bench.runs import frozen, learn_and_measure
from workers.bench.tenant import first_owner

FILES = ("train.conll", "dev.conll")
FOLD_SEED = 7
AIM = 0.74  # entity F1 over five folds of wikigold

Marked = tuple[str, list[dict[str, Any]]]


def measures(options: Options) -> Iterator[Measure]:
    """One training job and one evaluation job for each fold (or seed), then the figures of all rows together."""
    if options.data is None or not all((options.data / name).is_file() for name in FILES):
        raise FileNotFoundError("Name a folder with train.conll and dev.conll (token, tab, tag): --data FOLDER")
    actor, name = first_owner(), options.data.name
    parts = [read(options.data / file) for file in FILES]
    if options.folds:
        texts = [text for part in parts for text in part]
        runs = [(f"fold {at + 1}", options.seeds[0], _fold(texts, at, options.folds)) for at in range(options.folds)]
    else:
        runs = [(f"seed {seed}", seed, _sides(*parts)) for seed in options.seeds]
    rows: list[ExampleResult] = []
    for title, seed, sides in runs[: 1 if options.small else None]:
        data = frozen(actor, f"{name}, {title if options.folds else 'train and dev'}", "spans", _rows(sides))
        spec = {"holdout_share": 0, **options.spec, "seed": seed}
        found, words = learn_and_measure(actor, data, "tag", spec, f"{name}, {title}")
        rows += ExampleResult.objects.filter(evaluation=found)
        figure = found.headline["entity_f1"]
        detail = f"[{figure['low']:.4f}, {figure['high']:.4f}], {words}"
        yield Measure(f"{name}, {title}: entity F1", figure["value"], "", detail=detail)
    yield from _whole(name, rows, folds=options.folds)


def read(path: Path) -> list[Marked]:
    """The sentences of a file, tokens put together to texts, tags to spans."""
    found = []
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        pairs = [line.split("\t")[:2] for line in block.splitlines() if line.strip()]
        if pairs:
            text, places = join_tokens([token for token, _ in pairs])
            spans = decode_tags([tag for _, tag in pairs])
            marks = [{"start": places[a][0], "end": places[b - 1][1], "label": label} for a, b, label in spans]
            found.append((text, marks))
    return found


def _fold(texts: Sequence[Marked], at: int, folds: int) -> tuple[list[Marked], list[Marked]]:
    order = list(range(len(texts)))
    random.Random(FOLD_SEED).shuffle(order)  # noqa: S311 - a repeatable split, no secret
    out = set(order[at::folds])
    return _sides([texts[n] for n in order if n not in out], [texts[n] for n in order if n in out])


def _sides(train: list[Marked], test: list[Marked]) -> tuple[list[Marked], list[Marked]]:
    """Both sides; a text that is also learnt from is not measured."""
    seen = {normalised(text) for text, _ in train}
    return train, [one for one in test if normalised(one[0]) not in seen]


def _rows(sides: tuple[list[Marked], list[Marked]]) -> Iterator[dict[str, Any]]:
    for split, texts in zip(("train", "test"), sides, strict=True):
        for number, (text, spans) in enumerate(texts):
            yield {"id": f"{split}-{number}", "text": text, "spans": spans, "split": split}


def _whole(name: str, rows: Sequence[ExampleResult], *, folds: int) -> Iterator[Measure]:
    """All measured rows together: entity F1 with its interval, and of each label."""
    gold, said = ([_spans(getattr(row, f"{side}_spans")) for row in rows] for side in ("gold", "predicted"))
    labels = sorted({span.label for spans in (*gold, *said) for span in spans})
    table = span_metrics.row_counts(gold, said, labels)
    found = span_metrics.headline(table, seed=FOLD_SEED)
    wrong = ", ".join(f"{kind} {count}" for kind, count in span_metrics.errors(gold, said).items())
    for figure, values in found.items():
        bound = AIM if name == "wikigold" and folds and figure == "entity_f1" else None
        detail = f"[{values['low']:.4f}, {values['high']:.4f}], {len(rows)} texts" + (
            f"; {wrong}" if figure == "entity_f1" else ""
        )
        yield Measure(f"{name}, all rows: {figure}", values["value"], "", at_least=bound, detail=detail)
    for at, label in enumerate(labels):
        f1 = float(span_metrics.averages(table[:, :, at : at + 1].sum(0, keepdims=True))["entity_f1"][0])
        yield Measure(f"{name}, all rows: F1 of {label}", f1, "", detail=f"{int(table[:, 2, at].sum())} spans")


def _spans(found: Any) -> list[Span]:
    return [Span(span["start"], span["end"], span["label"]) for span in found]

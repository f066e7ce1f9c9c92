"""What is wrong with classification rows for a given run, the rows named."""

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.data import TextRows
from engine.preflight_rows import (
    conflicts,
    empty_texts,
    leakage,
    misread,
    naming,
    no_dev,
    no_rows,
    too_few,
    unknown_labels,
)
from engine.specs import ClassifySpec
from engine.specs.few_shot import FewShotSpec
from engine.specs.problems import Problem
from words import say

LEAST_PER_LABEL = 2


def classification_problems(
    spec: ClassifySpec | FewShotSpec,
    parts: Mapping[str, TextRows],
    labels: Sequence[str],
    *,
    outside: str = "",
    kept: Sequence[str] = (),
) -> list[Problem]:
    """Everything wrong with the rows by part (train, dev, test); `labels` are those that are learnt, in order.

    `outside` is the label of texts about none of them, `kept` are labels that a base version goes on knowing.
    """
    train, dev = parts["train"], parts["dev"]
    if not len(train):
        return no_rows(spec)
    problems = empty_texts(parts) + misread(parts) + _label_counts(spec, parts) + _sizes(train, labels, kept)
    known = [*labels, outside] if outside else labels
    is_one_more = len(labels) == 1 and not set(kept) <= set(labels)
    problems += unknown_labels(parts, known, lambda part: part.labels) + leakage(parts)
    problems += no_dev(spec, dev) if is_one_more else _one_class(spec, dev)
    if outside and all(names == (outside,) for names in dev.labels):
        problems.append(
            Problem(
                "no_dev",
                "outside_label",
                say("There are no dev rows to fit the bound of “{label}” on.", label=outside),
                say("Split the dataset or raise holdout_share."),
            )
        )
    return problems + conflicts(train, [tuple(sorted(names)) for names in train.labels])


def _label_counts(spec: ClassifySpec | FewShotSpec, parts: Mapping[str, TextRows]) -> list[Problem]:
    if spec.multi_label:
        return []
    rows = [part.ids[at] for part in parts.values() for at, names in enumerate(part.labels) if len(names) > 1]
    return naming(
        rows,
        "several_labels",
        "labels",
        say("{rows_count} rows carry more than one label.", rows_count=len(rows)),
        say("Set multi_label, or keep one label."),
    )


def _sizes(train: TextRows, labels: Sequence[str], kept: Sequence[str]) -> list[Problem]:
    problems = too_few(train)
    if len({*labels, *kept}) < 2:
        problems.append(
            Problem(
                "one_class", "labels", say("All training rows carry the same label."), say("Give at least two labels.")
            )
        )
    number = Counter(label for names in train.labels for label in names)
    for label in labels:
        if number[label] < LEAST_PER_LABEL:
            rows = [train.ids[at] for at, names in enumerate(train.labels) if label in names]
            problems += naming(
                rows,
                "too_few_per_label",
                "labels",
                say("The label “{label}” has too few training rows: {count}.", label=label, count=number[label]),
                say(
                    "Give every label at least {least_per_label} training rows, or drop the label.",
                    least_per_label=LEAST_PER_LABEL,
                ),
            )
    return problems


def _one_class(spec: ClassifySpec | FewShotSpec, dev: TextRows) -> list[Problem]:
    if not len(dev):
        return no_dev(spec, dev)
    if len(set(dev.labels)) < 2:
        return [
            Problem(
                "one_class_dev",
                "dev_split",
                say("All dev rows carry the same label."),
                say("Split again, stratified by label."),
            )
        ]
    return []

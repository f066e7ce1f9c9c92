"""What is wrong with classification rows for a given run, the rows named."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from engine.data import TextRows
from engine.specs import ClassifySpec
from engine.specs.problems import NAMED_ROWS, Problem
from engine.texts import normalised
from words import say

LEAST_TRAIN_ROWS = 8
LEAST_PER_LABEL = 2


def classification_problems(spec: ClassifySpec, parts: Mapping[str, TextRows], labels: Sequence[str]) -> list[Problem]:
    """Everything wrong with the rows by part (train, dev, test); `labels` are those of train, in order."""
    train, dev = parts["train"], parts["dev"]
    if not len(train):
        return [
            Problem(
                "no_rows",
                "train_split",
                say("The split “{train_split}” has no labelled rows.", train_split=spec.train_split),
                say("Label rows or choose another split."),
            )
        ]
    problems = _empty_texts(parts) + _label_counts(spec, parts) + _sizes(train, labels)
    problems += _unknown_labels(parts, labels) + _one_class(spec, dev) + _leakage(parts) + _conflicts(spec, train)
    return problems


def _empty_texts(parts: Mapping[str, TextRows]) -> list[Problem]:
    rows = [part.ids[at] for part in parts.values() for at, text in enumerate(part.texts) if not text.strip()]
    return naming(
        rows,
        "empty_text",
        "text",
        say("{rows_count} rows have no text.", rows_count=len(rows)),
        say("Fill them in or delete them."),
    )


def _label_counts(spec: ClassifySpec, parts: Mapping[str, TextRows]) -> list[Problem]:
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


def _sizes(train: TextRows, labels: Sequence[str]) -> list[Problem]:
    problems = []
    if len(train) < LEAST_TRAIN_ROWS:
        problems.append(
            Problem(
                "too_few_rows",
                "train_split",
                say("Only {train_count} rows to learn from.", train_count=len(train)),
                say("Give at least {least_train_rows}.", least_train_rows=LEAST_TRAIN_ROWS),
            )
        )
    if len(labels) < 2:
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


def _unknown_labels(parts: Mapping[str, TextRows], labels: Sequence[str]) -> list[Problem]:
    known, problems = set(labels), []
    for name in ("dev", "test"):
        part = parts[name]
        rows = [part.ids[at] for at, names in enumerate(part.labels) if not known.issuperset(names)]
        problems += naming(
            rows,
            "unknown_label",
            "labels",
            say("{rows_count} {name} rows carry a label that no training row has.", rows_count=len(rows), name=name),
            say("Add training rows with the label, or take these rows out."),
        )
    return problems


def _one_class(spec: ClassifySpec, dev: TextRows) -> list[Problem]:
    if not len(dev) and not spec.holdout_share:
        return [
            Problem(
                "no_dev",
                "dev_split",
                say("Without dev rows the last epoch is kept, not the best one."),
                say("Raise holdout_share to choose an epoch."),
                "warning",
            )
        ]
    if not len(dev):
        return [
            Problem(
                "no_dev",
                "dev_split",
                say("The split “{dev_split}” has no labelled rows.", dev_split=spec.dev_split),
                say("Split the dataset or raise holdout_share."),
            )
        ]
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


def _leakage(parts: Mapping[str, TextRows]) -> list[Problem]:
    seen = {normalised(text) for text in parts["train"].texts}
    problems = []
    for name in ("test", "dev"):
        part = parts[name]
        rows = [part.ids[at] for at, text in enumerate(part.texts) if normalised(text) in seen]
        problems += naming(
            rows,
            f"{name}_leaks",
            f"{name}_split",
            say("{rows_count} {name} texts are also in train.", rows_count=len(rows), name=name),
            say("Take them out of one of the splits."),
            severity="error" if name == "test" else "warning",
        )
    return problems


def _conflicts(spec: ClassifySpec, train: TextRows) -> list[Problem]:
    by_text: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, text, names in zip(train.ids, train.texts, train.labels, strict=True):
        by_text[normalised(text)][tuple(sorted(names))].append(number)
    rows = [number for found in by_text.values() if len(found) > 1 for numbers in found.values() for number in numbers]
    return naming(
        rows,
        "conflicting_labels",
        "labels",
        say("{rows_count} training rows share their text with a row of another label.", rows_count=len(rows)),
        say("Decide which label is right."),
        severity="warning",
    )


def naming(
    rows: Iterable[int], code: str, field: str, message: str, hint: str, *, severity: str = "error"
) -> list[Problem]:
    """The problem, naming its first rows, if there are any."""
    named = tuple(rows)
    if not named:
        return []
    return [Problem(code, field, message, hint, "warning" if severity == "warning" else "error", named[:NAMED_ROWS])]

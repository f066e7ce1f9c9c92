"""What can be wrong with the rows of any recipe that learns labels of texts, the rows named."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from engine.data import Rows
from engine.misreading import looks_misread
from engine.specs.common import RunOptions
from engine.specs.problems import NAMED_ROWS, Problem
from engine.texts import normalised
from words import say

LEAST_TRAIN_ROWS = 8
LEAK_SHARE = 0.05  # of dev: more make its figures, and the epoch they choose, worthless
MISREAD_SHARE = 0.2  # of the rows that are not plain ASCII; scraped tweets had 0.08
R = TypeVar("R", bound=Rows)


def no_rows(spec: RunOptions) -> list[Problem]:
    """There is nothing to learn from."""
    return [
        Problem(
            "no_rows",
            "train_split",
            say("The split “{train_split}” has no labelled rows.", train_split=spec.train_split),
            say("Label rows or choose another split."),
        )
    ]


def too_few(train: Rows) -> list[Problem]:
    """Fewer rows than any recipe can learn from."""
    if len(train) >= LEAST_TRAIN_ROWS:
        return []
    return [
        Problem(
            "too_few_rows",
            "train_split",
            say("Only {train_count} rows to learn from.", train_count=len(train)),
            say("Give at least {least_train_rows}.", least_train_rows=LEAST_TRAIN_ROWS),
        )
    ]


def empty_texts(parts: Mapping[str, Any]) -> list[Problem]:
    """Rows without a text."""
    rows = [part.ids[at] for part in parts.values() for at, text in enumerate(part.texts) if not text.strip()]
    return naming(
        rows,
        "empty_text",
        "text",
        say("{rows_count} rows have no text.", rows_count=len(rows)),
        say("Fill them in or delete them."),
    )


def misread(parts: Mapping[str, Rows]) -> list[Problem]:
    """Rows that were read in a wrong encoding."""
    foreign = [
        (part.ids[at], wording)
        for part in parts.values()
        for at in range(len(part))
        if not (wording := part.wording(at)).isascii()
    ]
    return wrong_encoding([number for number, wording in foreign if looks_misread(wording)], len(foreign))


def wrong_encoding(rows: Sequence[int], foreign: int) -> list[Problem]:
    """The named rows look misread: scraps of others where few of all `foreign`, not plain ASCII ones do; else the file."""
    return naming(
        rows,
        "wrong_encoding",
        "text",
        say("{count} rows look as if they were read in the wrong encoding.", count=len(rows)),
        say("Read the file again with its own encoding (GB 18030, Windows-1252 ...)."),
        severity="error" if len(rows) > MISREAD_SHARE * foreign else "warning",
    )


def unknown_labels(
    parts: Mapping[str, Any], labels: Sequence[str], names_of: Callable[[Any], Sequence[Iterable[str]]]
) -> list[Problem]:
    """Rows of dev and test with a label that is not learnt; `names_of` gives the labels of each row."""
    known, problems = set(labels), []
    for name in ("dev", "test"):
        part = parts[name]
        rows = [part.ids[at] for at, names in enumerate(names_of(part)) if not known.issuperset(names)]
        problems += naming(
            rows,
            "unknown_label",
            "labels",
            say("{rows_count} {name} rows carry a label that no training row has.", rows_count=len(rows), name=name),
            say("Add training rows with the label, or take these rows out."),
        )
    return problems


def no_dev(spec: RunOptions, dev: Rows) -> list[Problem]:
    """What is missing where there are no dev rows."""
    if len(dev):
        return []
    if not spec.holdout_share:
        return [
            Problem(
                "no_dev",
                "dev_split",
                say("Without dev rows the last epoch is kept, not the best one."),
                say("Raise holdout_share to choose an epoch."),
                "warning",
            )
        ]
    return [
        Problem(
            "no_dev",
            "dev_split",
            say("The split “{dev_split}” has no labelled rows.", dev_split=spec.dev_split),
            say("Split the dataset or raise holdout_share."),
        )
    ]


def leakage(
    parts: Mapping[str, R],
    key: Callable[[R, int], Hashable] = lambda part, at: normalised(part.wording(at)),
) -> list[Problem]:
    """Rows of test and dev whose key a training row has, too: of test that is an error, of dev where they are many."""
    seen = {key(parts["train"], at) for at in range(len(parts["train"]))}
    problems = []
    for name in ("test", "dev"):
        part = parts[name]
        problems += leaks(name, [part.ids[at] for at in range(len(part)) if key(part, at) in seen], len(part))
    return problems


def leaks(name: str, rows: Sequence[int], total: int) -> list[Problem]:
    """The named rows of `total` of test or dev are also in train."""
    return naming(
        rows,
        f"{name}_leaks",
        f"{name}_split",
        say("{rows_count} {name} rows are also in train.", rows_count=len(rows), name=name),
        say("Take them out of one of the splits, or let the platform split anew: equal texts stay together."),
        severity="error" if name == "test" or len(rows) > LEAK_SHARE * total else "warning",
    )


def conflicts(train: Any, targets: Sequence[Hashable]) -> list[Problem]:
    """Training rows with the same text and another target."""
    by_text: dict[str, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, text, target in zip(train.ids, train.texts, targets, strict=True):
        by_text[normalised(text)][target].append(number)
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

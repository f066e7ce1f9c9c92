"""What is wrong with marked texts for a given run, the rows named."""

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.data import SpanRows
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
from engine.spans import overlapping, tags_of
from engine.specs import TagSpec
from engine.specs.problems import Problem
from engine.units import Reading
from words import say

LEAST_PER_LABEL = 2


def span_problems(spec: TagSpec, parts: Mapping[str, SpanRows], labels: Sequence[str]) -> list[Problem]:
    """Everything wrong with the rows by part (train, dev, test); `labels` are those of train, in order."""
    train, dev = parts["train"], parts["dev"]
    if not len(train):
        return no_rows(spec)
    problems = empty_texts(parts) + misread(parts) + too_few(train) + _overlaps(parts) + _few_spans(train, labels)
    problems += unknown_labels(parts, labels, lambda part: [{span.label for span in spans} for spans in part.spans])
    problems += no_dev(spec, dev) + _unmarked_dev(dev) + leakage(parts)
    return problems + conflicts(train, [tuple(spans) for spans in train.spans])


def border_problems(
    parts: Mapping[str, SpanRows], readings: Mapping[str, Sequence[Reading]], labels: Sequence[str]
) -> list[Problem]:
    """Spans that begin or end inside a word or token, or that no token reads: the tagger can never say them exactly."""
    off: list[int] = []
    spans_off = unread = 0
    for name, part in parts.items():
        for number, reading, spans in zip(part.ids, readings[name], part.spans, strict=True):
            tagged = tags_of(reading.spans, [span for span in spans if span.label in labels], labels)
            spans_off += len(tagged.off_border)
            unread += len(tagged.unseen)
            if tagged.off_border or tagged.unseen:
                off.append(number)
    total = sum(len(spans) for part in parts.values() for spans in part.spans)
    return naming(
        off,
        "off_border",
        "spans",
        say(
            "{count} of {total} spans begin or end inside a word or token, or mark what the tokenizer leaves out; "
            "they are learnt as the words they touch and count as missed when measured.",
            count=spans_off + unread,
            total=total,
        ),
        say("Mark whole words, or let every character carry a tag (unit “character”)."),
        severity="warning",
    )


def _overlaps(parts: Mapping[str, SpanRows]) -> list[Problem]:
    rows = [part.ids[at] for part in parts.values() for at, spans in enumerate(part.spans) if overlapping(spans)]
    return naming(
        rows,
        "overlapping_spans",
        "spans",
        say("{rows_count} rows hold spans that overlap or lie inside one another.", rows_count=len(rows)),
        say("Keep one of the spans: each word carries one tag."),
    )


def _few_spans(train: SpanRows, labels: Sequence[str]) -> list[Problem]:
    if not labels:
        return [
            Problem(
                "no_spans", "spans", say("No training text has a marked span."), say("Mark spans, then freeze again.")
            )
        ]
    number = Counter(span.label for spans in train.spans for span in spans)
    problems = []
    for label in labels:
        if number[label] < LEAST_PER_LABEL:
            rows = [train.ids[at] for at, spans in enumerate(train.spans) if any(one.label == label for one in spans)]
            problems += naming(
                rows,
                "too_few_per_label",
                "spans",
                say("The label “{label}” has too few training spans: {count}.", label=label, count=number[label]),
                say("Mark more of them, or drop the label."),
                severity="warning",
            )
    return problems


def _unmarked_dev(dev: SpanRows) -> list[Problem]:
    if not len(dev) or any(dev.spans):
        return []
    return [
        Problem(
            "one_class_dev",
            "dev_split",
            say("No dev text has a marked span."),
            say("Split again, so that dev holds marked texts."),
        )
    ]

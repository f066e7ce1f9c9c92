"""What is wrong with pairs, or with texts of classes, that say what belongs together, the rows named."""

import math
from collections import defaultdict
from collections.abc import Mapping

from engine.contrastive import pair_batches
from engine.data import TextRows
from engine.evaluate_vectors import class_names, retrieval_of
from engine.pairs import PairRows
from engine.preflight_rows import empty_texts, leakage, misread, naming, no_dev, no_rows, too_few
from engine.specs.embed import EmbedSpec
from engine.specs.problems import Problem
from engine.specs.rerank import RerankSpec
from engine.texts import normalised
from words import say

PairSpec = EmbedSpec | RerankSpec


def pair_problems(spec: EmbedSpec, parts: Mapping[str, PairRows]) -> list[Problem]:
    """Everything wrong with the pairs by part (train, dev, test)."""
    problems = pair_row_problems(spec, parts)
    return problems + (_nothing_to_tell_apart(spec, parts["train"]) if len(parts["train"]) else [])


def pair_row_problems(spec: PairSpec, parts: Mapping[str, PairRows]) -> list[Problem]:
    """Everything wrong with the pairs themselves, however they are learnt."""
    train = parts["train"]
    if not len(train):
        return no_rows(spec)
    problems = (
        _empty_sides(parts)
        + misread(parts)
        + _scores(spec, parts)
        + too_few(train)
        + _same_sides(train)
        + _twice(train)
    )
    return problems + no_dev(spec, parts["dev"]) + _measurable(spec, parts["dev"]) + leakage(parts, _query)


def class_row_problems(spec: PairSpec, parts: Mapping[str, TextRows]) -> list[Problem]:
    """Everything wrong with the texts and their classes by part (train, dev, test)."""
    train = parts["train"]
    if not len(train):
        return no_rows(spec)
    problems = empty_texts(parts) + misread(parts) + too_few(train) + _classes(train)
    return problems + no_dev(spec, parts["dev"]) + _measurable(spec, parts["dev"]) + leakage(parts)


def belongs(score: float | None, spec: PairSpec) -> bool:
    """Whether a pair with this score is one of two texts that belong together."""
    return score is None or score >= spec.least_score


def learnable(spec: PairSpec, train: PairRows) -> list[int]:
    """Positions of the pairs that are learnt as alike: two different texts that belong together."""
    return [at for at, score in enumerate(train.scores) if belongs(score, spec) and not _is_same(train, at)]


def _query(rows: PairRows, at: int) -> str:
    return normalised(rows.sources[at])


def _empty_sides(parts: Mapping[str, PairRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at in range(len(part))
        if not part.sources[at].strip() or not part.targets[at].strip()
    ]
    return naming(
        rows,
        "empty_text",
        "source",
        say("{rows_count} pairs have an empty side.", rows_count=len(rows)),
        say("Fill them in or delete them."),
    )


def _scores(spec: PairSpec, parts: Mapping[str, PairRows]) -> list[Problem]:
    rows = [
        part.ids[at]
        for part in parts.values()
        for at, score in enumerate(part.scores)
        if score is not None and math.isnan(score)
    ]
    problems = naming(
        rows,
        "score_unreadable",
        "score",
        say("{rows_count} rows have a score that is not a number.", rows_count=len(rows)),
        say("Write scores as numbers such as 0.8, or leave them out."),
    )
    if not problems and not any(belongs(score, spec) for score in parts["train"].scores):
        problems.append(
            Problem(
                "no_positive",
                "least_score",
                say("No training pair has a score of at least {least}.", least=spec.least_score),
                say("Lower least_score."),
            )
        )
    return problems


def _same_sides(train: PairRows) -> list[Problem]:
    rows = [train.ids[at] for at in range(len(train)) if _is_same(train, at)]
    return naming(
        rows,
        "same_sides",
        "target",
        say("{rows_count} training pairs are the same text twice; they are left out.", rows_count=len(rows)),
        say("Give two different texts that belong together."),
        severity="warning",
    )


def _is_same(rows: PairRows, at: int) -> bool:
    source = normalised(rows.sources[at])
    return bool(source) and source == normalised(rows.targets[at])


def _twice(train: PairRows) -> list[Problem]:
    seen: dict[tuple[str, str], int] = {}
    rows = []
    for number, source, target in zip(train.ids, train.sources, train.targets, strict=True):
        if seen.setdefault((normalised(source), normalised(target)), number) != number:
            rows.append(number)
    return naming(
        rows,
        "duplicates",
        "source",
        say("{rows_count} training pairs are there more than once.", rows_count=len(rows)),
        say("Keep one of each."),
        severity="warning",
    )


def _nothing_to_tell_apart(spec: EmbedSpec, train: PairRows) -> list[Problem]:
    """No two pairs can stand in a step, because all share a text."""
    rows = learnable(spec, train)
    pairs = [(train.sources[at], train.targets[at]) for at in rows]
    if any(len(batch) > 1 for batch in pair_batches(pairs, seed=spec.seed, epoch=0, batch_size=spec.batch_size)):
        return []
    return [
        Problem(
            "one_class",
            "target",
            say("All training pairs share a text, so there is nothing to tell them apart from."),
            say("Give pairs of different sources and different targets."),
        )
    ]


def _classes(train: TextRows) -> list[Problem]:
    members: dict[str, dict[str, int]] = defaultdict(dict)
    for number, text, name in zip(train.ids, train.texts, class_names(train), strict=True):
        members[name].setdefault(normalised(text), number)
    alone = [number for found in members.values() if len(found) == 1 for number in found.values()]
    problems = naming(
        alone,
        "no_positive",
        "labels",
        say(
            "{rows_count} classes have one training text, which is like no other; they are left out.",
            rows_count=len(alone),
        ),
        say("Give every class at least two different texts."),
        severity="warning",
    )
    if sum(len(found) > 1 for found in members.values()) < 2:
        problems.append(
            Problem(
                "one_class",
                "labels",
                say("Fewer than two classes have two different texts, so there is nothing to tell apart."),
                say("Give at least two classes with at least two texts each."),
            )
        )
    return problems


def _measurable(spec: PairSpec, dev: PairRows | TextRows) -> list[Problem]:
    """The metric of the best epoch must be there on dev."""
    if not len(dev):
        return []
    scores = dev.scores if isinstance(dev, PairRows) else []
    given = {score for score in scores if score is not None and not math.isnan(score)}
    if spec.best_metric == "spearman":
        is_there = len(given) > 1 and sum(score is not None for score in scores) > 2
    else:
        is_there = bool(retrieval_of(dev, least_score=spec.least_score).queries)
    if is_there:
        return []
    return [
        Problem(
            "not_measurable",
            "best_metric",
            say("“{name}” cannot be measured on the dev rows.", name=spec.best_metric),
            say("Spearman needs rows with scores; the others need a text that another one should find."),
        )
    ]

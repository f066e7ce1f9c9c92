"""What is wrong with rows for a ranker beyond what pairs and classes are refused for anyway."""

import math

from engine.data import TextRows
from engine.pairs import PairRows
from engine.preflight_embed import learnable
from engine.specs.problems import Problem
from engine.specs.rerank import RerankSpec
from engine.texts import normalised
from words import say


def lesson_problems(spec: RerankSpec, train: PairRows | TextRows) -> list[Problem]:
    """That there are no scores to learn, or no text that does not belong to a query."""
    if not len(train):
        return []
    if not spec.learns_lists:
        return _no_scores(train)
    return _nothing_else(spec, train) if isinstance(train, PairRows) else []


def _no_scores(train: PairRows | TextRows) -> list[Problem]:
    given = train.scores if isinstance(train, PairRows) else []
    if len({score for score in given if score is not None and not math.isnan(score)}) > 1:
        return []
    return [
        Problem(
            "no_scores",
            "loss",
            say("The training rows carry no different scores to learn."),
            say("Choose the loss “listwise” or “pointwise”, or give pairs with a column “score”."),
        )
    ]


def _nothing_else(spec: RerankSpec, train: PairRows) -> list[Problem]:
    """Every query belongs to every text."""
    texts = {normalised(text) for text in [*train.targets, *filter(None, train.negatives)]}
    known: dict[str, set[str]] = {}
    for at in learnable(spec, train):
        query = normalised(train.sources[at])
        known.setdefault(query, {query}).add(normalised(train.targets[at]))
    if any(texts - belonging for belonging in known.values()):
        return []
    return [
        Problem(
            "one_class",
            "target",
            say("Every training text belongs to every query, so there is nothing to tell apart."),
            say("Give pairs of different targets, or a column “negative”."),
        )
    ]

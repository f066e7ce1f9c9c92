"""What a run of a ranker is made of before it starts: rows by part, the network, and the lists it learns from."""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine import base_models
from engine.decoder import is_decoder
from engine.embedder_folder import base_embedder
from engine.evaluate_vectors import class_names
from engine.failures import RunFailed
from engine.negatives import by_vectors, by_words, drawn, hardest
from engine.pairs import PairRows
from engine.preflight_embed import belongs, class_row_problems, learnable, pair_row_problems
from engine.preflight_rerank import lesson_problems
from engine.ranker import Pair, PairScorer, TokenPair, encode_pairs
from engine.ranker_folder import holds_ranker, read_ranker
from engine.recipes.classify_setup import choose_pooling
from engine.recipes.embed_setup import AnyRows, read_parts
from engine.report import Report
from engine.seen import SHOWN_ROWS, seen_ranked
from engine.specs.problems import Problem
from engine.specs.rerank import RerankSpec
from engine.texts import normalised
from words import say

HARD_KEPT = 4  # so many times the negatives of a query are kept as its hardest texts, and drawn from
Drawn = tuple[int, tuple[int, ...]]  # a row, and the texts its query is read with, the one that belongs to it first


def arrange(spec: RerankSpec, data: Path, data_kind: str) -> tuple[dict[str, AnyRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none; texts without a label are left out."""
    parts = read_parts(spec, data, data_kind)
    find: Any = pair_row_problems if data_kind == "pairs" else class_row_problems
    return parts, find(spec, parts) + lesson_problems(spec, parts["train"])


def beginning(spec: RerankSpec) -> tuple[PairScorer, Any]:
    """(network, tokenizer): a version that scores pairs goes on as it is, another encoder gets a new head."""
    place = base_models.locate(spec.base_model)
    folder = base_models.fetched(spec.base_model)
    if holds_ranker(folder):
        model, tokenizer, description = read_ranker(folder, dropout=spec.dropout)
        if spec.pooling not in ("auto", description["pooling"]):
            raise RunFailed(
                "not_together",
                say("The head of the base version reads another kind of pooling."),
                say("Choose pooling “auto”."),
            )
        return model, tokenizer
    config = base_models.load_config(place, spec.base_model.revision)
    if is_decoder(config):
        raise RunFailed(
            "not_together",
            say("Pairs are scored by an encoder, not by a model that writes."),
            say("Choose a BERT-like base model."),
        )
    pooling = choose_pooling(spec, config)
    network = base_models.load_network(place, 1, revision=spec.base_model.revision)
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    return PairScorer(network, pooling=pooling, dropout=spec.dropout), tokenizer


@dataclass(frozen=True)
class Lesson:
    """Queries and the texts they are read with, drawn anew each epoch; of pairs with scores each pair by itself."""

    spec: RerankSpec
    ids: Sequence[int]  # of the example of each row
    queries: Sequence[str]  # of each row
    texts: Sequence[str]
    wanted: Sequence[Sequence[int]]  # texts of which one stands first
    belonging: Sequence[Set[int]]  # texts that are never a negative of the row
    known: Sequence[Sequence[int]]  # texts that are known not to belong
    targets: Sequence[float] = ()  # of pairs with scores, from 0 to 1
    hard: list[Sequence[int]] = field(default_factory=list)  # of each row the texts hardest to tell apart

    def mine(self, report: Report) -> None:
        """Find the hardest texts of each query, as the spec says, before the first step."""
        if self.targets or self.spec.negatives_from == "random":
            return
        report.progress(0, 1, "texts", say("looking for hard negatives"))
        if self.spec.negatives_from == "lexical":
            compare = by_words(self.queries, self.texts)
        else:
            embedder = base_embedder(self.spec.base_model, self.spec.max_length_tokens)
            compare = by_vectors(*(embedder.embed(some, report) for some in (self.queries, self.texts)))
        count = HARD_KEPT * self.spec.negatives
        self.hard[:] = [row.tolist() for row in hardest(compare, self.belonging, texts=len(self.texts), count=count)]

    def lists(self, epoch: int) -> list[Drawn]:
        """Each row with its texts, by seed and epoch only."""
        if self.targets:
            return [(row, (wanted[0],)) for row, wanted in enumerate(self.wanted)]
        return [self._list(row, np.random.default_rng([self.spec.seed, epoch, row])) for row in range(len(self.ids))]

    def _list(self, row: int, generator: np.random.Generator) -> Drawn:
        wanted = self.wanted[row]
        first = wanted[int(generator.integers(len(wanted)))]
        others = drawn(
            generator,
            count=self.spec.negatives,
            texts=len(self.texts),
            belonging=self.belonging[row],
            known=self.known[row],
            hard=self.hard[row] if self.hard else (),
        )
        return row, (first, *others)

    def pairs(self, some: Sequence[Drawn]) -> list[Pair]:
        """All pairs of some lists, list after list."""
        return [(self.queries[row], self.texts[at]) for row, texts in some for at in texts]

    def losses(self, scores: Tensor, some: Sequence[Drawn]) -> Tensor:
        """The loss of each list [B] from the logits [N] of its pairs.

        With s_0 the logit of the text that belongs: listwise -log(exp(s_0) / sum_j exp(s_j)), the share of the list
        (InfoNCE); pointwise the mean of the binary cross-entropies, of s_0 with 1 and of the others with 0; of pairs with
        scores the binary cross-entropy with the score.
        """
        parts = torch.split(scores, [len(texts) for _, texts in some])
        if self.targets:
            wanted = torch.tensor([self.targets[row] for row, _ in some], device=scores.device)
            return F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        if self.spec.loss == "listwise":
            return torch.stack([part.logsumexp(0) - part[0] for part in parts])
        return torch.stack([F.binary_cross_entropy_with_logits(part, _first(part)) for part in parts])


def _first(part: Tensor) -> Tensor:
    """1 for the first of a list, else 0."""
    return (torch.arange(len(part), device=part.device) == 0).to(part.dtype)


@dataclass(frozen=True)
class Lengths:
    """How many tokens the pairs of a lesson have, without reading them as pairs: the same sum."""

    queries: Sequence[int]
    texts: Sequence[int]
    special: int
    most: int

    @classmethod
    def of(cls, lesson: Lesson, tokenizer: Any, most: int) -> "Lengths":
        """Counted by the tokenizer."""
        queries, texts = (_counted(tokenizer, some) for some in (lesson.queries, lesson.texts))
        return cls(queries, texts, special=tokenizer.num_special_tokens_to_add(pair=True), most=most)

    def of_list(self, one: Drawn) -> int:
        """Tokens of all pairs of a list."""
        row, texts = one
        return sum(min(self.most, self.uncut(row, at)) for at in texts)

    def uncut(self, row: int, text: int) -> int:
        """Tokens of a pair that is not cut."""
        return self.queries[row] + self.texts[text] + self.special


def _counted(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    known: dict[str, int] = {}
    if distinct := list(dict.fromkeys(texts)):
        options = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        known = dict(zip(distinct, map(len, tokenizer(distinct, **options)["input_ids"]), strict=True))
    return [known[text] for text in texts]


def lesson_of(spec: RerankSpec, train: AnyRows) -> Lesson:
    """What is learnt from these rows."""
    if not isinstance(train, PairRows):
        return _of_classes(spec, train)
    return _of_pairs(spec, train) if spec.learns_lists else _of_scores(spec, train)


class _Texts:
    """Numbers of texts; those equal once normalised are one."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.shown: list[str] = []

    def number(self, text: str) -> int:
        key = normalised(text)
        if key not in self.numbers:
            self.numbers[key] = len(self.shown)
            self.shown.append(text)
        return self.numbers[key]


def _of_pairs(spec: RerankSpec, train: PairRows) -> Lesson:
    """A query with each of its targets; negatives are named by its rows, or paired with a low score, or other targets."""
    texts, known, belonging = _Texts(), defaultdict[str, dict[int, None]](dict), defaultdict[str, set[int]](set)
    for source, target, negative, score in zip(
        train.sources, train.targets, train.negatives, train.scores, strict=True
    ):
        query, number = normalised(source), texts.number(target)
        if belongs(score, spec):
            belonging[query].add(number)
        else:
            known[query][number] = None
        if negative:
            known[query][texts.number(negative)] = None
    for query, some in belonging.items():
        if query in texts.numbers:
            some.add(texts.numbers[query])
    rows = learnable(spec, train)
    queries = [train.sources[at] for at in rows]
    keys = [normalised(query) for query in queries]
    return Lesson(
        spec,
        [train.ids[at] for at in rows],
        queries,
        texts.shown,
        wanted=[[texts.number(train.targets[at])] for at in rows],
        belonging=[belonging[key] for key in keys],
        known=[[at for at in known[key] if at not in belonging[key]] for key in keys],
    )


def _of_scores(spec: RerankSpec, train: PairRows) -> Lesson:
    """Each pair with its score, which lies between the lowest (0) and the highest (1) of all."""
    rows = [at for at, score in enumerate(train.scores) if score is not None]
    scores = np.array([train.scores[at] for at in rows], dtype=np.float64)
    low, high = scores.min(), scores.max()
    return Lesson(
        spec,
        [train.ids[at] for at in rows],
        [train.sources[at] for at in rows],
        [train.targets[at] for at in rows],
        wanted=[[at] for at in range(len(rows))],
        belonging=[set()] * len(rows),
        known=[()] * len(rows),
        targets=((scores - low) / (high - low)).tolist(),
    )


def _of_classes(spec: RerankSpec, train: Any) -> Lesson:
    """Each text with another one of its class; negatives are texts of the others."""
    texts, classes = _Texts(), defaultdict[str, dict[int, None]](dict)
    names = class_names(train)
    numbers = [texts.number(text) for text in train.texts]
    for number, name in zip(numbers, names, strict=True):
        classes[name][number] = None
    members = {name: set(some) for name, some in classes.items()}
    twice = defaultdict[int, set[int]](set)  # a text of several classes belongs to all of them
    for name, some in members.items():
        for number in some:
            twice[number] |= members[name]
    rows = [at for at in range(len(train)) if len(members[names[at]]) > 1]
    return Lesson(
        spec,
        [train.ids[at] for at in rows],
        [train.texts[at] for at in rows],
        texts.shown,
        wanted=[sorted(members[names[at]] - {numbers[at]}) for at in rows],
        belonging=[twice[numbers[at]] for at in rows],
        known=[()] * len(rows),
    )


def read_as_pairs(tokenizer: Any, lesson: Lesson, some: Sequence[Drawn], limit: int) -> list[TokenPair]:
    """What the encoder reads of some lists, pair after pair."""
    return encode_pairs(tokenizer, lesson.pairs(some), limit)


def seen_lesson(tokenizer: Any, lesson: Lesson, limit: int) -> dict[str, Any]:
    """What the model sees of the first rows: each query with a text that belongs to it, or the pair with its score."""
    first = [(row, (wanted[0],)) for row, wanted in enumerate(lesson.wanted[:SHOWN_ROWS])]
    targets = lesson.targets[:SHOWN_ROWS] or [1.0] * len(first)
    return seen_ranked(tokenizer, lesson.ids[:SHOWN_ROWS], lesson.pairs(first), targets, limit)

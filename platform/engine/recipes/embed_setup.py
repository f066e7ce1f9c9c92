"""What a run on vectors is made of before it starts: rows by part, pooling, and what one step of pairs or classes is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from engine import base_models
from engine.contrastive import (
    class_batches,
    class_logits,
    class_losses,
    false_negatives,
    in_batch_logits,
    in_batch_losses,
    pair_batches,
)
from engine.data import TextRows, parts_of, read_texts
from engine.embedder_folder import base_pooling
from engine.evaluate_vectors import class_names
from engine.pairs import PairRows, read_pairs
from engine.predict import encode
from engine.preflight_embed import belongs, class_row_problems, learnable, pair_problems
from engine.specs.common import RunOptions
from engine.specs.embed import EmbedSpec
from engine.specs.problems import Problem
from engine.texts import normalised

AnyRows = PairRows | TextRows


def arrange(spec: EmbedSpec, data: Path, data_kind: str) -> tuple[dict[str, AnyRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none; texts without a label are left out."""
    parts = read_parts(spec, data, data_kind)
    find: Any = pair_problems if data_kind == "pairs" else class_row_problems
    return parts, find(spec, parts)


def read_parts(spec: RunOptions, data: Path, data_kind: str) -> dict[str, AnyRows]:
    """Pairs, or texts with their classes, by part."""
    if data_kind == "pairs":
        return dict(parts_of(spec, read_pairs(data), PairRows))
    texts = parts_of(spec, read_texts(data), TextRows, groups=lambda rows: rows.labels)
    return {name: part.pick([at for at, names in enumerate(part.labels) if names]) for name, part in texts.items()}


def choose_pooling(spec: EmbedSpec) -> str:
    """The pooling a spec means: of auto that of the base model."""
    return base_pooling(str(base_models.fetched(spec.base_model))) if spec.pooling == "auto" else spec.pooling


class Lesson(Protocol):
    """What is learnt from: rows drawn into steps, the texts a step reads, and its loss."""

    @property
    def ids(self) -> Sequence[int]:
        """Example ids of the rows."""

    @property
    def texts_per_row(self) -> int:
        """Texts that a row brings into a step."""

    def batches(self, epoch: int, size: int) -> list[list[int]]:
        """The steps of an epoch, as at most so many rows; by seed and epoch only."""

    def sequences(self, rows: Sequence[int]) -> list[list[int]]:
        """The token ids of all texts that a step of these rows reads."""

    def losses(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """The loss of each row, [B], from the vectors of `sequences(rows)`."""

    def logits(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """What each row is told apart from, [B, C], its own text among them; -inf where one is none of these."""


@dataclass(frozen=True)
class PairLesson:
    """Pairs: the target is found by its source among all targets of the step, and by `symmetric` the other way round."""

    spec: EmbedSpec
    ids: Sequence[int]
    pairs: Sequence[tuple[str, str]]
    negatives: Sequence[Sequence[str]]  # of each pair: texts known not to belong to its source
    tokens: dict[str, list[int]]

    texts_per_row = 2

    @classmethod
    def of(cls, spec: EmbedSpec, train: PairRows, tokenizer: Any, limit: int) -> "PairLesson":
        """The pairs that belong together; the negatives of a source are named by its rows, or paired with a low score."""
        rows = learnable(spec, train)
        known: dict[str, dict[str, None]] = defaultdict(dict)
        for source, target, negative, score in zip(
            train.sources, train.targets, train.negatives, train.scores, strict=True
        ):
            if negative:
                known[normalised(source)][negative] = None
            if not belongs(score, spec):
                known[normalised(source)][target] = None
        pairs = [(train.sources[at], train.targets[at]) for at in rows]
        negatives = [list(known.get(normalised(source), ())) for source, _ in pairs]
        texts = list(
            dict.fromkeys(text for pair, more in zip(pairs, negatives, strict=True) for text in (*pair, *more))
        )
        tokens = dict(zip(texts, encode(tokenizer, texts, limit), strict=True))
        return cls(spec, [train.ids[at] for at in rows], pairs, negatives, tokens)

    def batches(self, epoch: int, size: int) -> list[list[int]]:
        """Pairs without a common text."""
        return pair_batches(self.pairs, seed=self.spec.seed, epoch=epoch, batch_size=size)

    def sequences(self, rows: Sequence[int]) -> list[list[int]]:
        """All sources, all targets, then the negatives."""
        pairs = [self.pairs[at] for at in rows]
        texts = [*(source for source, _ in pairs), *(target for _, target in pairs), *self._hard(rows)]
        return [self.tokens[text] for text in texts]

    def losses(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """The in-batch loss of each pair."""
        return in_batch_losses(*self._told_apart(vectors, rows), **self._scaled(rows), symmetric=self.spec.symmetric)

    def logits(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """Of each source all targets and negatives of the step."""
        return in_batch_logits(*self._told_apart(vectors, rows), **self._scaled(rows))

    def _told_apart(self, vectors: Tensor, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        return vectors[: len(rows)], vectors[len(rows) :]

    def _scaled(self, rows: Sequence[int]) -> dict[str, Any]:
        excluded = false_negatives([self.pairs[at] for at in rows], self._hard(rows))
        return {"scale": 1 / self.spec.temperature, "excluded": excluded}

    def _hard(self, rows: Sequence[int]) -> list[str]:
        return list(dict.fromkeys(text for at in rows for text in self.negatives[at]))


@dataclass(frozen=True)
class ClassLesson:
    """Texts with classes: each text is told apart from those of other classes by those of its own."""

    spec: EmbedSpec
    ids: Sequence[int]
    texts: Sequence[str]
    classes: Sequence[str]
    encoded: Sequence[list[int]]

    texts_per_row = 1

    @classmethod
    def of(cls, spec: EmbedSpec, train: TextRows, tokenizer: Any, limit: int) -> "ClassLesson":
        """All labelled texts."""
        return cls(spec, train.ids, train.texts, class_names(train), encode(tokenizer, train.texts, limit))

    def batches(self, epoch: int, size: int) -> list[list[int]]:
        """A few texts of each of several classes."""
        return class_batches(
            self.texts,
            self.classes,
            seed=self.spec.seed,
            epoch=epoch,
            batch_size=size,
            texts_per_class=self.spec.texts_per_class,
        )

    def sequences(self, rows: Sequence[int]) -> list[list[int]]:
        """The texts themselves."""
        return [self.encoded[at] for at in rows]

    def losses(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """The supervised contrastive loss of each text; all of a drawn step have a positive."""
        numbers = _numbered([self.classes[at] for at in rows])
        found, _has_positive = class_losses(vectors, numbers.to(vectors.device), **self._scaled(vectors, rows))
        return found

    def logits(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """Of each text all others of the step."""
        return class_logits(vectors, **self._scaled(vectors, rows))

    def _scaled(self, vectors: Tensor, rows: Sequence[int]) -> dict[str, Any]:
        texts = _numbered([normalised(self.texts[at]) for at in rows])
        return {"scale": 1 / self.spec.temperature, "texts": texts.to(vectors.device)}


def lesson_of(spec: EmbedSpec, train: AnyRows, tokenizer: Any, limit: int) -> Lesson:
    """What is learnt from these rows."""
    if isinstance(train, PairRows):
        return PairLesson.of(spec, train, tokenizer, limit)
    return ClassLesson.of(spec, train, tokenizer, limit)


def _numbered(names: Sequence[str]) -> Tensor:
    """Equal names have equal numbers."""
    known: dict[str, int] = {}
    return torch.tensor([known.setdefault(name, len(known)) for name in names])

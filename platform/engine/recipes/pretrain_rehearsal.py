"""What a pretraining run does with earlier corpora: sequences of theirs in each step, and what each weight means to them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from engine.continuing import Anchor, Earlier, estimate_importance, no_earlier_data
from engine.contrastive import ROUND
from engine.corpus import PARTS, Corpus, Membership, membership, tokenised
from engine.gpt import Gpt
from engine.plan import rehearsed_rows
from engine.report import Report
from engine.specs.pretrain import PretrainSpec
from engine.texts import normalised
from engine.vocabulary import Vocabulary
from engine.windows import Pieces, Plan, document_pieces, laid_out

NOWHERE = 255  # the part of a row that is left out


@dataclass(frozen=True)
class Rehearsed(Sequence[list[Pieces]]):
    """The steps of an epoch over a new corpus, each with sequences of one earlier corpus behind its own, in turns.

    `earlier` gives the plan of each earlier corpus by the number of its round: once it is used up the next one begins.
    """

    new: Plan
    earlier: Sequence[Callable[[int], Plan]]

    def __len__(self) -> int:
        return len(self.new)

    @overload
    def __getitem__(self, at: int) -> list[Pieces]: ...
    @overload
    def __getitem__(self, at: slice) -> "list[list[Pieces]]": ...
    def __getitem__(self, at: int | slice) -> "list[Pieces] | list[list[Pieces]]":
        if isinstance(at, slice):
            return [self[number] for number in range(len(self))[at]]
        number, plan_of = at // len(self.earlier), self.earlier[at % len(self.earlier)]
        own, again = self.new[at], 0
        while number >= len(plan_of(again)):
            number -= len(plan_of(again))
            again += 1
        return [*own, *plan_of(again)[number]]


class Tokens:
    """The tokens of several corpora one behind the other, each where it lies on disk."""

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self.parts = parts
        self.starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens at these places."""
        owners = np.searchsorted(self.starts, places, side="right") - 1
        found = np.empty(len(places), dtype=np.int64)
        for owner in np.unique(owners).tolist():
            mine = owners == owner
            found[mine] = self.parts[owner][places[mine] - self.starts[owner]]
        return found


@dataclass(frozen=True)
class Rehearsal:
    """A new corpus with the earlier ones behind it."""

    corpora: Sequence[Corpus]  # the new one first

    @cached_property
    def starts(self) -> list[int]:
        """Where the stream of each begins."""
        return [0, *accumulate(len(corpus.tokens) for corpus in self.corpora[:-1])]

    @cached_property
    def joined(self) -> Corpus:
        """All of them as one stream."""
        tokens: Any = Tokens([corpus.tokens for corpus in self.corpora])
        ends = [corpus.ends + start for corpus, start in zip(self.corpora, self.starts, strict=True)]
        ids, sizes = ([getattr(corpus, name) for corpus in self.corpora] for name in ("ids", "bytes"))
        return Corpus(tokens, np.concatenate(ends), np.concatenate(ids), np.concatenate(sizes))

    def steps(self, plan_of: Callable[[Corpus, int, int], Plan], epoch: int, count: int, share: float) -> Rehearsed:
        """The steps of an epoch, `count` sequences each; `plan_of` makes a corpus's plan for an epoch number and count."""
        drawn = rehearsed_rows(count, share)

        def rounds(task: int) -> Callable[[int], Plan]:
            @cache
            def plan(number: int) -> Plan:
                found = plan_of(self.corpora[task], epoch + ROUND * number, drawn)
                return replace(found, pieces=found.pieces + np.array([self.starts[task], 0]))

            return plan

        earlier = [rounds(task) for task in range(1, len(self.corpora))]
        return Rehearsed(plan_of(self.corpora[0], epoch, count - drawn), earlier)


def earlier_rows_of(
    spec: PretrainSpec, rows: Membership, earlier: Sequence[Earlier]
) -> list[tuple[Membership, Earlier]]:
    """The rows to learn from of each earlier corpus, without texts this run is measured on, where the spec reads them.

    RunFailed when there are none.
    """
    if not spec.rehearses:
        return []
    measured = {normalised(text) for part, _, text in rows.rows() if part != "train"}
    found = [(training_rows(spec, task.path, measured), task) for task in earlier]
    found = [(own, task) for own, task in found if own.count("train")]
    if not found:
        raise no_earlier_data()
    return found


def earlier_corpora(
    spec: PretrainSpec,
    rows: Membership,
    earlier: Sequence[Earlier],
    vocabulary: Vocabulary,
    folder: Path,
    report: Report,
) -> list[Corpus]:
    """The same as tokens; raises Stopped when asked."""
    found = [
        tokenised(own, vocabulary, folder, data_hash=task.hash, report=report)["train"]
        for own, task in earlier_rows_of(spec, rows, earlier)
    ]
    return [corpus for corpus in found if len(corpus)]


def training_rows(spec: PretrainSpec, data: Path, measured: set[str]) -> Membership:
    """The rows to learn from, without these texts."""
    splits = {"train": spec.train_split, "dev": spec.dev_split, "test": spec.test_split}
    rows = membership(data, splits, holdout_share=0.0, seed=spec.seed)
    parts = np.where(rows.parts == PARTS.index("train"), rows.parts, NOWHERE).astype(np.uint8)
    members = np.flatnonzero(parts == PARTS.index("train"))
    kept = Membership(data, parts)
    texts = ((at, text) for at, (_, _, text) in zip(members, kept.rows(), strict=True))
    again = [at for at, text in texts if not text.strip() or normalised(text) in measured]
    parts[again] = NOWHERE
    return kept


def estimate(anchor: Anchor, spec: PretrainSpec, corpora: Sequence[Corpus], model: Gpt, report: Report) -> None:
    """What each weight means to the earlier corpora: of the likelihood of the tokens of a piece."""
    rehearsal = Rehearsal(corpora)
    pieces = [document_pieces(corpus, spec.context_tokens) for corpus in corpora]
    ends = np.cumsum([len(found) for found in pieces]).tolist()
    places = [range(end - len(found), end) for end, found in zip(ends, pieces, strict=True)]
    flat = np.concatenate([found + np.array([start, 0]) for found, start in zip(pieces, rehearsal.starts, strict=True)])
    device = model.tokens.weight.device

    def logits_of(at: int) -> Tensor:
        laid = laid_out(rehearsal.joined, flat[at : at + 1])
        return F.linear(model.packed(laid.ids.to(device), laid.runs), model.head.weight).float()  # [N, V]

    model.eval()
    estimate_importance(anchor, spec, places, logits_of, report, seed=spec.seed)

"""What a run on vectors does with earlier tasks: their rows in each step, and what each weight means to them."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.continuing import Anchor, Earlier, earlier_rows, estimate_importance, no_earlier_data
from engine.contrastive import ROUND, rehearsed_batches, rehearsed_size
from engine.data import read_texts
from engine.embedder import TextEmbedder
from engine.pairs import PairRows, read_pairs
from engine.recipes.embed_setup import AnyRows, Lesson, lesson_of
from engine.report import Report
from engine.specs.embed import EmbedSpec

FISHER_ROWS = 16  # told apart from each other where the meaning of weights is estimated


@dataclass(frozen=True)
class Rehearsal:
    """A lesson whose steps hold new rows and rows of one earlier task; tasks take turns.

    Each row is told apart from those of its own task alone, so an earlier task is learnt as it was, whatever the new one
    calls alike. An epoch is one pass over the new rows.
    """

    lessons: Sequence[Lesson]  # the new one first
    share: float

    @property
    def ids(self) -> Sequence[int]:
        """Example ids, task by task."""
        return [number for lesson in self.lessons for number in lesson.ids]

    @property
    def texts_per_row(self) -> int:
        """Of the task that brings most."""
        return max(lesson.texts_per_row for lesson in self.lessons)

    @cached_property
    def starts(self) -> list[int]:
        """Where the rows of each task begin."""
        return [0, *accumulate(len(lesson.ids) for lesson in self.lessons[:-1])]

    def batches(self, epoch: int, size: int) -> list[list[int]]:
        """The steps of an epoch, as rows; by seed and epoch only."""
        drawn = rehearsed_size(size, self.share)
        new = [batch for batch in self.lessons[0].batches(epoch, size - drawn) if len(batch) > 1]
        tasks = range(1, len(self.lessons))
        return rehearsed_batches(new, [partial(self._round, task, epoch, drawn) for task in tasks])

    def _round(self, task: int, epoch: int, size: int, number: int) -> list[list[int]]:
        """The steps of an earlier task when it begins for the `number`th time in an epoch."""
        batches = self.lessons[task].batches(epoch + ROUND * number, size)
        return [[self.starts[task] + at for at in batch] for batch in batches]

    def sequences(self, rows: Sequence[int]) -> list[list[int]]:
        """The token ids of all texts a step of these rows reads, task by task."""
        return [ids for task, _, own in self._by_task(rows) for ids in self.lessons[task].sequences(own)]

    def losses(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """The loss of each row, [B]."""
        found: list[Tensor] = []
        places: list[int] = []
        start = 0
        for task, where, own in self._by_task(rows):
            end = start + len(self.lessons[task].sequences(own))
            found.append(self.lessons[task].losses(vectors[start:end], own))
            places += where
            start = end
        order = torch.empty(len(places), dtype=torch.long)
        order[torch.tensor(places)] = torch.arange(len(places))
        return torch.cat(found)[order.to(vectors.device)]

    def logits(self, vectors: Tensor, rows: Sequence[int]) -> Tensor:
        """Of rows of one task: what each is told apart from."""
        ((task, _, own),) = self._by_task(rows)
        return self.lessons[task].logits(vectors, own)

    def _by_task(self, rows: Sequence[int]) -> list[tuple[int, list[int], list[int]]]:
        """(task, places among `rows`, the task's own numbers) of each task that has rows here, the new one first."""
        places: dict[int, list[int]] = defaultdict(list)
        for place, at in enumerate(rows):
            places[bisect_right(self.starts, at) - 1].append(place)
        return [(task, places[task], [rows[at] - self.starts[task] for at in places[task]]) for task in sorted(places)]


def lessons_of(
    spec: EmbedSpec, parts: dict[str, AnyRows], earlier: Sequence[Earlier], tokenizer: Any, limit: int, data_kind: str
) -> tuple[Lesson, list[Lesson]]:
    """(what the run learns, with rehearsed tasks where the spec says so; what each earlier task taught where it is read)."""
    tasks = earlier_lessons(spec, parts, earlier, tokenizer, limit, data_kind)
    new = lesson_of(spec, parts["train"], tokenizer, limit)
    return (Rehearsal([new, *tasks], spec.replay_share) if spec.keep == "replay" else new), tasks


def earlier_lessons(
    spec: EmbedSpec, parts: dict[str, AnyRows], earlier: Sequence[Earlier], tokenizer: Any, limit: int, data_kind: str
) -> list[Lesson]:
    """What each earlier task taught, where the spec reads it; RunFailed when there is nothing to tell apart."""
    if not spec.rehearses:
        return []
    measured = [parts["dev"], parts["test"]]
    rows = earlier_rows(spec, earlier, lambda task: read(task.path, task.kind or data_kind), queries, measured)
    found = [lesson_of(spec, part, tokenizer, limit) for part in rows]
    found = [lesson for lesson in found if any(len(batch) > 1 for batch in lesson.batches(0, FISHER_ROWS))]
    if not found:
        raise no_earlier_data()
    return found


def read(path: Path, kind: str) -> dict[str, Any]:
    """Rows by split: pairs, or the texts that have a label."""
    if kind == "pairs":
        return dict(read_pairs(path))
    return {
        name: rows.pick([at for at, labels in enumerate(rows.labels) if labels])
        for name, rows in read_texts(path).items()
    }


def queries(rows: AnyRows) -> Sequence[str]:
    """The texts a task is asked with."""
    return rows.sources if isinstance(rows, PairRows) else rows.texts


def estimate(anchor: Anchor, spec: EmbedSpec, lessons: Sequence[Lesson], model: TextEmbedder, report: Report) -> None:
    """What each weight means to the earlier tasks: of the likelihood of a found text among those of its step.

    A step of FISHER_ROWS queries is one sample: their drawn texts are independent, so the square of the summed gradient
    is on average the sum of the squares.
    """
    steps = [[(lesson, batch) for batch in lesson.batches(0, FISHER_ROWS) if len(batch) > 1] for lesson in lessons]
    flat = [found for task in steps for found in task]
    ends = list(accumulate(map(len, steps)))
    places = [range(end - len(task), end) for end, task in zip(ends, steps, strict=True)]

    def logits_of(at: int) -> Tensor:
        lesson, batch = flat[at]
        return lesson.logits(model(lesson.sequences(batch)), batch)

    model.eval()
    estimate_importance(anchor, spec, places, logits_of, report, seed=spec.seed, rows_each=FISHER_ROWS)

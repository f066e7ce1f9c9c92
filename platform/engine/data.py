"""Frozen dataset versions read from Parquet, batch by batch."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.failures import RunFailed
from engine.spans import Span
from engine.specs.common import RunOptions
from engine.specs.records import FIELDS
from words import say

ROWS_AT_ONCE = 4096


@dataclass
class Rows:
    """The rows of one split in file order, column by column; a subclass adds its kind's columns."""

    ids: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def pick(self, positions: Sequence[int]) -> Self:
        """The rows at `positions`, in that order."""
        return type(self)(*([getattr(self, one.name)[at] for at in positions] for one in fields(self)))

    def wording(self, at: int) -> str:
        """All that people wrote in the row at a position."""
        raise NotImplementedError

    def extend(self, other: Self) -> None:
        """Append the rows of `other`."""
        for one in fields(self):
            getattr(self, one.name).extend(getattr(other, one.name))


R = TypeVar("R", bound=Rows)
Answer = tuple[str, int]  # text and its first code point in the context


@dataclass
class TextRows(Rows):
    """Rows of a classification dataset."""

    texts: list[str] = field(default_factory=list)
    labels: list[tuple[str, ...]] = field(default_factory=list)

    def wording(self, at: int) -> str:
        """The text."""
        return self.texts[at]


@dataclass
class SpanRows(Rows):
    """Rows of a dataset of marked texts; spans in text order."""

    texts: list[str] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)

    def wording(self, at: int) -> str:
        """The text."""
        return self.texts[at]


@dataclass
class QaRows(Rows):
    """Rows of a dataset of questions about passages; a question without answers has none in its passage."""

    questions: list[str] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    answers: list[list[Answer]] = field(default_factory=list)

    def wording(self, at: int) -> str:
        """Question, passage and answers."""
        return "\n".join([self.questions[at], self.contexts[at], *(text for text, _ in self.answers[at])])


def iterate_rows(path: Path, columns: Sequence[str], size: int = ROWS_AT_ONCE) -> Iterator[list[dict[str, Any]]]:
    """Lists of at most `size` rows as dicts of `columns`; RunFailed("bad_data") if the file does not fit."""
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise RunFailed(
                    "bad_data",
                    say("The dataset file has no column “{missing}”.", missing=missing[0]),
                    say("Freeze the version again."),
                )
            for batch in file.iter_batches(batch_size=size, columns=list(columns)):
                yield batch.to_pylist()
    except FileNotFoundError as error:
        raise RunFailed("bad_data", say("The dataset file is missing."), say("Freeze the version again.")) from error
    except (pa.ArrowException, OSError) as error:
        raise RunFailed(
            "bad_data", say("The dataset file cannot be read as Parquet."), say("Freeze the version again.")
        ) from error


def count_rows(path: Path) -> int:
    """Rows in the file, from its footer."""
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as error:
        raise RunFailed(
            "bad_data", say("The dataset file cannot be read as Parquet."), say("Freeze the version again.")
        ) from error


def read_texts(path: Path) -> dict[str, TextRows]:
    """Classification rows by split."""
    splits: dict[str, TextRows] = {}
    for rows in iterate_rows(path, ("example_id", "split", *FIELDS["classification"])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", TextRows())
            part.ids.append(row["example_id"])
            part.texts.append(row["text"] or "")
            part.labels.append(tuple(row["labels"] or ()))
    return splits


def held_out(count: int, share: float, seed: int, groups: Sequence[Any] | None = None) -> tuple[list[int], list[int]]:
    """(kept, held out) positions 0..count-1: a seeded share, taken evenly from each group where groups are given."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(count)
    if groups is not None:
        rank: dict[Any, int] = {}
        within = np.zeros(count)
        for at in order:
            rank[groups[at]] = rank.get(groups[at], 0) + 1
            within[at] = rank[groups[at]]
        sizes = np.array([rank[group] for group in groups])
        order = order[np.argsort((within - 0.5)[order] / sizes[order], kind="stable")]
    taken = round(count * share)
    return sorted(int(at) for at in order[taken:]), sorted(int(at) for at in order[:taken])


@dataclass
class ChatRows(Rows):
    """Rows of a chat dataset."""

    messages: list[list[dict[str, str]]] = field(default_factory=list)
    others: dict[int, list[str]] = field(default_factory=dict)  # by id: further answers that are right, too
    tests: dict[int, str] = field(default_factory=dict)  # by id: a program that a written program must pass

    def wording(self, at: int) -> str:
        """Every message."""
        return "\n".join(message["content"] for message in self.messages[at])

    def pick(self, positions: Sequence[int]) -> "ChatRows":
        """The rows at `positions`, in that order."""
        made = ChatRows([self.ids[at] for at in positions], [self.messages[at] for at in positions])
        made.others = {number: self.others[number] for number in made.ids if number in self.others}
        made.tests = {number: self.tests[number] for number in made.ids if number in self.tests}
        return made

    def extend(self, other: "ChatRows") -> None:
        """Append the rows of `other`."""
        self.ids += other.ids
        self.messages += other.messages
        self.others |= other.others
        self.tests |= other.tests


def read_chats(path: Path, kind: str = "chat", instruction: str = "") -> dict[str, ChatRows]:
    """Chats by split, of chat rows or of pairs and questions told as chats; `instruction` is the latters' system message.

    Of a row with `tests` among its further columns the answer is a program, and the tests are what it must pass.
    """
    splits: dict[str, ChatRows] = {}
    said = CHATS_OF[kind]
    first = [{"role": "system", "content": instruction}] if instruction and kind != "chat" else []
    for rows in iterate_rows(path, ("example_id", "split", "meta", *FIELDS[kind])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", ChatRows())
            part.ids.append(row["example_id"])
            part.messages.append([*first, *said(row)])
            if kind == "qa" and len(row["answers"] or ()) > 1:
                part.others[row["example_id"]] = [found["text"] for found in row["answers"][1:]]
            if (
                row["meta"]
                and '"tests"' in row["meta"]
                and isinstance(found := json.loads(row["meta"]).get("tests"), str)
            ):
                part.tests[row["example_id"]] = found
    return splits


def _chat_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": found["role"] or "", "content": found["content"] or ""} for found in row["messages"] or ()]


def _pair_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": row["source"] or ""},
        {"role": "assistant", "content": row["target"] or ""},
    ]


def _question_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The passage, then the question; of several answers the first is learnt."""
    asked = f"{row['context']}\n\n{row['question']}" if row["context"] else row["question"] or ""
    answers = [found["text"] for found in row["answers"] or ()]
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answers[0] if answers else ""}]


CHATS_OF: dict[str, Callable[[Mapping[str, Any]], list[dict[str, str]]]] = {
    "chat": _chat_messages,
    "pairs": _pair_messages,
    "qa": _question_messages,
}


def read_spans(path: Path) -> dict[str, SpanRows]:
    """Marked texts by split."""
    splits: dict[str, SpanRows] = {}
    for rows in iterate_rows(path, ("example_id", "split", *FIELDS["spans"])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", SpanRows())
            part.ids.append(row["example_id"])
            part.texts.append(row["text"] or "")
            part.spans.append(sorted(Span(one["start"], one["end"], one["label"]) for one in row["spans"] or ()))
    return splits


def read_questions(path: Path) -> dict[str, QaRows]:
    """Questions with their passages by split."""
    splits: dict[str, QaRows] = {}
    for rows in iterate_rows(path, ("example_id", "split", *FIELDS["qa"])):
        for row in rows:
            part = splits.setdefault(row["split"] or "", QaRows())
            part.ids.append(row["example_id"])
            part.questions.append(row["question"] or "")
            part.contexts.append(row["context"] or "")
            part.answers.append([(one["text"], one["start"]) for one in row["answers"] or ()])
    return splits


def parts_of(
    spec: RunOptions,
    splits: Mapping[str, R],
    empty: Callable[[], R],
    groups: Callable[[R], Sequence[Any]] | None = None,
) -> dict[str, R]:
    """Rows as train, dev and test; dev is held out of train, evenly from each group, when the dataset has none."""
    named = {"train": spec.train_split, "dev": spec.dev_split, "test": spec.test_split}
    parts = {part: splits.get(name) or empty() for part, name in named.items()}
    if not len(parts["dev"]) and spec.holdout_share > 0 and len(parts["train"]):
        whole = parts["train"]
        kept, out = held_out(len(whole), spec.holdout_share, spec.seed, groups(whole) if groups else None)
        parts["train"], parts["dev"] = whole.pick(kept), whole.pick(out)
    return parts


def write_whole(path: Path, table: pa.Table) -> None:
    """Write `table` to `path` so that nobody ever sees half of it."""
    beside = path.with_suffix(".unfinished")
    pq.write_table(table, beside)
    beside.rename(path)

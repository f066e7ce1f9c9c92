"""A reader on a pretrained encoder: where in a passage the answer to a question begins and ends, or that it is not there."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Answer
from engine.encoder import PackedEncoder, added_by_type, can_pack, set_dropout, type_table
from engine.failures import Stopped
from engine.predict import batches_by_tokens
from engine.report import Report, Silent
from words import say

BATCH_TOKENS = 2048
QUESTIONS_AT_ONCE = 256
Pair = tuple[str, str]  # question and passage


@dataclass(frozen=True)
class Passage:
    """What the encoder reads at once: token ids of a question and a stretch of its passage."""

    row: int  # of the questions the windows were made from
    ids: list[int]  # [T]; the first token also stands for “no answer”
    types: list[int]  # [T], 0 for the question and 1 for the passage where the tokenizer tells them apart
    start: int  # tokens [start, end) are the passage's
    end: int
    places: list[tuple[int, int]]  # of these tokens, code points of the passage


class SpanReader(PackedEncoder):
    """Windows of questions and passages -> start and end logits [T, 2]; `network` is one of transformers for questions."""

    def __init__(self, network: Any, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = network.config
        self.is_packed = can_pack(network.config)
        self.dropout_share = dropout
        self.network = network
        set_dropout(self, dropout)

    @property
    def encoder(self) -> Any:
        """The encoder without its head."""
        return self.network.base_model

    def forward(self, windows: Sequence[Passage]) -> Tensor:
        """Logits [T, 2] of all tokens, window after window."""
        types = added_by_type(self.encoder, [kind for window in windows for kind in window.types])
        states = self.token_states([window.ids for window in windows], types)  # [T, D]
        return cast(Tensor, self.network.qa_outputs(F.dropout(states, self.dropout_share, self.training)))

    @property
    def type_table(self) -> nn.Embedding | None:
        """The embeddings of question and passage; None for encoders that do not tell them apart."""
        return type_table(self.encoder)


def windows_of(tokenizer: Any, pairs: Sequence[Pair], *, max_length_tokens: int, stride_tokens: int) -> list[Passage]:
    """Each question with its passage, cut into windows that share `stride_tokens`; of an endless question the beginning."""
    if not pairs:
        return []
    found = tokenizer(
        _cut([question for question, _ in pairs], tokenizer, max_length_tokens // 3),
        [context for _, context in pairs],
        truncation="only_second",
        max_length=max_length_tokens,
        stride=stride_tokens,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        verbose=False,
    )
    windows = []
    for at, ids in enumerate(found["input_ids"]):
        parts = found.sequence_ids(at)
        inside = [place for place, part in enumerate(parts) if part == 1]
        start, end = (inside[0], inside[-1] + 1) if inside else (1, 1)
        types = found["token_type_ids"][at] if "token_type_ids" in found else [int(part == 1) for part in parts]
        places = [tuple(place) for place in found["offset_mapping"][at][start:end]]
        windows.append(
            Passage(int(found["overflow_to_sample_mapping"][at]), list(ids), list(types), start, end, places)
        )
    return windows


def _cut(questions: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
    found = tokenizer(list(questions), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [
        question[: places[limit - 1][1]] if len(places) > limit else question
        for question, places in zip(questions, found["offset_mapping"], strict=True)
    ]


def target_of(window: Passage, answers: Sequence[Answer]) -> tuple[int, int]:
    """(first, last) token of the first answer that lies whole in the window; (0, 0), “no answer”, when none does."""
    for text, begin in answers:
        finish = begin + len(text)
        if not window.places or begin < window.places[0][0] or finish > window.places[-1][1]:
            continue
        touched = [at for at, (start, end) in enumerate(window.places) if start < finish and end > begin]
        if touched:
            return window.start + touched[0], window.start + touched[-1]
    return 0, 0


def choices_of(logits: Tensor, window: Passage) -> Tensor:
    """[1 + C, 2]: what start and end are chosen from, of the logits [T, 2] of a window: “no answer”, then its passage."""
    return torch.cat((logits[:1], logits[window.start : window.end]))


def window_losses(logits: Tensor, windows: Sequence[Passage], targets: Sequence[tuple[int, int]]) -> Tensor:
    """[B]: mean cross-entropy of start and end of each window over its passage's tokens and “no answer”."""
    losses = []
    for rows, window, (first, last) in zip(
        torch.split(logits, [len(window.ids) for window in windows]), windows, targets, strict=True
    ):
        choices = choices_of(rows, window)
        wanted = [0 if at == 0 else at - window.start + 1 for at in (first, last)]
        losses.append(F.cross_entropy(choices.T, torch.tensor(wanted, device=rows.device)))
    return torch.stack(losses)


@torch.no_grad()
def forward_windows(
    model: SpanReader, windows: Sequence[Passage], report: Report, *, rows: int, start: int = 0, total: int = 0
) -> list[Tensor]:
    """Logits [T, 2] of each window of so many questions on the CPU, in their order; raises Stopped when asked."""
    found: list[Tensor] = [torch.empty(0)] * len(windows)
    done = 0
    for batch in batches_by_tokens([len(window.ids) for window in windows], BATCH_TOKENS):
        if report.should_stop():
            raise Stopped
        logits = model([windows[at] for at in batch]).float().cpu()
        for at, part in zip(batch, torch.split(logits, [len(windows[at].ids) for at in batch]), strict=True):
            found[at] = part
        done += len(batch)
        report.progress(start + rows * done // len(windows), total or rows, "texts", say("answering"))
    return found


@dataclass(frozen=True)
class Found:
    """What a reader says to a question: passage[start:end], or nothing ("" at 0) when the answer is not there."""

    answer: str
    start: int
    end: int
    probability: float  # among all spans that could be said
    loss: float = 0.0  # with gold answers only: mean over windows


class Reader:
    """A loaded model version that finds answers; the same question and passage get the same answer in any company."""

    def __init__(self, model: SpanReader, tokenizer: Any, description: dict[str, Any]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.description = description

    def read(
        self,
        pairs: Sequence[Pair],
        *,
        gold: Sequence[Sequence[Answer]] | None = None,
        report: Report | None = None,
        start: int = 0,
        total: int = 0,
    ) -> list[Found]:
        """The answer to each question; with `gold` answers also the loss."""
        windows = self.windows(pairs)
        logits = forward_windows(self.model, windows, report or Silent(), rows=len(pairs), start=start, total=total)
        rows: list[list[int]] = [[] for _ in pairs]
        for at, window in enumerate(windows):
            rows[window.row].append(at)
        return [
            self._found(
                pairs[row][1],
                [windows[at] for at in mine],
                [logits[at] for at in mine],
                None if gold is None else gold[row],
            )
            for row, mine in enumerate(rows)
        ]

    def windows(self, pairs: Sequence[Pair]) -> list[Passage]:
        """The windows in which this version reads."""
        return windows_of(
            self.tokenizer,
            pairs,
            max_length_tokens=self.description["max_length_tokens"],
            stride_tokens=self.description["stride_tokens"],
        )

    def stream(
        self, pairs: Iterable[Pair], *, report: Report, total: int, start: int = 0
    ) -> Iterator[tuple[int, list[Found]]]:
        """(position of the first question, what is said) portion by portion, in order; positions begin at `start`."""
        remaining = iter(pairs)
        while portion := list(islice(remaining, QUESTIONS_AT_ONCE)):
            yield start, self.read(portion, report=report, start=start, total=total)
            start += len(portion)

    def _found(
        self, context: str, windows: Sequence[Passage], logits: Sequence[Tensor], gold: Sequence[Answer] | None
    ) -> Found:
        loss = 0.0
        if gold is not None:
            targets = [target_of(window, gold) for window in windows]
            loss = float(window_losses(torch.cat(list(logits)), windows, targets).mean())
        best, places, sums = -math.inf, (0, 0), []
        for window, rows in zip(windows, logits, strict=True):
            scores = span_scores(rows[window.start : window.end], self.description["max_answer_tokens"])  # [C, C]
            if not scores.numel():
                continue
            sums.append(torch.logsumexp(scores.flatten(), 0))
            at = int(scores.argmax())
            first, last = divmod(at, scores.shape[1])
            if float(scores[first, last]) > best:
                best, places = float(scores[first, last]), (window.places[first][0], window.places[last][1])
        nothing = min(float(rows[0].sum()) for rows in logits)
        if self.description["no_answer"]:
            sums.append(torch.tensor(nothing))
        if not sums or (self.description["no_answer"] and nothing - best > self.description["no_answer_margin"]):
            return Found("", 0, 0, math.exp(nothing - float(torch.stack(sums).logsumexp(0))) if sums else 1.0, loss)
        begin, finish = trimmed(context, *places)
        return Found(context[begin:finish], begin, finish, math.exp(best - float(torch.stack(sums).logsumexp(0))), loss)


def span_scores(logits: Tensor, longest: int) -> Tensor:
    """Start plus end logit of every span of [C, 2] tokens, [C, C]; -inf where it ends early or is longer than `longest`."""
    scores = logits[:, 0, None] + logits[None, :, 1]
    length = torch.arange(len(logits))[None, :] - torch.arange(len(logits))[:, None]
    return scores.masked_fill((length < 0) | (length >= longest), -math.inf)


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends, which tokens of some vocabularies carry."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end

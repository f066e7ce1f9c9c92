"""A tagger on a pretrained encoder: units of texts to tags, windows put together, and spans by the best legal tags."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.encoder import PackedEncoder, can_pack, set_dropout
from engine.failures import Stopped
from engine.predict import batches_by_tokens
from engine.report import Report, Silent
from engine.spans import Span, best_tags, legal_moves, spans_of, tags_of
from engine.units import SHAPES, Reading, pieces_of, read_units, shapes_of, surroundings
from words import say

BATCH_TOKENS = 2048
TEXTS_AT_ONCE = 1024


@dataclass(frozen=True)
class Window:
    """What the encoder reads at once: token ids with special tokens, and the units it answers for."""

    row: int  # of the texts the windows were made from
    ids: list[int]  # [T]
    shapes: list[int]  # [T], how the tokens' words are written
    firsts: list[int]  # [U], places in `ids`
    units: tuple[int, int]  # [first, last) of the row's units


class TokenTagger(PackedEncoder):
    """Windows of texts -> logits [U, K] of their units, K tags.

    `network` is a transformers token-classification model; with `case_features` what each word looks like is put on top
    of its tokens' embeddings, which tells an uncased encoder what its tokenizer took away.
    """

    def __init__(self, network: Any, *, case_features: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = network.config
        self.is_packed = can_pack(network.config)
        self.dropout_share = dropout
        self.network = network
        self.case: nn.Embedding | None = None
        if case_features:
            self.case = nn.Embedding(SHAPES, network.get_input_embeddings().embedding_dim)
            nn.init.zeros_(self.case.weight)  # training starts from the encoder as it is
        set_dropout(self, dropout)

    @property
    def encoder(self) -> Any:
        """The encoder without its head."""
        return self.network.base_model

    def forward(self, windows: Sequence[Window]) -> Tensor:
        """Logits [U, K] of the windows' units, window after window."""
        device = self.network.classifier.weight.device
        added = None
        if self.case is not None:
            added = self.case(torch.tensor([shape for window in windows for shape in window.shapes], device=device))
        states = self.token_states([window.ids for window in windows], added)  # [T, D]
        places, start = [], 0
        for window in windows:
            places += [start + at for at in window.firsts]
            start += len(window.ids)
        read = states[torch.tensor(places, device=device)]  # [U, D]
        return cast(Tensor, self.network.classifier(F.dropout(read, self.dropout_share, self.training)))


def windows_of(
    tokenizer: Any, texts: Sequence[str], readings: Sequence[Reading], *, max_length_tokens: int, stride_tokens: int
) -> list[Window]:
    """The windows of readings, in their order; a text without units has none."""
    before, behind = surroundings(tokenizer)
    room = max_length_tokens - len(before) - len(behind)
    shapes = [shapes_of(text, reading) for text, reading in zip(texts, readings, strict=True)]
    found = []
    for piece in pieces_of(readings, room, stride_tokens):
        reading, units = readings[piece.row], range(piece.first_unit, piece.last_unit)
        shift = len(before) - piece.start
        part = slice(piece.start, piece.end)
        found.append(
            Window(
                piece.row,
                [*before, *reading.tokens[part], *behind],
                [*([0] * len(before)), *shapes[piece.row][part], *([0] * len(behind))],
                [reading.firsts[at] + shift for at in units],
                (piece.first_unit, piece.last_unit),
            )
        )
    return found


@torch.no_grad()
def forward_windows(
    model: TokenTagger, windows: Sequence[Window], report: Report, *, texts: int, start: int = 0, total: int = 0
) -> list[Tensor]:
    """Logits [U, K] of each window of so many texts on the CPU, in their order; raises Stopped when asked."""
    found: list[Tensor] = [torch.empty(0)] * len(windows)
    done = 0
    for batch in batches_by_tokens([len(window.ids) for window in windows], BATCH_TOKENS):
        if report.should_stop():
            raise Stopped
        logits = model([windows[at] for at in batch]).float().cpu()
        for at, rows in zip(batch, torch.split(logits, [len(windows[at].firsts) for at in batch]), strict=True):
            found[at] = rows
        done += len(batch)
        report.progress(start + texts * done // len(windows), total or texts, "texts", say("labelling"))
    return found


@dataclass(frozen=True)
class Marked:
    """What a tagger says of a text."""

    spans: list[tuple[Span, float]]  # with the probability of the least sure of its units
    probability: float  # of the least sure unit's tag; 1 where there is no unit
    units: int
    units_right: int = 0  # with gold spans only, as is `loss`
    loss: float = 0.0  # sum over units


class Tagger:
    """A loaded model version that marks spans; the same text gets the same spans in any company."""

    def __init__(self, model: TokenTagger, tokenizer: Any, description: dict[str, Any]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.labels = tuple(description["labels"])
        self.description = description
        self._starts, self._moves = legal_moves(len(self.labels))

    def mark(
        self,
        texts: Sequence[str],
        *,
        gold: Sequence[Sequence[Span]] | None = None,
        report: Report | None = None,
        start: int = 0,
        total: int = 0,
    ) -> list[Marked]:
        """The spans of each text; with `gold` spans of known labels also loss and right units."""
        readings = read_units(self.tokenizer, texts, self.description["unit"])
        windows = self.windows(texts, readings)
        logits = forward_windows(self.model, windows, report or Silent(), texts=len(texts), start=start, total=total)
        rows: list[list[Tensor]] = [[] for _ in texts]
        for window, found in zip(windows, logits, strict=True):
            rows[window.row].append(found)
        return [
            self._marked(reading, torch.cat(parts) if parts else torch.zeros(0, 1), gold[at] if gold else None)
            for at, (reading, parts) in enumerate(zip(readings, rows, strict=True))
        ]

    def windows(self, texts: Sequence[str], readings: Sequence[Reading]) -> list[Window]:
        """The windows in which this version reads."""
        return windows_of(
            self.tokenizer,
            texts,
            readings,
            max_length_tokens=self.description["max_length_tokens"],
            stride_tokens=self.description["stride_tokens"],
        )

    def stream(
        self, texts: Iterable[str], *, report: Report, total: int, start: int = 0
    ) -> Iterator[tuple[int, list[Marked]]]:
        """(position of the first text, what is said) portion by portion, in order; positions begin at `start`."""
        remaining = iter(texts)
        while portion := list(islice(remaining, TEXTS_AT_ONCE)):
            yield start, self.mark(portion, report=report, start=start, total=total)
            start += len(portion)

    def _marked(self, reading: Reading, logits: Tensor, gold: Sequence[Span] | None) -> Marked:
        if not len(reading):
            return Marked([], 1.0, 0)
        logs = F.log_softmax(logits, -1).numpy().astype(np.float64)  # [U, K]
        tags = best_tags(logs, self._starts, self._moves)
        sure = np.exp(logs[np.arange(len(tags)), tags])
        spans = [
            (span, float(sure[first:last].min())) for span, first, last in spans_of(reading.spans, tags, self.labels)
        ]
        if gold is None:
            return Marked(spans, float(sure.min()), len(tags))
        true = np.array(tags_of(reading.spans, gold, self.labels).tags)
        loss = -logs[np.arange(len(true)), true].sum()
        return Marked(spans, float(sure.min()), len(tags), int((true == np.array(tags)).sum()), float(loss))

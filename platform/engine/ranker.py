"""Pairs of texts to scores: an encoder reads both at once and says how well the second answers the first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.encoder import TextClassifier, added_by_type
from engine.failures import Stopped
from engine.predict import BATCH_TOKENS, WINDOW, batches_by_tokens
from engine.report import Report, Silent
from words import say

Pair = tuple[str, str]  # the query, and the text that is judged
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class TokenPair:
    """What the encoder reads at once of a pair."""

    ids: list[int]  # [T]
    types: list[int]  # [T], 0 for the query and 1 for the text where the tokenizer tells them apart, else 0


class PairScorer(TextClassifier):
    """Pairs of texts -> one logit each; the network is a sequence classifier with a single output."""

    def __init__(self, network: Any, *, pooling: str, dropout: float = 0.0) -> None:
        super().__init__(network, 1, pooling=pooling, dropout=dropout)

    def scores(self, pairs: Sequence[TokenPair]) -> Tensor:
        """Logits [N] of N pairs, in their order."""
        types = added_by_type(self.encoder, [kind for pair in pairs for kind in pair.types])
        return self.logits([pair.ids for pair in pairs], types)[:, 0]


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], max_length_tokens: int) -> list[TokenPair]:
    """Token ids and types of each pair; of one that is too long the longer side loses its end first."""
    if not pairs:
        return []
    found = tokenizer(
        [query for query, _ in pairs],
        [text for _, text in pairs],
        truncation="longest_first",
        max_length=max_length_tokens,
        return_attention_mask=False,
        verbose=False,
    )
    kinds = found["token_type_ids"] if "token_type_ids" in found else [[0] * len(ids) for ids in found["input_ids"]]
    return [TokenPair(list(ids), list(types)) for ids, types in zip(found["input_ids"], kinds, strict=True)]


class Ranker:
    """A loaded model version that scores pairs; the same pair gets the same score in any company (to rounding)."""

    def __init__(self, model: PairScorer, tokenizer: Any, description: dict[str, Any]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length_tokens = int(description["max_length_tokens"])
        self.description = description

    def score(self, pairs: Sequence[Pair], report: Report | None = None, *, start: int = 0, total: int = 0) -> Scores:
        """Logits [N] of `pairs` in their order; raises Stopped when the report asks for it."""
        report = report or Silent()
        distinct = {pair: at for at, pair in enumerate(dict.fromkeys(pairs))}
        encoded = encode_pairs(self.tokenizer, list(distinct), self.max_length_tokens)
        logits: Scores = score_all(self.model, encoded, report, start=start, total=total or len(pairs)).numpy()
        return logits[[distinct[pair] for pair in pairs]] if pairs else logits

    def stream(
        self, pairs: Iterable[Pair], *, report: Report, total: int, start: int = 0
    ) -> Iterator[tuple[int, Scores]]:
        """(position of the first pair, logits) window by window, in order; positions begin at `start`."""
        remaining = iter(pairs)
        while chunk := list(islice(remaining, WINDOW)):
            yield start, self.score(chunk, report, start=start, total=total)
            start += len(chunk)

    def rank(self, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        """(position, score from 0 to 1) of the texts, the best first; of equal ones the earlier."""
        return self.rank_each([(query, texts)])[0]

    def rank_each(self, queries: Sequence[tuple[str, Sequence[str]]]) -> list[list[tuple[int, float]]]:
        """The same for several queries, each with texts of its own, whose pairs are read together."""
        logits = self.score([(query, text) for query, texts in queries for text in texts])
        ends = np.cumsum([len(texts) for _, texts in queries])
        return [_ordered(part) for part in np.split(logits, ends[:-1])]


def _ordered(logits: Scores) -> list[tuple[int, float]]:
    shares = chances(logits)
    return [(at, float(shares[at])) for at in np.argsort(-logits, kind="stable").tolist()]


def chances(logits: Scores) -> Scores:
    """Logits [N] between 0 and 1 (the logistic function), as CrossEncoder of sentence-transformers gives scores."""
    found: Scores = torch.sigmoid(torch.from_numpy(np.ascontiguousarray(logits))).numpy()
    return found


@torch.no_grad()
def score_all(
    model: PairScorer, pairs: Sequence[TokenPair], report: Report, *, start: int = 0, total: int = 0
) -> Tensor:
    """Logits [N] on the CPU in the order of `pairs`; raises Stopped when asked."""
    found = torch.zeros(len(pairs))
    done = 0
    for batch in batches_by_tokens([len(pair.ids) for pair in pairs], BATCH_TOKENS):
        if report.should_stop():
            raise Stopped
        found[batch] = model.scores([pairs[at] for at in batch]).float().cpu()
        done += len(batch)
        report.progress(start + done, total or len(pairs), "texts", say("scoring"))
    return found

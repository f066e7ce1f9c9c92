"""Texts to vectors: an encoder whose token vectors become one vector a text, without padding."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.encoder import PackedEncoder, can_pack, set_dropout
from engine.failures import Stopped
from engine.gpt.runs import documents
from engine.predict import BATCH_TOKENS, batches_by_tokens, encode
from engine.report import Report, Silent
from words import say

WINDOW = 4096
Vectors = NDArray[np.float32]


class TextEmbedder(PackedEncoder):
    """Token ids of N texts -> vectors [N, D]: the mean of a text's token vectors, or the first one.

    `network` is a transformers encoder without a head. With `normalise` vectors have length 1.
    """

    def __init__(self, network: Any, *, pooling: str, normalise: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = network.config
        self.is_packed = can_pack(network.config)
        self.pooling = pooling
        self.normalise = normalise
        # The pooler of the base takes no part; it is kept aside, unregistered, so that a saved folder is whole.
        self.aside: tuple[nn.Module, ...] = ()
        if getattr(network, "pooler", None) is not None:
            self.aside, network.pooler = (network.pooler,), None
        self.network = network
        set_dropout(self, dropout)

    @property
    def encoder(self) -> Any:
        """The encoder, which is all there is."""
        return self.network

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.config.hidden_size)

    def forward(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Vectors [N, D] of N sequences of token ids, in their order."""
        pooled = self._packed(sequences) if self.is_packed else self._padded_vectors(sequences)
        return F.normalize(pooled.float(), dim=-1) if self.normalise else pooled.float()

    def _packed(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
        hidden, runs = self._packed_hidden(sequences, order)  # [T, D]
        found = torch.cat([self._pool(documents(hidden, run)) for run in runs])
        return found[torch.argsort(torch.tensor(order)).to(found.device)]

    def _padded_vectors(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        tokens = torch.split(self.token_states(sequences), [len(sequence) for sequence in sequences])
        return torch.cat([self._pool(states[None]) for states in tokens])

    def _pool(self, block: Tensor) -> Tensor:
        """[n, L, D] of equally long texts -> [n, D]."""
        return block.mean(1) if self.pooling == "mean" else block[:, 0]


class Embedder:
    """A loaded model version that makes vectors; the same text gets the same vector in any company (to rounding)."""

    def __init__(self, model: TextEmbedder, tokenizer: Any, description: dict[str, Any]) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length_tokens = int(description["max_length_tokens"])
        self.description = description

    @property
    def scale(self) -> float:
        """What similarity is multiplied with before a softmax: 1 / the temperature it was trained with."""
        return 1 / float(self.description["temperature"])

    def embed(self, texts: Sequence[str], report: Report | None = None, *, start: int = 0, total: int = 0) -> Vectors:
        """Vectors [N, D] of `texts` in their order; raises Stopped when the report asks for it."""
        report = report or Silent()
        distinct = {text: at for at, text in enumerate(dict.fromkeys(texts))}
        sequences = encode(self.tokenizer, list(distinct), self.max_length_tokens)
        vectors = embed_all(self.model, sequences, report, start=start, total=total or len(texts)).numpy()
        return cast(Vectors, vectors[[distinct[text] for text in texts]])

    def stream(
        self, texts: Iterable[str], *, report: Report, total: int, start: int = 0
    ) -> Iterator[tuple[int, Vectors]]:
        """(position of the first text, vectors) window by window, in order; positions begin at `start`."""
        remaining = iter(texts)
        while chunk := list(islice(remaining, WINDOW)):
            yield start, self.embed(chunk, report, start=start, total=total)
            start += len(chunk)


@torch.no_grad()
def embed_all(
    model: TextEmbedder, sequences: Sequence[Sequence[int]], report: Report, *, start: int = 0, total: int = 0
) -> Tensor:
    """Vectors [N, D] on the CPU in the order of `sequences`; raises Stopped when asked."""
    found = torch.zeros(len(sequences), model.width)
    done = 0
    for batch in batches_by_tokens([len(sequence) for sequence in sequences], BATCH_TOKENS):
        if report.should_stop():
            raise Stopped
        found[batch] = model([sequences[at] for at in batch]).float().cpu()
        done += len(batch)
        report.progress(start + done, total or len(sequences), "texts", say("embedding"))
    return found

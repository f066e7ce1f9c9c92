"""How well a model foretells plain texts: loss, perplexity, bits per byte and token accuracy, each document read by itself."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import metrics
from engine.corpus import Corpus
from engine.evaluate_chat import LARGEST_EXPONENT
from engine.failures import Stopped
from engine.report import Report
from engine.windows import Pieces, document_pieces

LEAST_DOCUMENTS = 30  # fewer are resampled piece by piece
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CorpusLosses:
    """Summed losses and tokens guessed right of the pieces [P] of a part, and the pieces [P, 2]."""

    corpus: Corpus
    pieces: Pieces
    sums: Floats
    hits: Floats

    def of_documents(self) -> tuple[Floats, Floats, Floats]:
        """(summed loss, tokens guessed right, tokens), [D] each."""
        places = self.corpus.documents_at(self.pieces[:, 0])
        sums, hits = np.zeros(len(self.corpus)), np.zeros(len(self.corpus))
        np.add.at(sums, places, self.sums)
        np.add.at(hits, places, self.hits)
        return sums, hits, (self.corpus.ends - 1 - self.corpus.starts).astype(np.float64)


def measure_corpus(
    corpus: Corpus,
    context: int,
    foretold: Callable[[Pieces], tuple[Floats, Floats]],
    *,
    tokens_at_once: int,
    report: Report,
    phase: str,
    most_tokens: int = 0,
) -> CorpusLosses:
    """Losses of every document, or of pieces drawn evenly up to `most_tokens`; raises Stopped when asked.

    `foretold` tells of each of some pieces the summed loss, and of how many tokens the likeliest one was right.
    """
    pieces = document_pieces(corpus, context)
    if most_tokens and corpus.token_count > most_tokens:
        drawn = np.random.default_rng(len(pieces)).permutation(len(pieces))
        pieces = pieces[np.sort(drawn[np.cumsum(pieces[drawn, 1]) <= max(most_tokens, context)])]
    sums, hits = np.zeros(len(pieces)), np.zeros(len(pieces))
    for start, stop in _portions(pieces[:, 1], tokens_at_once):
        if report.should_stop():
            raise Stopped
        sums[start:stop], hits[start:stop] = foretold(pieces[start:stop])
        report.progress(stop, len(pieces), "sequences", phase)
    return CorpusLosses(corpus, pieces, sums, hits)


def mean_figures(found: CorpusLosses) -> dict[str, float]:
    """Loss, perplexity and accuracy per token, bits per byte of the text; of a drawn share, at the whole part's bytes per token."""
    tokens = found.pieces[:, 1].sum()
    loss = float(found.sums.sum() / tokens)
    return {
        "loss": loss,
        "perplexity": _perplexity(loss),
        "bits_per_byte": loss * _bits_per_nat(found.corpus),
        "token_accuracy": float(found.hits.sum() / tokens),
    }


def corpus_figures(found: CorpusLosses, *, seed: int) -> dict[str, Any]:
    """The figures of a whole part with 95 % bootstrap intervals over documents; over pieces when there are few.

    bits per byte = sum of losses / ln 2 / bytes of the texts in UTF-8, so vocabularies can be compared.
    """
    corpus, (sums, hits, counts) = found.corpus, found.of_documents()
    by_document = len(corpus) >= LEAST_DOCUMENTS
    if by_document:
        loss = metrics.bootstrap_ratio(sums, counts, seed=seed)
        bits = metrics.bootstrap_ratio(sums / math.log(2), corpus.bytes.astype(np.float64), seed=seed)
        right = metrics.bootstrap_ratio(hits, counts, seed=seed)
    else:
        tokens = found.pieces[:, 1].astype(np.float64)
        loss = metrics.bootstrap_ratio(found.sums, tokens, seed=seed)
        right = metrics.bootstrap_ratio(found.hits, tokens, seed=seed)
        bits = (loss[0] * _bits_per_nat(corpus), loss[1] * _bits_per_nat(corpus))
    value = mean_figures(found)
    return {
        "headline": {
            "loss": {"value": value["loss"], "low": loss[0], "high": loss[1]},
            "perplexity": {"value": value["perplexity"], "low": _perplexity(loss[0]), "high": _perplexity(loss[1])},
            "bits_per_byte": {"value": value["bits_per_byte"], "low": bits[0], "high": bits[1]},
            "token_accuracy": {"value": value["token_accuracy"], "low": right[0], "high": right[1]},
        },
        "rows": len(corpus),
        "tokens": corpus.token_count,
        "bytes": int(corpus.bytes.sum()),
        "interval": {
            "method": f"percentile bootstrap over {'documents' if by_document else 'pieces'}",
            "rounds": metrics.BOOTSTRAP_ROUNDS,
            "seed": seed,
        },
    }


def _bits_per_nat(corpus: Corpus) -> float:
    """What one nat a token is in bits a byte."""
    return corpus.token_count / math.log(2) / max(1, int(corpus.bytes.sum()))


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, LARGEST_EXPONENT))


def _portions(lengths: NDArray[np.int64], tokens_at_once: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of pieces that hold so many tokens together, at least one each."""
    start, filled = 0, 0
    for at, length in enumerate(lengths.tolist()):
        if at > start and filled + length > tokens_at_once:
            yield start, at
            start, filled = at, 0
        filled += length
    if start < len(lengths):
        yield start, len(lengths)

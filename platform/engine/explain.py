"""Which words of a text speak for a label: integrated gradients over token embeddings, checked against leaving words out.

Sundararajan, Taly, Yan 2017 ("Axiomatic Attribution for Deep Networks"). With F the log-odds of the label, x the token embeddings
and x' the baseline,

    a_i = (x_i - x'_i) . integral over t from 0 to 1 of dF/dx_i at x' + t (x - x')        sum_i a_i = F(x) - F(x')

The integral is a sum of Gauss-Legendre sums over pieces of the way: what a piece must come to is known (the difference of F at its
ends), so the piece that is farthest off is halved until all errors together are below TOLERANCE of F(x) - F(x').
The baseline is the text with nothing said in it: every token of the text is the mask token (of a version that finds its label at a
mask, or has no mask token: padding), while special tokens, the words of a pattern and all positions stay, as they are no evidence.

Occlusion is another way to ask the same: how much F falls when one word alone is taken to the baseline. Where both rank words alike,
the attributions can be trusted more; where they do not, words act together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.evaluate import choose
from engine.explain_words import Word, words_of
from engine.failures import RunFailed
from engine.predict import BATCH_TOKENS, Classifier, load_classifier
from engine.rejection import probabilities_of
from engine.retrieval_metrics import spearman
from engine.verbaliser import MaskedWords, Reading, WrittenWords
from words import say

MOST_TOKENS = 512  # of a text with its special tokens
MOST_OCCLUDED = 64  # words left out one by one; of longer texts evenly spread ones
LEAST_OCCLUDED = 3  # for a rank correlation
TOLERANCE = 0.02  # of F(x) - F(x'), which counts as LEAST_GAP at least
LEAST_GAP = 0.1  # log-odds
NODES = 8  # of a Gauss-Legendre sum over one piece of the way
MOST_STEPS = 256  # gradients of one text
DIGITS = 6
NEVER = 1e-12  # a probability below it counts as this


@dataclass(frozen=True)
class Encoded:
    """A text as the version reads it: ids [T], and of each the place in the text; None for what is not of the text."""

    ids: list[int]
    places: list[tuple[int, int] | None]

    @property
    def of_text(self) -> list[int]:
        """Positions of the text's own tokens."""
        return [at for at, place in enumerate(self.places) if place is not None]


class Attributor:
    """A loaded version that labels texts, and says which words it does so by; its arithmetic is torch's own."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.model = classifier.model
        self.tokenizer = classifier.tokenizer
        self.table = _table(self.model)
        self.baseline, self.baseline_name = _baseline(self.model, self.tokenizer)
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    def attribute(self, texts: Sequence[str], label: str = "") -> list[dict[str, Any]]:
        """For each text what `attribute` tells."""
        return [self._attributed(text, label) for text in texts]

    def _attributed(self, text: str, label: str) -> dict[str, Any]:
        read = encoded(self.classifier, text)
        _check(read)
        name = label or self._predicted(read.ids)
        if name not in self.classifier.names:
            names = ", ".join(self.classifier.names[:10])
            raise RunFailed(
                "unknown_label",
                say("The version has no label “{label}”.", label=name),
                say("It has: {names}.", names=names),
            )
        way = _Way(self, read, self.classifier.names.index(name))
        values, steps, error = _integrated(way)
        words = words_of(text, [read.places[at] for at in read.of_text], values[read.of_text])
        drops = _occluded(way, words)
        return {
            "label": name,
            "probability": _short(way.probability(way.whole)),
            "baseline_probability": _short(way.probability(way.empty)),
            "log_odds": _short(way.whole),
            "baseline_log_odds": _short(way.empty),
            "baseline": self.baseline_name,
            "steps": steps,
            "error_share": _short(error),
            "is_complete": error <= TOLERANCE,
            "token_count": len(read.ids),
            "tokens": [_told(text, *place, values[at]) for at, place in enumerate(read.places) if place is not None],
            "words": [
                {**_told(text, word.start, word.end, word.attribution), "occlusion": drops.get(at)}
                for at, word in enumerate(words)
            ],
            "occluded_count": len(drops),
            "occlusion_correlation": _agreement(words, drops),
            "read_characters": max((word.end for word in words), default=0),
        }

    def _predicted(self, ids: list[int]) -> str:
        """The label that the version gives, of several the likeliest; of none the likeliest all the same."""
        classifier = self.classifier
        with torch.no_grad():
            logits = self.model([ids]).float().cpu()
        probabilities = probabilities_of(logits, classifier.rejection, multi_label=classifier.multi_label).numpy()
        decided = choose(probabilities, multi_label=classifier.multi_label, threshold=classifier.threshold)[0]
        likely = np.where(decided if decided.any() else True, probabilities[0], -1.0)
        return classifier.names[int(likely.argmax())]


def load_attributor(folder: Path) -> Attributor:
    """The attributor of a model folder; RunFailed where it holds no version that labels texts."""
    return Attributor(load_classifier(folder, is_served=False))


def attribute(model: Path | Attributor, texts: Sequence[str], label: str = "") -> list[dict[str, Any]]:
    """Why a version gives each text a label: that it predicts, or `label`. Plain values, the same in every run.

    `tokens` and `words` hold [start, end) in code points of the text, their surface, and the log-odds they are worth;
    `error_share` is |sum of attributions - (log_odds - baseline_log_odds)| as a share of that difference. RunFailed when a text is
    empty or longer than MOST_TOKENS, or the label unknown; what the version does not read of a longer text has no words here.
    """
    attributor = model if isinstance(model, Attributor) else load_attributor(model)
    return attributor.attribute(texts, label)


class _Way:
    """F along the way from the baseline of one text to the text, and beside it."""

    def __init__(self, attributor: Attributor, read: Encoded, label: int) -> None:
        self.model, self.table, self.read, self.label = attributor.model, attributor.table, read, label
        self.rejection = attributor.classifier.rejection
        self.multi_label = attributor.classifier.multi_label
        device = next(self.model.parameters()).device
        with torch.no_grad():
            vectors = self.table(torch.tensor(read.ids, device=device))  # [T, E]
            nothing = self.table(torch.tensor([attributor.baseline], device=device))
        self.gap = torch.zeros_like(vectors)  # x - x', [T, E]
        self.gap[read.of_text] = vectors[read.of_text] - nothing
        self.whole, self.empty = self.values(torch.stack([torch.zeros_like(self.gap), -self.gap])).tolist()

    @property
    def rows(self) -> int:
        """Texts of this length in a batch."""
        return max(1, BATCH_TOKENS // len(self.read.ids))

    @torch.no_grad()
    def values(self, added: Tensor) -> NDArray[np.float64]:
        """F [M] where `added` [M, T, E] is on top of the embeddings of the text."""
        return np.concatenate([self.odds(part).cpu().numpy() for part in torch.split(added, self.rows)])

    def gradient(self, shares: Sequence[float], weights: Sequence[float]) -> Tensor:
        """The weighted sum of dF/dx [T, E] at x' + share (x - x')."""
        total = torch.zeros_like(self.gap)
        for begin in range(0, len(shares), self.rows):
            places = torch.tensor(shares[begin : begin + self.rows], device=self.gap.device, dtype=self.gap.dtype)
            weighed = torch.tensor(weights[begin : begin + self.rows], device=self.gap.device, dtype=self.gap.dtype)
            added = ((places - 1)[:, None, None] * self.gap).requires_grad_()
            [found] = torch.autograd.grad(self.odds(added).sum(), added)
            total += (weighed[:, None, None] * found).sum(0)
        return total

    def odds(self, added: Tensor) -> Tensor:
        """Log-odds of the label [M] in float64."""
        with _on_top(self.model, self.table, added):
            logits: Tensor = self.model([self.read.ids] * len(added)).double()
        if self.rejection is not None:
            return torch.logit(self.rejection.probabilities(logits)[:, self.label], eps=NEVER)
        if self.multi_label:
            return logits[:, self.label]
        others = [at for at in range(logits.shape[1]) if at != self.label]
        return logits[:, self.label] - torch.logsumexp(logits[:, others], -1)

    @staticmethod
    def probability(odds: float) -> float:
        """Of log-odds."""
        return float(1 / (1 + np.exp(-odds)))


def _integrated(way: _Way) -> tuple[NDArray[np.float64], int, float]:
    """(attributions [T], gradients that were taken, share that is missing or too much)

    The way is cut where it is steep: what a piece must sum up to is known, so its error is exact.
    """
    room = TOLERANCE * max(abs(way.whole - way.empty), LEAST_GAP)
    pieces = [_piece(way, 0.0, way.empty, 1.0, way.whole)]
    steps = NODES
    while sum(piece.error for piece in pieces) > room and steps + 2 * NODES <= MOST_STEPS:
        worst = max(pieces, key=lambda piece: piece.error)
        pieces.remove(worst)
        middle = (worst.begin + worst.end) / 2
        [value] = way.values((middle - 1) * way.gap[None])
        pieces += [
            _piece(way, worst.begin, worst.first, middle, float(value)),
            _piece(way, middle, float(value), worst.end, worst.last),
        ]
        steps += 2 * NODES
    values = np.sum([piece.values for piece in pieces], axis=0)
    difference = way.whole - way.empty
    return values, steps, abs(float(values.sum()) - difference) / max(abs(difference), LEAST_GAP)


@dataclass(frozen=True)
class _Piece:
    """A part of the way, F at both ends, and what tokens are worth on it, [T]."""

    begin: float
    first: float
    end: float
    last: float
    values: NDArray[np.float64]

    @property
    def error(self) -> float:
        """How far the sum is from the difference of F."""
        return abs(float(self.values.sum()) - (self.last - self.first))


def _piece(way: _Way, begin: float, first: float, end: float, last: float) -> _Piece:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = (end - begin) / 2
    slope = way.gradient((begin + half * (nodes + 1)).tolist(), (half * weights).tolist())
    return _Piece(begin, first, end, last, (slope.double() * way.gap.double()).sum(-1).cpu().numpy())


def _told(text: str, start: int, end: int, value: float) -> dict[str, Any]:
    return {"start": start, "end": end, "surface": text[start:end], "attribution": _short(value)}


def _occluded(way: _Way, words: Sequence[Word]) -> dict[int, float]:
    """Word -> how much F falls without it, of those that are left out."""
    count = min(len(words), MOST_OCCLUDED)
    chosen = [at * len(words) // count for at in range(count)]
    of_text = way.read.of_text
    drops: dict[int, float] = {}
    for begin in range(0, count, way.rows):
        part = chosen[begin : begin + way.rows]
        added = torch.zeros(len(part), *way.gap.shape, dtype=way.gap.dtype, device=way.gap.device)
        for row, at in zip(added, part, strict=True):
            places = [of_text[token] for token in words[at].tokens]
            row[places] = -way.gap[places]
        drops |= {at: _short(way.whole - value) for at, value in zip(part, way.values(added), strict=True)}
    return drops


def _agreement(words: Sequence[Word], drops: dict[int, float]) -> float | None:
    """Spearman's correlation of attributions and drops; None of too few words."""
    if len(drops) < LEAST_OCCLUDED:
        return None
    mine = np.array([words[at].attribution for at in drops])
    return _short(spearman(np.round(mine, DIGITS), np.array(list(drops.values()))))


def encoded(classifier: Classifier, text: str) -> Encoded:
    """The text as the version reads it, with the place of each token; white space around a token is not of its place."""
    reading = classifier.read if isinstance(classifier.read, Reading) else None
    options = {"return_attention_mask": False, "return_token_type_ids": False, "return_offsets_mapping": True}
    if reading is None:
        found = classifier.tokenizer(
            text,
            truncation=True,
            max_length=classifier.max_length_tokens,
            return_special_tokens_mask=True,
            **options,
        )
        offsets = zip(found["offset_mapping"], found["special_tokens_mask"], strict=True)
        return Encoded(
            list(found["input_ids"]), [None if special else _trimmed(text, *place) for place, special in offsets]
        )
    [ids] = reading([text])
    found = classifier.tokenizer(text, add_special_tokens=False, split_special_tokens=True, **options)
    kept = found["offset_mapping"][: len(ids) - reading.fixed_tokens]
    places = [_trimmed(text, *place) for place in kept]
    ahead = reading.ahead_tokens
    behind = len(ids) - ahead - len(places)
    return Encoded(ids, [*[None] * ahead, *places, *[None] * behind])


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    if not piece.strip():
        return start, end
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))


def _check(read: Encoded) -> None:
    if not read.of_text:
        raise RunFailed("empty", say("The text has no token that the version reads."), say("Write a few words."))
    if len(read.ids) > MOST_TOKENS:
        raise RunFailed(
            "too_long",
            say("The text has {count} tokens; of {most} can be said why.", count=len(read.ids), most=MOST_TOKENS),
            say("Shorten it."),
        )


def _table(model: Any) -> torch.nn.Module:
    """What makes vectors of token ids."""
    network: Any = model.gpt if isinstance(model, WrittenWords) else model.encoder
    found: torch.nn.Module = network.tokens if hasattr(network, "tokens") else network.get_input_embeddings()
    return found


def _baseline(model: Any, tokenizer: Any) -> tuple[int, str]:
    """(id, name) of the token that says nothing."""
    names = ("pad", "unk", "eos") if isinstance(model, MaskedWords) else ("mask", "pad", "unk", "eos")
    for name in names:
        found = getattr(tokenizer, f"{name}_token_id")
        if found is not None:
            return int(found), name
    raise RunFailed(
        "no_baseline",
        say("The version's tokenizer names no token that says nothing."),
        say("Choose another version."),
    )


@contextmanager
def _on_top(model: Any, table: torch.nn.Module, added: Tensor) -> Iterator[None]:
    """While open the model reads `added` [M, T, E] on top of the embeddings of M texts of T tokens.

    Texts of one length keep their order in every way that models lay them out. A model that writes reads each text once for every
    head of words that may follow it, the shorter heads first.
    """
    laid = added.flatten(0, 1)
    if isinstance(model, WrittenWords):
        lengths = sorted(map(len, model.heads))
        wide = [torch.nn.functional.pad(added, (0, 0, 0, length)) for length in dict.fromkeys(lengths)]
        rows = [
            row
            for part, length in zip(wide, dict.fromkeys(lengths), strict=True)
            for row in part.repeat_interleave(lengths.count(length), 0)
        ]
        laid = torch.cat(rows)

    def put(_module: torch.nn.Module, _given: Any, found: Tensor) -> Tensor:
        return found + laid.view(found.shape)

    hook = table.register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()


def _short(value: float) -> float:
    return round(float(value), DIGITS)

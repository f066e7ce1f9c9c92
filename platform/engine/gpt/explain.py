"""A sentence through a saved GPT as plain numbers, small enough to be sent: what the page "How it works" shows."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.base_models import load_tokenizer
from engine.failures import RunFailed
from engine.gpt.hugging_face import LLAMA_LIKE, load_gpt
from engine.gpt.model import Gpt
from engine.gpt.trace import LayerTrace, Trace, trace
from engine.specs.explanation import MAX_TOKENS, SHOWN_WIDTH, TOP_TOKENS, kept_layers, pack
from words import say

DIGITS = 6  # significant ones of a number that is shown
SHOWN_PAIRS = 4  # of rotary positions


@dataclass(frozen=True)
class Explainer:
    """A model in eval mode and its tokenizer."""

    model: Gpt
    tokenizer: Any

    def explain(self, text: str) -> dict[str, Any]:
        """Everything the page shows, as JSON; RunFailed when the sentence is empty, too long or has no finite numbers."""
        ids = self.tokenizer(text, split_special_tokens=True)["input_ids"]
        self._check(len(ids))
        found = trace(self.model, torch.tensor(ids))
        if not bool(torch.isfinite(found.logits).all()):
            raise RunFailed(
                "numbers_not_finite",
                say("The model's numbers are not finite."),
                say("Check the version's files, or train it again."),
            )
        layers = kept_layers(self.model.config.layers, self.model.config.heads, len(ids))
        return {
            "shape": self._shape(),
            "tokens": [{"id": token, "text": self.shown(token)} for token in ids],
            "vectors": list(_vectors(found)),
            "angles": _angles(found),
            "frequencies": _numbers(self.model.frequency[:SHOWN_PAIRS]) if found.angles is not None else None,
            "layers": [{"layer": at, "steps": _steps(self.model, found, at)} for at in range(len(found.layers))],
            "scores": {"layers": layers, "numbers": pack(_scores(found, layers))},
            "next": [self._next(found, at) for at in range(len(ids))],
            "loss": None if len(ids) < 2 else found.loss,
        }

    def shown(self, token: int) -> str:
        """A token as text; part of a character as its bytes, such as \\xE6\\x88."""
        piece = self.tokenizer.convert_ids_to_tokens(token)
        if piece is None or token in self.tokenizer.all_special_ids:
            return str(piece)
        if piece.startswith("▁"):  # SentencePiece's mark of a space, which decoding a single token loses
            return str(piece).replace("▁", " ")
        text = str(self.tokenizer.decode([token], clean_up_tokenization_spaces=False))
        if "\ufffd" in text and all(letter in _BYTES for letter in piece):
            return "".join(f"\\x{_BYTES[letter]:02X}" for letter in piece)
        return text.replace("\0", "\\x00")

    def _check(self, tokens: int) -> None:
        if not tokens:
            raise RunFailed("empty", say("The sentence has no token."), say("Write a few words."))
        most = min(MAX_TOKENS, self.model.config.context_tokens)
        if tokens > most:
            raise RunFailed(
                "too_long",
                say("The sentence has {count} tokens; {most} can be shown.", count=tokens, most=most),
                say("Shorten it."),
            )

    def _shape(self) -> dict[str, Any]:
        config = self.model.config
        names = (
            "vocabulary_size", "context_tokens", "layers", "heads", "kv_heads", "head_width", "width", "feed_forward",
            "positions", "norm", "activation", "tied", "query_key_norm", "norm_epsilon", "rope_theta",
        )  # fmt: skip
        shape = {name: getattr(config, name) for name in names}
        return {**shape, "rope_scaled": config.rope_scaling is not None, "parameters": config.parameter_count()}

    def _next(self, found: Trace, at: int) -> dict[str, Any]:
        """The distribution after position `at`: its highest tokens, and the token that did follow with its loss."""
        logits, chances = found.logits[at], found.probabilities[at]
        top = torch.topk(logits, min(TOP_TOKENS, len(logits))).indices.tolist()
        told: dict[str, Any] = {
            "logsumexp": _number(torch.logsumexp(logits, dim=-1)),
            "top": [self._candidate(token, logits, chances) for token in top],
            "target": None,
        }
        if at + 1 < len(found.ids):
            token = int(found.ids[at + 1])
            rank = int((logits > logits[token]).sum()) + 1
            target = self._candidate(token, logits, chances)
            told["target"] = {**target, "rank": rank, "loss": _number(found.losses[at])}
        return told

    def _candidate(self, token: int, logits: Tensor, chances: Tensor) -> dict[str, Any]:
        return {
            "id": token,
            "text": self.shown(token),
            "logit": _number(logits[token]),
            "probability": _number(chances[token]),
        }


def load_explainer(folder: Path) -> Explainer:
    """The GPT of a folder; RunFailed("not_explainable") names a network that is shaped otherwise."""
    path = folder / "config.json"
    kind = json.loads(path.read_text(encoding="utf-8")).get("model_type") if path.is_file() else None
    if kind not in ("gpt2", *LLAMA_LIKE):
        raise RunFailed(
            "not_explainable",
            say("This version is shaped like {kind}, which cannot be shown from inside.", kind=kind or "–"),
            say("Choose a model shaped like GPT-2, Llama, Mistral, Qwen2 or Qwen3."),
        )
    return Explainer(load_gpt(folder), load_tokenizer(str(folder)))


def _vectors(found: Trace) -> Iterable[dict[str, Any]]:
    """Of each token the first numbers of its vectors, and how long these are."""
    for at, token in enumerate(found.token_vectors):
        place = None if found.place_vectors is None else found.place_vectors[at]
        yield {
            "token": _numbers(token[:SHOWN_WIDTH]),
            "token_length": _number(token.norm()),
            "place": None if place is None else _numbers(place[:SHOWN_WIDTH]),
            "place_length": None if place is None else _number(place.norm()),
        }


def _angles(found: Trace) -> list[list[float]] | None:
    """Of each position the angles by which its first pairs are turned, in radians."""
    return None if found.angles is None else [_numbers(row[:SHOWN_PAIRS]) for row in found.angles]


def _steps(model: Gpt, found: Trace, at: int) -> list[dict[str, float]]:
    """Of each token what block `at` read and added: mean and scale of the norm, and lengths of vectors."""
    layer, before = found.layers[at], _before(found, at)
    epsilon = model.config.norm_epsilon
    mean = before.mean(-1) if model.config.norm == "layer" else torch.zeros(len(before))
    scale = ((before - mean[:, None]).square().mean(-1) + epsilon).sqrt()
    columns = {
        "mean": mean,
        "scale": scale,
        "before": before.norm(dim=-1),
        "attention": layer.attention_added.norm(dim=-1),
        "feed_forward": layer.feed_forward_added.norm(dim=-1),
        "after": layer.stream.norm(dim=-1),
    }
    return [{name: _number(column[t]) for name, column in columns.items()} for t in range(len(before))]


def _before(found: Trace, at: int) -> Tensor:
    """The stream that block `at` reads, [T, D]."""
    if at:
        return found.layers[at - 1].stream
    return found.token_vectors if found.place_vectors is None else found.token_vectors + found.place_vectors


def _scores(found: Trace, layers: list[int]) -> list[float]:
    numbers: list[float] = []
    for at in layers:
        numbers += _layer_scores(found.layers[at])
    return numbers


def _layer_scores(layer: LayerTrace) -> list[float]:
    """Head by head, row by row: the scores a position sees, and the logsumexp of those it does not."""
    numbers: list[float] = []
    for head in layer.scores:
        for t, row in enumerate(head):
            numbers += row[: t + 1].tolist()
            numbers.append(float(torch.logsumexp(row[t + 1 :], dim=-1)) if t + 1 < len(row) else -math.inf)
    return numbers


def _numbers(values: Tensor) -> list[float]:
    return [_number(value) for value in values]


def _number(value: Tensor) -> float:
    return float(f"{float(value):.{DIGITS}g}")


def _byte_letters() -> dict[str, int]:
    """The letter by which byte-level BPE writes each byte (Radford et al. 2019): visible ones stand for themselves."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + at): byte for at, byte in enumerate(others)}


_BYTES = _byte_letters()

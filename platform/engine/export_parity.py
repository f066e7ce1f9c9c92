"""Whether a converted model still is the trained one: logits on fixed texts, held against those that are served.

Any two logits that differ by at most d leave every decision alone whose lead is above 2d; so the largest difference
decides, and the share of equal decisions is told beside it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.chat_folder import OpenedChat, holds_chat_model, open_chat_model
from engine.model_folder import open_classifier
from engine.predict import encode, load_classifier
from engine.render import Unrenderable, render

TOLERANCE = 1e-4  # of the largest logit (of 1 where all are smaller)
WRITTEN_TOKENS = 16
TEXTS = (
    "Where is my card?",
    "I was charged twice for the same order, please send the second payment back.",
    "ok",
    "我的银行卡丢了，请帮我挂失。",
    "The rate is 3.75 % (up from 2.9 %), isn't it?\nTell me more…",
    "naïve café – déjà vu 🙂",
    "    spaces   and\ttabs  ",
    "x" * 40,
)

Logits = list[NDArray[np.float32]]  # of each text: [K] of a classifier, [T, V] of a decoder
Run = Callable[[Sequence[Any]], Logits]  # of token ids, or of the windows in which a tagger or reader reads


def measured(reference: Logits, candidate: Logits, *, by: str) -> dict[str, Any]:
    """Largest difference, tolerance, share of equal decisions; `by` names what ran the converted files."""
    largest = max(float(np.abs(one).max()) for one in reference)
    tolerance = TOLERANCE * max(1.0, largest)
    pairs = list(zip(reference, candidate, strict=True))
    if any(one.shape != two.shape or not np.isfinite(two).all() for one, two in pairs):
        return {"by": by, "rows": len(pairs), "passed": False, "tolerance": tolerance}
    difference = max(float(np.abs(one - two).max()) for one, two in pairs)
    same = np.concatenate([np.atleast_1d(one.argmax(-1) == two.argmax(-1)) for one, two in pairs])
    return {
        "by": by,
        "rows": len(pairs),
        "decisions": int(same.size),
        "max_logit_difference": difference,
        "largest_logit": largest,
        "tolerance": tolerance,
        "agreement": float(same.mean()),
        "passed": difference <= tolerance,
    }


def served(folder: Path) -> tuple[list[list[int]], Logits]:
    """(token ids of the fixed texts, the logits that a model folder is served with)."""
    return _served_chat(folder) if holds_chat_model(folder) else _served_classifier(folder)


@torch.no_grad()
def _served_classifier(folder: Path) -> tuple[list[list[int]], Logits]:
    model, tokenizer, description = open_classifier(folder)
    sequences = encode(tokenizer, list(TEXTS), int(description["max_length_tokens"]))
    return sequences, list(model(sequences).float().numpy())


@torch.no_grad()
def int8_difference(folder: Path, sequences: Sequence[Sequence[int]], reference: Logits) -> float:
    """How far the logits of a student of int8 weights, which rounds what its layers read, are from those of its floats."""
    found = load_classifier(folder).model(sequences).float().cpu().numpy()
    return max(float(np.abs(one - two).max()) for one, two in zip(reference, found, strict=True))


@torch.no_grad()
def _served_chat(folder: Path) -> tuple[list[list[int]], Logits]:
    """Prompts and the first tokens of their greedy answers."""
    opened = open_chat_model(folder)
    sequences = [_continued(opened, ids) for ids in _prompts(opened)]
    return sequences, decoder_run(opened.model)(sequences)


def _prompts(opened: OpenedChat) -> list[list[int]]:
    room = max(1, opened.context_tokens - WRITTEN_TOKENS)
    found = []
    for at, text in enumerate(TEXTS):
        turns = [{"role": "user", "content": text}]
        if at == 1:
            turns += [{"role": "assistant", "content": "Which order?"}, {"role": "user", "content": "The last one."}]
        try:
            found.append(render(turns, opened.template, answer_next=True)[0][:room])
        except Unrenderable:
            continue
    return found


def _continued(opened: OpenedChat, ids: list[int]) -> list[int]:
    """`ids` with what the model writes next, greedily."""
    for _ in range(min(WRITTEN_TOKENS, opened.context_tokens - len(ids))):
        logits = opened.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids = [*ids, int(logits.argmax())]
    return ids


def decoder_run(model: Any) -> Run:
    """Logits of a causal language model of transformers, one sequence at a time, without those of virtual tokens."""

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        found = [model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0] for ids in sequences]
        return [logits[-len(ids) :].float().numpy() for ids, logits in zip(sequences, found, strict=True)]

    return run


def classifier_run(model: Any, pad: int) -> Run:
    """Logits of a sequence classifier of transformers, all texts in one padded batch."""

    @torch.no_grad()
    def run(sequences: Sequence[Sequence[int]]) -> Logits:
        ids, mask = padded(sequences, pad)
        found = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits
        return list(found.float().numpy())

    return run


def padded(sequences: Sequence[Sequence[int]], pad: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(ids, attention mask), [N, T] each, padded on the right."""
    longest = max(len(ids) for ids in sequences)
    ids = np.full((len(sequences), longest), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return ids, mask

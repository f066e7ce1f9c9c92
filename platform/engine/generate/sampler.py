"""From logits to a token: what each request asks for, row by row, alike in any company.

Nothing random is drawn from a shared state: the number behind a token is a hash of seed and place (SplitMix64, Steele et al.
2014), so an answer does not depend on its neighbours, on the size of the batch or on a restart in the middle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.specs.sampling import Sampling

MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Drawn:
    """A token, the logarithm of its probability and the likeliest alternatives [(token, log p)], the likeliest first."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Wish:
    """What one row of logits is asked for: options, seed, the tokens so far, and which tokens may not come.

    `allowed` [V] is what a grammar lets through, None everything.
    """

    sampling: Sampling
    seed: int
    prompt: Sequence[int]
    output: Sequence[int]
    allowed: Tensor | None = None
    forbidden: frozenset[int] = frozenset()

    @property
    def changes_logits(self) -> bool:
        """Whether anything is done to the logits before the temperature."""
        return self.sampling.changes_logits or bool(self.forbidden)


def uniform(seed: int, place: int) -> float:
    """A number in [0, 1) for the token at `place` of an answer."""
    value = (seed * 0x9E3779B97F4A7C15 + (place + 1) * 0xBF58476D1CE4E5B9) & MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ (value >> shift)) * factor) & MASK
    return ((value ^ (value >> 31)) >> 11) / (1 << 53)


def draw(logits: Tensor, wishes: Sequence[Wish]) -> list[Drawn]:
    """One token for each row of logits [B, V]; `logits` are changed."""
    raw = [
        row.log_softmax(-1) if wish.sampling.logprobs is not None else None
        for row, wish in zip(logits, wishes, strict=True)
    ]
    for row, wish in zip(logits, wishes, strict=True):
        if wish.changes_logits:
            change(row, wish)
    likeliest = logits.argmax(-1).tolist()
    found = []
    for row, wish, best, logs in zip(logits, wishes, likeliest, raw, strict=True):
        token = best if wish.sampling.is_greedy else _drawn(row, wish)
        found.append(Drawn(token) if logs is None else with_logprobs(token, logs, wish.sampling.logprobs or 0))
    return found


def with_logprobs(token: int, logs: Tensor, count: int) -> Drawn:
    """The token with log-probabilities from a row [V] of them."""
    top: tuple[tuple[int, float], ...] = ()
    if count:
        values, places = logs.topk(min(count, len(logs)))
        top = tuple(zip(places.tolist(), values.tolist(), strict=True))
    return Drawn(token, float(logs[token]), top)


def change(row: Tensor, wish: Wish) -> None:
    """Bias, grammar and penalties on a row of logits [V], in place."""
    sampling = wish.sampling
    for token, bias in sampling.logit_bias.items():
        row[token] += bias
    if wish.allowed is not None:
        row[~wish.allowed] = -torch.inf
    if wish.forbidden:
        row[sorted(wish.forbidden)] = -torch.inf
    if sampling.repetition_penalty != 1:
        # Keskar et al. 2019: of everything that stands there, prompt included.
        seen = torch.tensor(sorted({token for token in (*wish.prompt, *wish.output) if token >= 0}), device=row.device)
        values = row[seen]
        row[seen] = torch.where(values > 0, values / sampling.repetition_penalty, values * sampling.repetition_penalty)
    if wish.output and (sampling.presence_penalty or sampling.frequency_penalty):
        tokens, counts = torch.unique(torch.tensor(wish.output, device=row.device), return_counts=True)
        row[tokens] -= sampling.presence_penalty + sampling.frequency_penalty * counts


def _drawn(row: Tensor, wish: Wish) -> int:
    """A token by the inverse of the distribution function, tokens in falling order of probability."""
    sampling = wish.sampling
    probabilities = torch.softmax(row.double() / sampling.temperature, dim=-1)
    kept = min(sampling.top_k, len(row)) if sampling.top_k else len(row)
    if kept < len(row):
        values, places = probabilities.topk(kept)
    else:
        values, places = probabilities.sort(descending=True, stable=True)
    if sampling.top_p < 1:
        before = values.cumsum(0) - values
        values = torch.where(before < max(sampling.top_p, 1e-12) * values.sum(), values, 0.0)
    if sampling.min_p:
        values = torch.where(values >= sampling.min_p * values[0], values, 0.0)
    reached = values.cumsum(0)
    point = uniform(wish.seed, len(wish.output)) * float(reached[-1])
    at = int(torch.searchsorted(reached, torch.tensor(point, dtype=reached.dtype), right=True))
    last = int((values > 0).sum()) - 1
    return int(places[min(at, last)])

"""Contrastive training: which texts stand together in a batch, and the loss of a batch.

Every other text of a batch is a negative, so what stands in a batch is part of the loss. For a query q_i with its
positive c_i among the candidates c_1 ... c_C, and s = scale (1 / temperature),

    loss_i = -log( exp(s q_i.c_i) / sum_j exp(s q_i.c_j) )

(InfoNCE, van den Oord et al. 2018; multiple negatives ranking, Henderson et al. 2017). Where texts carry classes, with
P(i) the other texts of i's class,

    loss_i = -1/|P(i)| sum_{p in P(i)} log( exp(s z_i.z_p) / sum_{a != i} exp(s z_i.z_a) )

(supervised contrastive, the form with the sum outside, Khosla et al. 2020). A candidate that is known to be no negative,
such as the same text once more, stands in no denominator.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.plan import rehearsed_rows
from engine.texts import normalised

Pair = tuple[str, str]
ROUND = 1_000_000  # more than epochs: an earlier task that is used up begins again in another order


def class_batches(
    texts: Sequence[str],
    classes: Sequence[Hashable],
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    texts_per_class: int = 2,
) -> list[list[int]]:
    """Batches of one epoch over N texts with their classes, as positions; by seed and epoch only.

    Each class gives groups of `texts_per_class` different texts (fewer where it has fewer, never one alone), every class
    as many groups as the others, so that an epoch holds about N texts: a small class begins again, a large one gives
    another part each epoch. Every batch holds texts of at least two classes. Texts that are equal once `normalised` count
    as one; a class with one text has no positive and is left out. Without two classes of two texts there is no batch.
    """
    generator = np.random.default_rng([seed, epoch])
    members = [found for found in _members(texts, classes) if len(found) > 1]
    if len(members) < 2:
        return []
    distinct = sum(len(found) for found in members)
    rounds = max(1, round(distinct / (texts_per_class * len(members))))
    groups = [_groups(found, texts_per_class, rounds, generator) for found in members]
    stream: list[tuple[int, list[int]]] = []  # (class, its texts)
    for number in range(rounds):
        order = generator.permutation(len(members)).tolist()
        if stream and stream[-1][0] == order[0]:  # neighbours are of two classes, so every two of them are
            order.append(order.pop(0))
        stream += [(at, groups[at][number]) for at in order]
    at_once = max(2, batch_size // texts_per_class)
    batches = [stream[start : start + at_once] for start in range(0, len(stream), at_once)]
    return [[at for _, group in batch for at in group] for batch in batches if len(batch) > 1]


def pair_batches(pairs: Sequence[Pair], *, seed: int, epoch: int, batch_size: int) -> list[list[int]]:
    """Batches of one epoch over N pairs, as positions; by seed and epoch only.

    Each pair stands in exactly one batch, and no text, once `normalised`, in two pairs of a batch: it would be its own
    negative. Where many pairs share a text, the last batches are smaller; a pair that is alone in its batch has no
    negative, and its loss is 0.
    """
    generator = np.random.default_rng([seed, epoch])
    sides = [{normalised(first), normalised(second)} for first, second in pairs]
    batches: list[list[int]] = []
    after: dict[str, int] = defaultdict(int)  # the first batch a text may still stand in
    opened = 0  # all batches before are full
    for at in generator.permutation(len(pairs)).tolist():
        place = max(opened, *(after[side] for side in sides[at]))
        while place < len(batches) and len(batches[place]) == batch_size:
            place += 1
        if place == len(batches):
            batches.append([])
        batches[place].append(at)
        after.update(dict.fromkeys(sides[at], place + 1))
        while opened < len(batches) and len(batches[opened]) == batch_size:
            opened += 1
    return [batches[at] for at in generator.permutation(len(batches)).tolist()]


def rehearsed_batches(new: Sequence[list[int]], earlier: Sequence[Callable[[int], list[list[int]]]]) -> list[list[int]]:
    """Each batch of `new` rows, with a batch of one of the `earlier` tasks behind it; tasks take turns.

    A task gives its batches by the number of its round: once they are used up it begins again with the next round. Its
    smaller batches come last in a round, and batches of one row, which has nothing to be told apart from, not at all; a
    task that has no others is left out.
    """
    tasks = [task for task in earlier if any(len(batch) > 1 for batch in task(0))]
    if not tasks:
        return list(new)
    drawn: list[list[list[int]]] = [[] for _ in tasks]
    for task, batches in zip(tasks, drawn, strict=True):
        number = 0
        while len(batches) * len(tasks) < len(new):
            batches += sorted((batch for batch in task(number) if len(batch) > 1), key=len, reverse=True)
            number += 1
    return [[*batch, *drawn[at % len(tasks)][at // len(tasks)]] for at, batch in enumerate(new)]


def rehearsed_size(size: int, share: float) -> int:
    """Rows of a contrastive step of `size` rows that come from an earlier task: at least two, and two remain."""
    return min(max(2, rehearsed_rows(size, share)), size - 2)


def false_negatives(pairs: Sequence[Pair], negatives: Sequence[str] = ()) -> Tensor:
    """Which candidates are no negatives of which query, [B, B + H] booleans, of B pairs and H further texts.

    Known are the query itself and every text that a pair of the batch gives as a positive of an equal query. The pair's
    own candidate is never among them.
    """
    queries = [normalised(first) for first, _ in pairs]
    candidates = [normalised(text) for text in [*(second for _, second in pairs), *negatives]]
    positives: dict[str, set[str]] = defaultdict(set)
    for query, candidate in zip(queries, candidates, strict=False):
        positives[query] |= {query, candidate}
    found = torch.tensor([[one in positives[query] for one in candidates] for query in queries], dtype=torch.bool)
    return found.reshape(len(queries), len(candidates)).fill_diagonal_(False)


def in_batch_logits(queries: Tensor, candidates: Tensor, *, scale: float, excluded: Tensor | None = None) -> Tensor:
    """s q_i.c_j, [B, B + H]; -inf where `excluded` takes a candidate out that is not the row's own."""
    logits = scale * (queries @ candidates.T).float()
    if excluded is None:
        return logits
    return logits.masked_fill(excluded.to(logits.device).clone().fill_diagonal_(False), -torch.inf)


def in_batch_losses(
    queries: Tensor, candidates: Tensor, *, scale: float, excluded: Tensor | None = None, symmetric: bool = False
) -> Tensor:
    """The loss of each row, [B], of queries [B, D] and candidates [B + H, D]; the candidate of row i is the ith.

    The last H candidates are hard negatives of all rows. `excluded` [B, B + H] takes candidates out of a row's
    denominator. With `symmetric` half of the loss asks the other way round: the ith query among all queries.
    """
    rows = len(queries)
    logits = in_batch_logits(queries, candidates, scale=scale, excluded=excluded)
    losses = logits.logsumexp(1) - logits.diagonal()
    if not symmetric:
        return losses
    square = logits[:, :rows]
    return (losses + square.logsumexp(0) - square.diagonal()) / 2


def class_logits(vectors: Tensor, *, scale: float, texts: Tensor | None = None) -> Tensor:
    """s z_i.z_a, [B, B]; -inf for the text itself and the same text once more."""
    return (scale * (vectors @ vectors.T).float()).masked_fill(_own(vectors, texts), -torch.inf)


def _own(vectors: Tensor, texts: Tensor | None) -> Tensor:
    """Which texts are the row's own, [B, B]."""
    own = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return own if texts is None else own | (texts[:, None] == texts[None, :])


def class_losses(
    vectors: Tensor, classes: Tensor, *, scale: float, texts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(loss of each row [B], whether it has a positive [B]) of vectors [B, D] and class numbers [B].

    Rows without a positive have the loss 0; a mean is taken over the others. `texts` [B] numbers equal texts alike: the
    same text once more is neither positive nor negative.
    """
    own = _own(vectors, texts)
    positive = (classes[:, None] == classes[None, :]) & ~own  # [B, B]
    logits = class_logits(vectors, scale=scale, texts=texts)
    has_positive = positive.any(1)
    # A row of nothing but -inf (all texts equal) would have gradients that are no numbers.
    whole = torch.where(has_positive[:, None], logits, 0.0).logsumexp(1, keepdim=True)
    likely = torch.where(positive, logits - whole, 0.0)
    return -likely.sum(1) / positive.sum(1).clamp(min=1), has_positive


def _members(texts: Sequence[str], classes: Sequence[Hashable]) -> list[list[int]]:
    """Positions of the different texts of each class, classes in order of their first text."""
    found: dict[Hashable, dict[str, int]] = defaultdict(dict)
    for at, (text, name) in enumerate(zip(texts, classes, strict=True)):
        found[name].setdefault(normalised(text), at)
    return [list(places.values()) for places in found.values()]


def _groups(members: Sequence[int], size: int, count: int, generator: np.random.Generator) -> list[list[int]]:
    """`count` groups of `size` different members (of all, where there are fewer), each member as often as the others."""
    size = min(size, len(members))
    left: list[int] = []
    groups = []
    for _ in range(count):
        if len(left) < size:  # what is left comes first, so that nobody waits an epoch longer than others
            fresh = [members[at] for at in generator.permutation(len(members)).tolist()]
            left += [at for at in fresh if at not in left] + [at for at in fresh if at in left]
        group: list[int] = []
        while len(group) < size:
            at = next(place for place, member in enumerate(left) if member not in group)
            group.append(left.pop(at))
        groups.append(group)
    return groups

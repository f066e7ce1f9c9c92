"""Texts that do not belong to a query: the hardest are found before the first step, and drawn from by epoch.

A text that is known to belong to the query, or is the query itself, is never among them.
"""

from collections.abc import Callable, Iterator, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from engine.lexical import WordIndex
from engine.retrieval_metrics import row_blocks

Ints = NDArray[np.int64]
Compare = Callable[[slice], NDArray[np.float64]]  # some queries -> how alike all texts are to them, [q, C]


def by_words(queries: Sequence[str], texts: Sequence[str]) -> Compare:
    """Likeness by BM25; a text without a common word is as unlike as can be."""
    index = WordIndex(texts)

    def compare(rows: slice) -> NDArray[np.float64]:
        scores = index.scores(queries[rows])
        return np.where(scores > 0, scores, -np.inf)

    return compare


def by_vectors(asked: NDArray[np.float32], offered: NDArray[np.float32]) -> Compare:
    """Likeness as the dot product of vectors [Q, D] and [C, D]."""
    return lambda rows: (asked[rows] @ offered.T).astype(np.float64)


def hardest(compare: Compare, belonging: Sequence[Set[int]], *, texts: int, count: int) -> list[Ints]:
    """Of each query the at most `count` most alike of so many texts that do not belong to it, the most alike first."""
    return [
        row for rows in row_blocks(len(belonging), texts) for row in _of_block(compare(rows), belonging[rows], count)
    ]


def _of_block(scores: NDArray[np.float64], belonging: Sequence[Set[int]], count: int) -> Iterator[Ints]:
    for row, belongs in zip(scores, belonging, strict=True):
        row[list(belongs)] = -np.inf
        able = np.flatnonzero(np.isfinite(row))
        if len(able) > count:
            able = able[np.argpartition(-row[able], count - 1)[:count]]
        yield able[np.lexsort((able, -row[able]))]


def drawn(
    generator: np.random.Generator,
    *,
    count: int,
    texts: int,
    belonging: Set[int],
    known: Sequence[int] = (),
    hard: Sequence[int] = (),
) -> list[int]:
    """`count` different texts of `texts` that do not belong: `known` ones first, then some of `hard`, then any others.

    Fewer where there are fewer.
    """
    found = list(dict.fromkeys(known))[:count]
    rest = [at for at in hard if at not in found]
    found += [rest[at] for at in sorted(generator.permutation(len(rest))[: count - len(found)].tolist())]
    if len(found) == count:
        return found
    taken = belonging | set(found)
    if len(taken) + 4 * count < texts:  # enough others: drawing meets one soon
        while len(found) < count:
            at = int(generator.integers(texts))
            if at not in taken:
                found.append(at)
                taken = taken | {at}
        return found
    others = [at for at in range(texts) if at not in taken]
    return found + [others[at] for at in generator.permutation(len(others))[: count - len(found)].tolist()]

"""Search by words: BM25, what candidates are found with before they are re-ranked.

For a query with the words q among C texts of |t| words each, n(w) of them with the word w,

    score(t) = sum over w of q:  ln(1 + (C - n(w) + 0.5) / (n(w) + 0.5)) * f (K1 + 1) / (f + K1 (1 - B + B |t| / mean |t|))

where f is how often w stands in t (Robertson & Zaragoza 2009; the logarithm never below 0).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.texts import WITHOUT_SPACES, normalised

if TYPE_CHECKING:
    from scipy import sparse

K1 = 1.2
B = 0.75
_PIECE = re.compile(rf"[{WITHOUT_SPACES}]+|[^\W{WITHOUT_SPACES}]+")
_RUN = re.compile(f"[{WITHOUT_SPACES}]")


def words_of(text: str) -> list[str]:
    """Words without case; of scripts without spaces each character, and each two neighbours."""
    found: list[str] = []
    for piece in _PIECE.findall(normalised(text)):
        if _RUN.match(piece):
            found += [*piece, *(piece[at : at + 2] for at in range(len(piece) - 1))]
        else:
            found.append(piece)
    return found


class WordIndex:
    """C texts that can be looked for by words."""

    def __init__(self, texts: Sequence[str]) -> None:
        counted = [Counter(words_of(text)) for text in texts]
        self.places = {word: at for at, word in enumerate(dict.fromkeys(word for one in counted for word in one))}
        counts = self._table(counted)  # [C, W]
        sizes = np.asarray(counts.sum(1), dtype=np.float64).ravel()
        mean = sizes.mean() if sizes.sum() else 1.0
        found_in = np.bincount(counts.indices, minlength=len(self.places))
        rarity = np.log1p((len(texts) - found_in + 0.5) / (found_in + 0.5))
        rows = np.repeat(np.arange(len(texts)), np.diff(counts.indptr))
        long = K1 * (1 - B + B * sizes[rows] / mean)
        counts.data = rarity[counts.indices] * counts.data * (K1 + 1) / (counts.data + long)
        self.weights = counts.T.tocsr()  # [W, C]

    def scores(self, queries: Sequence[str]) -> NDArray[np.float64]:
        """[Q, C]: how well each text goes with each query; 0 without a common word."""
        asked = self._table([Counter(words_of(query)) for query in queries])
        found: NDArray[np.float64] = (asked @ self.weights).toarray()
        return found

    def _table(self, counted: Sequence[Counter[str]]) -> "sparse.csr_matrix":
        """Counts [N, W] of the known words."""
        from scipy import sparse  # half a second to load: only for those who search

        known = [[(self.places[word], count) for word, count in one.items() if word in self.places] for one in counted]
        ends = np.cumsum([0, *map(len, known)])
        flat = [cell for one in known for cell in one]
        columns = np.array([at for at, _ in flat], dtype=np.int64)
        values = np.array([count for _, count in flat], dtype=np.float64)
        return sparse.csr_matrix((values, columns, ends), shape=(len(counted), max(1, len(self.places))))

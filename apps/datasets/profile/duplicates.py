"""Finding texts that say the same: exactly (after normalising) and nearly (MinHash), across labels and splits."""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from apps.datasets.tokens import CJK_CHARACTER, words

SHOWN = 20  # groups or pairs named in a report
SHOWN_IDS = 10  # example ids named of one group
CJK_SHINGLE = 3
WORD_SHINGLE = 2
PERMUTATIONS = 64
CANDIDATES = 50  # texts one text is compared with at most


def normal_form(text: str) -> str:
    """What two texts share when a person would call them the same: no case, widths or runs of white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_key(text: str) -> int:
    """64 bits of the normal form."""
    return int.from_bytes(hashlib.blake2b(normal_form(text).encode(), digest_size=8).digest(), "big")


def shingles(text: str) -> set[bytes]:
    """Runs of 3 characters of a Chinese or Japanese text, of 2 words of any other; a shorter text is one run."""
    units = words(normal_form(text))
    size = CJK_SHINGLE if sum(bool(CJK_CHARACTER.match(unit)) for unit in units) * 2 > len(units) else WORD_SHINGLE
    if len(units) <= size:
        return {" ".join(units).encode()} if units else set()
    return {" ".join(units[at : at + size]).encode() for at in range(len(units) - size + 1)}


class ExactIndex:
    """Equal texts, their labels and splits. Memory: about 400 bytes for each distinct text."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[int, str]] = {}  # text -> first example id, its split
        self._labels: dict[int, tuple[int, int]] = {}  # text -> first labelled example id, hash of its label
        self._groups: dict[int, list[int]] = {}
        self._conflicts: dict[int, list[int]] = {}
        self._splits: dict[int, dict[str, int]] = {}  # texts met in several splits -> one example id each
        self.duplicates = 0

    def add(self, example_id: int, text: str, split: str, label: str | None) -> bool:
        """Whether the text is new."""
        key = text_key(text)
        self._compare_label(key, example_id, label)
        if key not in self._first:
            self._first[key] = (example_id, split)
            return True
        first, first_split = self._first[key]
        self.duplicates += 1
        self._groups.setdefault(key, [first]).append(example_id)
        if split != first_split:
            self._splits.setdefault(key, {first_split: first}).setdefault(split, example_id)
        return False

    def _compare_label(self, key: int, example_id: int, label: str | None) -> None:
        if label is None:
            return
        said = hash(label)
        first, first_said = self._labels.setdefault(key, (example_id, said))
        if said != first_said:
            self._conflicts.setdefault(key, [first]).append(example_id)

    def report(self) -> dict[str, Any]:
        return {
            "exact_duplicates": {
                "rows": self.duplicates,
                "groups": len(self._groups),
                "examples": [ids[:SHOWN_IDS] for ids in _first_ones(self._groups)],
            },
            "conflicting_labels": {
                "groups": len(self._conflicts),
                "examples": [ids[:SHOWN_IDS] for ids in _first_ones(self._conflicts)],
            },
            "leakage": leak_report(_split_pairs(list(self._splits.values()))),
        }


def _first_ones(groups: dict[int, list[int]]) -> list[list[int]]:
    return sorted(groups.values(), key=lambda ids: ids[0])[:SHOWN]


def _split_pairs(met: list[dict[str, int]]) -> Iterator[tuple[str, int, str, int]]:
    order = ("train", "dev", "test")
    for splits in met:
        for at, one in enumerate(order):
            for other in order[at + 1 :]:
                if one in splits and other in splits:
                    yield one, splits[one], other, splits[other]


def leak_report(pairs: Iterator[tuple[str, int, str, int]]) -> dict[str, Any]:
    """{"train/test": {"texts": how many, "examples": [[id in train, id in test], ...]}, ...}"""
    found: dict[str, list[list[int]]] = defaultdict(list)
    for one, left, other, right in pairs:
        found[f"{one}/{other}"].append([left, right])
    return {name: {"texts": len(ids), "examples": sorted(ids)[:SHOWN]} for name, ids in sorted(found.items())}


class NearIndex:
    """Texts whose shingles overlap by `threshold` (Jaccard, estimated by MinHash of 64 permutations: +-0.06).

    Memory: 2 to 3 KB a text; so at most `limit` texts are looked at, and the report says how many were.
    """

    def __init__(self, threshold: float = 0.8, limit: int = 50_000) -> None:
        # datasketch brings scipy (60 MB): loaded by the worker that profiles, not with the web process
        from datasketch import MinHash, MinHashLSH

        self._minhash = MinHash(num_perm=PERMUTATIONS, seed=1)
        self._lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
        self._threshold, self._limit = threshold, limit
        self._seen: dict[int, tuple[Any, str]] = {}  # example id -> hash values, split
        self._parent: dict[int, int] = {}
        self._pairs: list[tuple[float, int, int]] = []
        self._leaks: dict[tuple[str, str, int], tuple[int, int]] = {}
        self.examined = self.skipped = self.pairs = 0

    def add(self, example_id: int, text: str, split: str) -> None:
        """Compare a text with those before it; texts without words and those beyond the limit are passed over."""
        parts = shingles(text)
        if not parts or self.examined >= self._limit:
            self.skipped += 1
            return
        self.examined += 1
        sketch = self._minhash.copy()
        sketch.update_batch(sorted(parts))
        for other in sorted(self._lsh.query(sketch))[:CANDIDATES]:
            values, other_split = self._seen[other]
            similarity = float((values == sketch.hashvalues).mean())
            if similarity >= self._threshold:
                self._note(other, other_split, example_id, split, similarity)
        self._lsh.insert(example_id, sketch)
        self._seen[example_id] = (sketch.hashvalues.copy(), split)

    def _note(self, one: int, one_split: str, other: int, other_split: str, similarity: float) -> None:
        self.pairs += 1
        if len(self._pairs) < 100 * SHOWN:
            self._pairs.append((similarity, one, other))
        self._parent[self._root(other)] = self._root(one)
        order = ("train", "dev", "test")
        if one_split != other_split and one_split in order and other_split in order:
            ends = sorted([(order.index(one_split), one), (order.index(other_split), other)])
            key = (order[ends[0][0]], order[ends[1][0]], ends[1][1])  # a leaked text counts once
            self._leaks.setdefault(key, (ends[0][1], ends[1][1]))

    def _root(self, example_id: int) -> int:
        while (parent := self._parent.setdefault(example_id, example_id)) != example_id:
            self._parent[example_id] = self._parent[parent]
            example_id = parent
        return example_id

    def report(self) -> dict[str, Any]:
        sizes = Counter(self._root(example_id) for example_id in list(self._parent))
        best = sorted(self._pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))[:SHOWN]
        leaks = ((one, ids[0], other, ids[1]) for (one, other, _), ids in self._leaks.items())
        return {
            "near_duplicates": {
                "threshold": self._threshold,
                "examined": self.examined,
                "skipped": self.skipped,
                "pairs": self.pairs,
                "groups": len(sizes),
                "rows": sum(sizes.values()) - len(sizes),
                "examples": [{"ids": [one, other], "similarity": round(s, 2)} for s, one, other in best],
            },
            "near_leakage": leak_report(leaks),
        }

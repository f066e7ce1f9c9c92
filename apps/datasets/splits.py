"""Dividing examples into train, dev and test so that nothing moves when the dataset grows."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

SPLITS = ("train", "dev", "test")
Shares = Mapping[str, float]


def check_shares(shares: Shares) -> None:
    """ValueError unless the shares name known splits, none is negative and they add up to 1."""
    if unknown := set(shares) - set(SPLITS):
        raise ValueError(f"Unknown splits: {', '.join(sorted(unknown))}")
    if any(share < 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-6):
        raise ValueError("Shares must not be negative and must add up to 1")


def place(key: str, seed: int) -> float:
    """Where a key falls in [0, 1), as evenly as sha256 spreads it; another seed is another draw."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:7], "big") / 2**56


def assign_split(key: str, shares: Shares, seed: int = 0) -> str:
    """The split of one example by its key alone: the group (customer, article, thread) or else the content hash.

    Rows of one key always go together, and no other row has a say: a dataset may grow for ever and none moves. The
    shares are met on average (within about 1/sqrt(n) of n keys); `stratified_splits` meets them label by label.
    """
    check_shares(shares)
    at, bound, last = place(key, seed), 0.0, ""
    for split in SPLITS:
        if shares.get(split, 0) > 0:
            bound, last = bound + shares[split], split
            if at < bound:
                return split
    return last


def stratified_splits(
    rows: Iterable[tuple[str | Sequence[str], str]],
    shares: Shares,
    seed: int = 0,
    existing: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The split of each key such that every label meets the shares as nearly as whole keys allow.

    `rows` are (label or labels, key); rows of one key are a group and stay together. Keys in `existing` keep their
    split, and what they hold counts, so a dataset that grows is filled up where it falls short. Keys with the rarest
    labels choose first, large groups before small ones, otherwise by hash, so the order of `rows` does not matter.
    Memory: one counter a key. Iterative stratification after Sechidis, Tsoumakas and Vlahavas (2011).
    """
    check_shares(shares)
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    total: Counter[str] = Counter()
    for labels, key in rows:
        held = Counter([labels] if isinstance(labels, str) else set(labels) or {""})
        groups[key] += held
        total += held
    known = {key: split for key, split in (existing or {}).items() if key in groups and split in SPLITS}
    have: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for key, split in known.items():
        have[split] += groups[key]
    open_splits = [split for split in SPLITS if shares.get(split, 0) > 0]
    result = dict(known)
    for key in _in_turn(groups, known, total, seed):
        labels_by_need = sorted(groups[key], key=lambda label: (total[label], label))
        best = max(open_splits, key=lambda split: [
            round(shares[split] * total[label] - have[split][label], 9) for label in labels_by_need
        ] + [sum(shares[split] * total[label] for label in labels_by_need)])  # fmt: skip
        result[key] = best
        have[best] += groups[key]
    return result


def _in_turn(groups: Mapping[str, Counter[str]], known: Mapping[str, str], total: Counter[str], seed: int) -> list[str]:
    def order(key: str) -> tuple[int, int, float, str]:
        held = groups[key]
        return min(total[label] for label in held), -sum(held.values()), place(key, seed), key

    return sorted((key for key in groups if key not in known), key=order)

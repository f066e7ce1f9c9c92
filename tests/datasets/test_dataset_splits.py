"""Splits: the shares are met, groups stay whole, and nothing moves when the dataset grows."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.datasets.splits import assign_split, check_shares, stratified_splits

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
KEYS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60).map(str)), max_size=120)


def test_shares_are_met_by_hash() -> None:
    found = Counter(assign_split(f"key {n}", SHARES, seed=1) for n in range(20_000))

    for split, share in SHARES.items():
        assert abs(found[split] / 20_000 - share) < 0.01


def test_a_key_alone_decides_and_a_seed_draws_anew() -> None:
    one = [assign_split(str(n), SHARES, seed=1) for n in range(500)]

    assert one == [assign_split(str(n), SHARES, seed=1) for n in range(500)]
    assert one != [assign_split(str(n), SHARES, seed=2) for n in range(500)]


def test_a_larger_train_share_only_moves_rows_into_train() -> None:
    for n in range(500):
        before = assign_split(str(n), SHARES)
        after = assign_split(str(n), {"train": 0.9, "dev": 0.05, "test": 0.05})
        assert before != "train" or after == "train"


@pytest.mark.parametrize("shares", [{}, {"train": 0.5}, {"train": 1.5, "dev": -0.5}, {"holdout": 1.0}])
def test_wrong_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        check_shares(shares)


def test_every_label_meets_the_shares() -> None:
    counts = {"common": 1000, "middle": 100, "rare": 10}
    rows = [(label, f"{label}{n}") for label, count in counts.items() for n in range(count)]

    found = stratified_splits(rows, SHARES, seed=3)

    for label, count in counts.items():
        got = Counter(found[key] for held, key in rows if held == label)
        assert got == {split: round(share * count) for split, share in SHARES.items()}


def test_several_labels_and_none_are_balanced_too() -> None:
    rows: list[tuple[str | list[str], str]] = [
        (["a", "b"] if n % 2 else ["a"] if n % 5 else [], str(n)) for n in range(1000)
    ]

    found = stratified_splits(rows, SHARES)

    both = Counter(found[key] for labels, key in rows if len(labels) == 2)
    assert abs(both["test"] - 50) <= 2
    assert abs(Counter(found.values())["test"] - 100) <= 3


@settings(deadline=None, max_examples=60)
@given(KEYS, st.integers(0, 5), st.randoms())
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, str]], seed: int, rng: object) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]

    assert stratified_splits(rows, SHARES, seed) == stratified_splits(shuffled, SHARES, seed)


@settings(deadline=None, max_examples=60)
@given(KEYS, KEYS, st.integers(0, 5))
def test_existing_rows_keep_their_split(old: list[tuple[str, str]], new: list[tuple[str, str]], seed: int) -> None:
    before = stratified_splits(old, SHARES, seed)

    after = stratified_splits(old + new, SHARES, seed, existing=before)

    assert before.items() <= after.items()
    assert set(after) == {key for _, key in old + new}


def test_growth_fills_up_what_is_short() -> None:
    old = [("a", f"old{n}") for n in range(100)]
    before = {key: "train" for _, key in old}

    after = stratified_splits(old + [("a", f"new{n}") for n in range(100)], SHARES, existing=before)

    assert Counter(after.values()) == {"train": 160, "dev": 20, "test": 20}


def test_groups_stay_whole_and_shares_hold_by_rows() -> None:
    rows = [("ab"[n % 2], f"customer {n % 37 if n % 3 else n}") for n in range(3000)]

    found = stratified_splits(rows, SHARES, seed=1)

    sizes = Counter(found[key] for _, key in rows)
    assert set(found) == {key for _, key in rows}
    for split, share in SHARES.items():
        assert abs(sizes[split] / len(rows) - share) < 0.03


def test_a_share_of_zero_gets_nothing() -> None:
    found = stratified_splits([("a", str(n)) for n in range(50)], {"train": 0.9, "test": 0.1, "dev": 0.0})

    assert set(found.values()) == {"train", "test"}

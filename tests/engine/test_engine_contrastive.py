"""Contrastive batches hold what their loss supposes, and the losses are those of the papers."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.contrastive import class_batches, class_losses, false_negatives, in_batch_losses, pair_batches
from engine.texts import normalised

TEXTS = st.text(st.sampled_from("abA "), min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=40)
SIZES = st.integers(2, 9)
SEEDS = st.integers(0, 5)


@settings(deadline=None)
@given(PAIRS, SIZES, SEEDS)
def test_each_pair_stands_once_in_an_epoch_and_no_text_twice_in_a_batch(
    pairs: list[tuple[str, str]], size: int, seed: int
) -> None:
    batches = pair_batches(pairs, seed=seed, epoch=1, batch_size=size)

    assert sorted(at for batch in batches for at in batch) == list(range(len(pairs)))
    for batch in batches:
        sides = Counter(side for at in batch for side in {normalised(text) for text in pairs[at]})
        assert 0 < len(batch) <= size
        assert max(sides.values()) == 1


def test_pairs_without_a_common_text_fill_their_batches() -> None:
    pairs = [(f"question {at}", f"answer {at}") for at in range(100)]

    batches = pair_batches(pairs, seed=1, epoch=0, batch_size=32)

    assert sorted(map(len, batches)) == [4, 32, 32, 32]


def test_many_questions_of_few_answers_still_find_company() -> None:
    pairs = [(f"question {at}", f"answer {at % 20}") for at in range(400)]

    batches = pair_batches(pairs, seed=3, epoch=0, batch_size=16)

    full = sum(len(batch) for batch in batches if len(batch) >= 12)
    assert full >= 300


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers(0, 4)), max_size=60), SIZES, st.integers(2, 4), SEEDS)
def test_each_batch_of_classes_holds_positives_and_negatives(
    rows: list[tuple[str, int]], size: int, per_class: int, seed: int
) -> None:
    texts, classes = [text for text, _ in rows], [number for _, number in rows]
    distinct = {number: {normalised(text) for text, own in rows if own == number} for number in classes}
    usable = {number for number, found in distinct.items() if len(found) > 1}

    batches = class_batches(texts, classes, seed=seed, epoch=2, batch_size=size, texts_per_class=per_class)

    assert bool(batches) == (len(usable) > 1)
    for batch in batches:
        assert len(batch) <= max(size, 2 * per_class)
        assert len({classes[at] for at in batch}) > 1
        for number in {classes[at] for at in batch}:
            assert len({normalised(texts[at]) for at in batch if classes[at] == number}) > 1


def test_classes_of_one_size_give_each_text_once_an_epoch() -> None:
    texts, classes = [f"text {at}" for at in range(64)], [at % 8 for at in range(64)]

    batches = class_batches(texts, classes, seed=1, epoch=0, batch_size=16)

    assert sorted(at for batch in batches for at in batch) == list(range(64))


def test_a_small_class_stands_in_as_many_groups_as_a_large_one() -> None:
    texts, classes = [f"text {at}" for at in range(120)], [0] * 100 + [1] * 16 + [2] * 4

    batches = class_batches(texts, classes, seed=1, epoch=0, batch_size=12)

    drawn = Counter(at for batch in batches for at in batch)
    assert {number: sum(drawn[at] for at in drawn if classes[at] == number) for number in range(3)} == {
        0: 40,
        1: 40,
        2: 40,
    }
    assert {drawn[at] for at in drawn if classes[at] == 2} == {10}
    assert {drawn[at] for at in drawn if classes[at] == 0} == {1}


def test_an_epoch_is_drawn_by_seed_and_number_alone() -> None:
    pairs = [(f"question {at}", f"answer {at}") for at in range(50)]
    texts, classes = [f"text {at}" for at in range(50)], [at % 5 for at in range(50)]

    drawn = [
        (
            pair_batches(pairs, seed=seed, epoch=epoch, batch_size=8),
            class_batches(texts, classes, seed=seed, epoch=epoch, batch_size=8),
        )
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]

    assert drawn[0] == drawn[1]
    assert drawn[0][0] not in (drawn[2][0], drawn[3][0])
    assert drawn[0][1] not in (drawn[2][1], drawn[3][1])


def unit(rows: list[list[float]]) -> Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float64), dim=1)


def test_the_in_batch_loss_is_the_softmax_over_all_candidates() -> None:
    queries, candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])

    losses = in_batch_losses(queries, candidates, scale=2.0)

    first = -math.log(math.exp(2.0) / (math.exp(2.0) + math.exp(1.2)))
    second = -math.log(math.exp(1.6) / (math.exp(0.0) + math.exp(1.6)))
    assert losses.tolist() == pytest.approx([first, second])


def test_the_symmetric_loss_also_asks_from_candidates_to_queries() -> None:
    queries, candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])

    losses = in_batch_losses(queries, candidates, scale=2.0, symmetric=True)

    there = in_batch_losses(queries, candidates, scale=2.0)
    back = in_batch_losses(candidates, queries, scale=2.0)
    assert losses.tolist() == pytest.approx(((there + back) / 2).tolist())


def test_hard_negatives_stand_in_every_denominator() -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    candidates = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])

    losses = in_batch_losses(queries, candidates, scale=1.0)

    assert losses.tolist() == pytest.approx(
        [math.log(math.e + 1 + math.exp(0.8)) - 1, math.log(math.e + 1 + math.exp(0.6)) - 1]
    )


def test_an_excluded_candidate_changes_neither_loss_nor_gradient() -> None:
    queries = unit([[1, 0, 2], [0, 1, 1]]).requires_grad_()
    candidates = unit([[1, 1, 0], [0, 1, 3], [5, 1, 2]]).requires_grad_()
    excluded = torch.tensor([[True, False, True], [False, False, True]])  # its own stays whatever the mask says

    losses = in_batch_losses(queries, candidates, scale=20.0, excluded=excluded, symmetric=True)
    losses.sum().backward()  # type: ignore[no-untyped-call]

    alone = in_batch_losses(queries.detach(), candidates.detach()[:2], scale=20.0, symmetric=True)
    assert losses.tolist() == pytest.approx(alone.tolist())
    assert candidates.grad is not None
    assert candidates.grad[2].tolist() == [0, 0, 0]


def test_known_positives_and_the_query_itself_are_no_negatives() -> None:
    pairs = [("Pay", "by card"), ("pay ", "by wire"), ("refund", "in a week")]

    found = false_negatives(pairs, ["BY  card", "PAY", "never"])

    assert found.int().tolist() == [[0, 1, 0, 1, 1, 0], [1, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]]


def test_the_class_loss_is_the_papers_sum_outside_the_logarithm() -> None:
    vectors = unit([[1, 0], [3, 1], [1, 2], [0, 1], [-1, 1]])
    classes, scale = torch.tensor([0, 0, 0, 1, 2]), 3.0

    losses, has_positive = class_losses(vectors, classes, scale=scale)

    for at in range(5):
        others = [other for other in range(5) if other != at]
        whole = sum(math.exp(scale * float(vectors[at] @ vectors[other])) for other in others)
        positives = [other for other in others if classes[other] == classes[at]]
        each = [-math.log(math.exp(scale * float(vectors[at] @ vectors[one])) / whole) for one in positives]
        assert float(losses[at]) == pytest.approx(sum(each) / len(each) if each else 0.0)
    assert has_positive.tolist() == [True, True, True, False, False]


def test_the_same_text_once_more_is_neither_positive_nor_negative() -> None:
    vectors = unit([[1, 0], [3, 1], [1, 0], [0, 1]])
    classes, texts = torch.tensor([0, 0, 0, 1]), torch.tensor([7, 8, 7, 9])

    losses, _ = class_losses(vectors, classes, scale=5.0, texts=texts)

    without, _ = class_losses(vectors[:2], classes[:2], scale=5.0)
    alone, _ = class_losses(vectors[[0, 1, 3]], classes[[0, 1, 3]], scale=5.0)
    assert float(losses[0]) == pytest.approx(float(alone[0]))
    assert float(without[0]) == pytest.approx(0.0)


def test_a_batch_of_one_text_alone_has_no_loss_and_finite_gradients() -> None:
    vectors = unit([[1, 2], [1, 2]]).requires_grad_()

    losses, has_positive = class_losses(vectors, torch.tensor([0, 0]), scale=20.0, texts=torch.tensor([4, 4]))
    losses.sum().backward()  # type: ignore[no-untyped-call]

    assert losses.tolist() == [0.0, 0.0]
    assert not has_positive.any()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()

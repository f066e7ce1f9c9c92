"""What is found by words, which texts are hard negatives, and how a new order is measured."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.evaluate_ranking import dev_figures, evaluate_ranking, part_of, reranked, searched
from engine.evaluate_vectors import retrieval_of
from engine.lexical import K1, B, WordIndex, words_of
from engine.negatives import by_vectors, by_words, drawn, hardest
from engine.pairs import PairRows, read_pairs
from engine.recipes.rerank_setup import lesson_of
from engine.report import Silent
from engine.specs import BaseModel, RerankSpec

TEXTS = ["a card is lost", "the card, the card", "Loans!", "我的卡丢了", ""]


def test_scores_of_words_are_those_of_the_formula() -> None:
    read = [Counter(words_of(text)) for text in TEXTS]
    mean = sum(map(sum, (one.values() for one in read))) / len(read)
    queries = ["the lost CARD card", "我的卡", "nothing of this"]

    found = WordIndex(TEXTS).scores(queries)

    for query, row in zip(queries, found, strict=True):
        for one, value in zip(read, row, strict=True):
            wanted = 0.0
            for word in words_of(query):
                holding = sum(word in other for other in read)
                rarity = math.log(1 + (len(read) - holding + 0.5) / (holding + 0.5))
                long = K1 * (1 - B + B * sum(one.values()) / mean)
                wanted += rarity * one[word] * (K1 + 1) / (one[word] + long)
            assert value == pytest.approx(wanted)
    assert not found[2].any()


def test_words_of_scripts_without_spaces_are_characters_and_neighbours() -> None:
    assert words_of("My PIN-code, 我的卡2") == ["my", "pin", "code", "我", "的", "卡", "我的", "的卡", "2"]
    assert words_of("… !") == [] and WordIndex([]).scores(["card"]).shape == (1, 0)


def test_the_hardest_texts_are_the_most_alike_that_do_not_belong() -> None:
    texts = ["card lost", "card", "card card lost", "loan", "rate"]

    found = hardest(by_words(["card lost", "rate"], texts), [{0}, set()], texts=5, count=2)

    assert [row.tolist() for row in found] == [[2, 1], [4]]
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], dtype=np.float32)
    alike = hardest(by_vectors(vectors[:1], vectors), [{0}], texts=3, count=2)
    assert [row.tolist() for row in alike] == [[1, 2]]


def test_negatives_are_known_ones_then_hard_ones_then_any_and_never_belong() -> None:
    generator = np.random.default_rng(1)
    given: dict[str, Any] = {"texts": 40, "belonging": {0, 1, 2}}

    some = drawn(generator, count=6, known=[7, 7], hard=[7, 8, 9], **given)
    few = drawn(generator, count=5, texts=6, belonging={0, 1, 2})
    many = [at for _ in range(50) for at in drawn(generator, count=3, **given)]

    assert some[0] == 7 and set(some[1:3]) == {8, 9}
    assert len(set(some)) == 6 and not set(some) & {0, 1, 2}
    assert sorted(few) == [3, 4, 5]
    assert set(many) == set(range(3, 40))


def test_hard_negatives_of_pairs_are_never_known_targets_of_the_same_query(
    pair_encoder: Path, pair_file: Any, tmp_path: Path
) -> None:
    rows = [
        ("my card", "card is it", "train", {}),
        ("My  Card", "card card", "train", {}),
        ("my card", "card today", "train", {"score": 0.1}),
        ("loan", "loan is it", "train", {"negative": "the loan"}),
        ("rate", "my card", "train", {}),
        *[(f"why {at}", f"card {at}", "train", {}) for at in range(6)],
    ]
    train = read_pairs(pair_file(tmp_path / "pairs.parquet", rows))["train"]

    for way in ("lexical", "vectors", "random"):
        base = BaseModel("folder", str(pair_encoder))
        lesson = lesson_of(RerankSpec(base_model=base, negatives=3, negatives_from=way, max_length_tokens=16), train)
        lesson.mine(Silent())
        lists = [one for epoch in range(4) for one in lesson.lists(epoch)]

        for row, (wanted, *others) in lists:
            said = [lesson.texts[at] for at in others]
            if lesson.queries[row].casefold().split() == ["my", "card"]:
                assert lesson.texts[wanted] in ("card is it", "card card")
                assert not {"card is it", "card card", "my card"} & set(said)  # nor the query itself
                assert said[0] == "card today"
            if lesson.queries[row] == "loan":
                assert said[0] == "the loan"
        assert len(lesson.ids) == 10 and lesson.lists(2) == lesson.lists(2)
        assert bool(lesson.hard) == (way != "random")
        assert lesson.lists(0) != lesson.lists(1)


def fake(scores: dict[str, float]) -> Any:
    return lambda pairs: np.array([scores.get(text, 0.0) for _, text in pairs], dtype=np.float32)


def rows_of(*pairs: tuple[str, str]) -> PairRows:
    sources, targets = zip(*pairs, strict=True)
    return PairRows(
        list(range(1, len(pairs) + 1)), list(sources), list(targets), [""] * len(pairs), [None] * len(pairs)
    )


def test_a_wanted_text_that_the_search_misses_stays_where_it_was() -> None:
    others = [(f"other {at}", f"card number {at}") for at in range(12)]
    rows = rows_of(("card number", "the answer"), ("card 3", "card three"), *others)
    score = fake({"the answer": 9.0, "card three": 9.0, "card number 3": 2.0})

    measured, examples = evaluate_ranking(rows, score, candidates=10, least_score=0.5)

    missed, moved = examples[:2]
    assert missed["text"] == "card number" and moved["text"] == "card 3"
    # Of 14 texts 13 share a word with the query: the answer stands last, beyond the ten that are re-ranked.
    assert (missed["first_at"], missed["found_at"], missed["correct"]) == (14, 14, False)
    assert missed["predicted_text"] == "card number 3" and missed["gold_text"] == "the answer"
    assert moved["first_at"] > 1 and moved["found_at"] == 1 and moved["correct"]
    search = searched(retrieval_of(rows, least_score=0.5), candidates=10)
    held = search.held()
    assert held[0] == 0 and held[1] == 1 and measured["headline"]["first_recall"]["value"] == pytest.approx(held.mean())
    assert max(map(len, search.lists)) == 10
    gained = [one.place for one in reranked(search, score)]
    assert gained == [row["found_at"] for row in examples]
    mrr = np.mean([1 / place if place <= 10 else 0 for place in gained])
    first = np.mean([1 / place if place <= 10 else 0 for place in search.places.tolist()])
    assert measured["headline"]["mrr"]["value"] == pytest.approx(mrr)
    assert measured["headline"]["first_mrr"]["value"] == pytest.approx(first)
    assert measured["headline"]["mrr_gain"]["value"] == pytest.approx(mrr - first)


def test_a_model_that_gives_every_text_the_same_score_finds_nothing() -> None:
    rows = rows_of(*[(f"card {at}", f"card {at} it") for at in range(12)])

    measured, examples = evaluate_ranking(rows, fake({}), candidates=10, least_score=0.5)

    assert measured["headline"]["first_mrr"]["value"] == 1.0
    assert {row["found_at"] for row in examples} == {10}
    assert measured["headline"]["mrr"]["value"] == pytest.approx(0.1)
    assert measured["headline"]["mrr_gain"]["high"] < 0
    assert examples[0]["loss"] == pytest.approx(math.log(10))


def test_a_query_never_finds_its_own_text_and_few_queries_are_drawn_by_seed() -> None:
    rows = rows_of(("card", "pin"), ("pin", "card"), ("loan", "rate"), ("rate", "loan"))
    retrieval = retrieval_of(rows, least_score=0.5)

    search = searched(retrieval, candidates=10)
    some = part_of(retrieval, 2, seed=3)

    for at, query in enumerate(retrieval.queries):
        assert query not in [retrieval.candidates[one] for one in search.lists[at]]
        assert len(search.lists[at]) == 3
    assert len(some.queries) == len(some.ids) == len(some.wanted) == len(some.own) == 2
    assert some.candidates == retrieval.candidates and part_of(retrieval, 2, seed=3).queries == some.queries
    assert part_of(retrieval, 0, seed=3) is retrieval
    figures = dev_figures(rows, searched(some, candidates=10), fake({"pin": 1.0}))
    assert set(figures) == {"mrr", "ndcg", "recall_at_1", "recall_at_5", "recall_at_10", "mrr_gain", "loss"}


def test_scores_of_pairs_are_held_against_the_model() -> None:
    rows = rows_of(("a", "pin"), ("b", "card"), ("c", "loan"))
    rows.scores[:] = [0.1, 0.5, 0.9]

    measured, _ = evaluate_ranking(rows, fake({"pin": -3.0, "card": 0.0, "loan": 1.0}), candidates=10, least_score=0.5)

    assert measured["headline"]["spearman"]["value"] == 1.0 and measured["graded_pairs"] == 3
    assert measured["queries"] == 2

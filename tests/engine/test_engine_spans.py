"""Units, tags and figures of marked spans: nothing is lost on the way, and entities count as strict IOB2 counts them."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import span_metrics
from engine.spans import Span, best_tags, legal_moves, overlapping, spans_of, tag_names, tags_of
from engine.units import Reading, pieces_of, unit_by_script, unit_spans

LABELS = ("LOC", "ORG", "PER")
TAGS = st.sampled_from(tag_names(LABELS))
SENTENCES = st.lists(st.lists(TAGS, min_size=1, max_size=12), min_size=1, max_size=6)


def strict_entities(tags: list[str]) -> set[tuple[int, int, str]]:
    """What seqeval counts with mode="strict", scheme=IOB2: B opens, I of the same label goes on, nothing else is a part."""
    found, at = set(), 0
    while at < len(tags):
        if tags[at].startswith("B-"):
            end = at + 1
            while end < len(tags) and tags[end] == "I-" + tags[at][2:]:
                end += 1
            found.add((at, end, tags[at][2:]))
            at = end
        else:
            at += 1
    return found


def as_spans(tags: list[str]) -> list[Span]:
    return [Span(*entity) for entity in sorted(strict_entities(tags))]


@given(SENTENCES, st.randoms(use_true_random=False))
def test_figures_are_those_of_strict_iob2(gold: list[list[str]], maker: Any) -> None:
    said = [[maker.choice([tag, *tag_names(LABELS)[:3]]) for tag in tags] for tags in gold]
    table = span_metrics.row_counts([as_spans(tags) for tags in gold], [as_spans(tags) for tags in said], LABELS)
    figures = {name: float(value[0]) for name, value in span_metrics.averages(table.sum(0, keepdims=True)).items()}

    true = {(row, *one) for row, tags in enumerate(gold) for one in strict_entities(tags)}
    found = {(row, *one) for row, tags in enumerate(said) for one in strict_entities(tags)}
    by_label = {}
    for label in {one[3] for one in true | found}:
        mine, theirs = ({one for one in side if one[3] == label} for side in (true, found))
        by_label[label] = (2 * len(mine & theirs) / (len(mine) + len(theirs)), len(mine))
    assert figures["precision"] == pytest.approx(len(true & found) / max(1, len(found)))
    assert figures["recall"] == pytest.approx(len(true & found) / max(1, len(true)))
    assert figures["entity_f1"] == pytest.approx(2 * len(true & found) / max(1, len(true) + len(found)))
    assert figures["macro_f1"] == pytest.approx(sum(f1 for f1, _ in by_label.values()) / max(1, len(by_label)))
    weights = sum(count for _, count in by_label.values())
    assert figures["weighted_f1"] == pytest.approx(sum(f1 * n for f1, n in by_label.values()) / max(1, weights))


@given(st.text(st.sampled_from("ab C中国9.'- \té\u0301😀ก"), max_size=24), st.sampled_from(["word", "character"]))
def test_units_cover_everything_but_space_and_spans_survive_their_tags(text: str, unit: str) -> None:
    units = unit_spans(text, unit)

    covered = {at for start, end in units for at in range(start, end)}
    assert all(text[at].isspace() or at in covered for at in range(len(text)))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(units))
    spans = [
        Span(units[at][0], units[min(at + 1, len(units) - 1)][1], LABELS[at % 3]) for at in range(0, len(units), 2)
    ]
    tagged = tags_of(units, spans, LABELS)
    assert not tagged.off_border and not tagged.unseen
    assert [span for span, _, _ in spans_of(units, tagged.tags, LABELS)] == spans


def test_words_split_at_signs_and_in_scripts_without_spaces() -> None:
    text = "Jean-Luc's 中国銀行 e\u0301a 3.5"

    words = [text[start:end] for start, end in unit_spans(text, "word")]

    assert words == ["Jean", "-", "Luc", "'", "s", "中", "国", "銀", "行", "e\u0301a", "3", ".", "5"]
    assert unit_by_script(["张三是北京大学的 CEO"]) == "character" and unit_by_script(["Lena pays 20 元"]) == "word"


def test_a_span_inside_a_word_is_told_and_its_word_tagged() -> None:
    tagged = tags_of([(0, 6), (7, 12)], [Span(1, 6, "PER"), Span(6, 7, "ORG")], LABELS)

    assert tagged.tags == [5, 0]
    assert tagged.off_border == (Span(1, 6, "PER"),) and tagged.unseen == (Span(6, 7, "ORG"),)


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5))
def test_the_best_tags_are_legal_and_no_legal_ones_are_better(seeds: list[int]) -> None:
    scores = np.stack([np.random.default_rng(seed).normal(size=5) for seed in seeds])
    starts, moves = legal_moves(2)

    best = best_tags(scores, starts, moves)

    def worth(tags: Any) -> float:
        steps = sum(moves[one, other] for one, other in itertools.pairwise(tags))
        return float(starts[tags[0]] + steps + sum(scores[at, tag] for at, tag in enumerate(tags)))

    assert worth(best) > -1e8
    assert worth(best) == pytest.approx(max(worth(tags) for tags in itertools.product(range(5), repeat=len(seeds))))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(6, 12), st.integers(0, 5))
def test_windows_read_every_unit_once_with_the_most_company(lengths: list[int], room: int, stride: int) -> None:
    readings = [
        Reading(list(range(count)), [(at, at + 1) for at in range(0, count, 2)], list(range(0, count, 2)))
        for count in lengths
    ]

    pieces = pieces_of(readings, room, min(stride, room // 2 - 1))

    for row, reading in enumerate(readings):
        mine = [piece for piece in pieces if piece.row == row]
        assert [at for piece in mine for at in range(piece.first_unit, piece.last_unit)] == list(range(len(reading)))
        for piece in mine:
            assert piece.end - piece.start == min(room, len(reading.tokens))
            for at in range(piece.first_unit, piece.last_unit):
                token = reading.firsts[at]
                assert piece.start <= token < piece.end

                def company(some: Any, token: int = token, length: int = len(reading.tokens)) -> float:
                    left = token - some.start if some.start else length
                    return min(left, some.end - token if some.end < length else length)

                others = [some for some in mine if some.start <= token < some.end]
                assert company(piece) >= max(company(some) for some in others) - 1


def test_errors_are_told_apart() -> None:
    gold = [[Span(0, 4, "PER"), Span(5, 9, "ORG"), Span(10, 14, "LOC"), Span(20, 24, "PER"), Span(30, 34, "ORG")]]
    said = [[Span(0, 4, "PER"), Span(5, 9, "LOC"), Span(9, 14, "LOC"), Span(21, 26, "ORG"), Span(40, 44, "PER")]]

    found = span_metrics.errors(gold, said)

    assert found == {"boundary": 1, "label": 1, "label_and_boundary": 1, "missing": 1, "spurious": 1}
    assert span_metrics.mixed_up(gold, said) == [{"gold": "ORG", "said": "LOC", "count": 1}]


def test_the_report_has_conlls_form() -> None:
    table = span_metrics.row_counts([[Span(0, 1, "PER"), Span(2, 3, "LOC")]], [[Span(0, 1, "PER")]], ("LOC", "PER"))

    report = span_metrics.conll_report(table.sum(0), ("LOC", "PER"), {"all": 4, "right": 3})

    assert report.splitlines() == [
        "processed 4 tokens with 2 phrases; found: 1 phrases; correct: 1.",
        "accuracy:  75.00%; precision: 100.00%; recall:  50.00%; FB1:  66.67",
        "              LOC: precision:   0.00%; recall:   0.00%; FB1:   0.00  0",
        "              PER: precision: 100.00%; recall: 100.00%; FB1: 100.00  1",
    ]


def test_overlap_is_sharing_a_character() -> None:
    assert overlapping([Span(4, 8, "A"), Span(0, 5, "B")])
    assert not overlapping([Span(4, 8, "A"), Span(0, 4, "B")])

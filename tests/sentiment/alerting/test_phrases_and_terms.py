"""Words that are looked for, and terms that stand out."""

import pytest

from apps.sentiment.alerting.phrases import holds_one
from apps.sentiment.alerting.terms import standing_out, terms_of


@pytest.mark.parametrize(
    ("text", "phrase", "found"),
    [
        ("The bank suffers a data breach", "data breach", True),
        ("DATA   BREACH at the bank", "data breach", True),
        ("The databreacher came", "data breach", False),
        ("He is a scapegoat", "goat", False),
        ("The goat.", "GOAT", True),
        ("公司被证监会立案调查", "立案调查", True),
        ("在Apple公司", "apple", True),
        ("Ａｐｐｌｅ", "apple", True),
        ("Pineapple", "apple", False),
        ("C++ is broken", "C++", True),
        ("公司被證監會立案調查", "立案调查", True),
        ("nothing here", "", False),
    ],
)
def test_latin_words_stand_alone_and_chinese_ones_anywhere(text: str, phrase: str, found: bool) -> None:
    assert holds_one(text, ["other words", phrase]) is found


def test_terms_that_are_new_stand_out_and_those_that_are_usual_do_not() -> None:
    before = [f"The harbour company reports quarter {word}" for word in ("one", "two", "three", "four", "five", "six")]
    now = [
        "Harbour company hit by crane accident",
        "Crane accident stops harbour company",
        "Workers hurt in crane accident",
    ]

    found = standing_out(now, before)

    assert found[0].text == "crane accident"
    assert found[0].count == 3
    assert found[0].before == 0
    assert "harbour company" not in {term.text for term in found}


def test_chinese_terms_are_whole_and_not_their_pieces() -> None:
    before = ["港口公司发布季度报告", "港口公司签订新合同", "港口公司召开股东大会", "港口公司增加投资"]
    now = ["港口公司发生吊车事故", "吊车事故致港口停工", "吊车事故原因正在调查"]

    found = [term.text for term in standing_out(now, before)]

    assert found[0] == "吊车事故"
    assert "吊车" not in found
    assert "车事" not in found
    assert "港口公司" not in found


def test_without_a_before_the_most_frequent_are_told() -> None:
    found = standing_out(["crane accident one", "crane accident two", "harbour"], [])

    assert [(term.text, term.count) for term in found] == [("crane accident", 2)]


def test_nothing_stands_out_of_nothing() -> None:
    assert standing_out([], ["a text"]) == []
    assert standing_out(["the of and"], []) == []
    assert terms_of("") == set()

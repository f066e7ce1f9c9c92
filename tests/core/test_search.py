"""Search tokens: what a person types is found in what was indexed, in Chinese from one character on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.search import SEARCHED_CHARACTERS, query_tokens, search_tokens


def finds(query: str, text: str) -> bool:
    wanted = query_tokens(query)
    return bool(wanted) and set(wanted) <= set(search_tokens(text))


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("银行卡", "我的银行卡丢了", True),
        ("卡", "我的银行卡丢了", True),
        ("行卡", "我的银行卡丢了", True),
        ("银卡", "我的银行卡丢了", False),
        ("CARD", "my Card is lost", True),
        ("car", "my card is lost", False),
        ("app 银行", "银行App打不开", True),
        ("ＡＰＰ", "app", True),
        ("straße", "STRASSE", True),
        ("カタカナ", "ｶﾀｶﾅ", True),
        ("𠮷", "𠮷野家", True),
        ("20", "pay 20 now", True),
        ("!?", "anything", False),
        ("", "anything", False),
    ],
)
def test_a_query_finds_what_holds_its_words(query: str, text: str, found: bool) -> None:
    assert finds(query, text) is found


@given(st.text(st.sampled_from("银行卡丢ab 1,，𠮷é"), max_size=30), st.data())
def test_every_piece_of_chinese_finds_its_text(text: str, data: st.DataObject) -> None:
    tokens = set(search_tokens(text))
    run = data.draw(st.sampled_from([part for part in text.split() if part] or [""]))

    assert set(query_tokens(run)) <= tokens
    assert set(query_tokens(text)) <= tokens


def test_only_the_beginning_is_indexed_and_tokens_fit_a_lexeme() -> None:
    text = "a" * 3_000 + " " + "b " * SEARCHED_CHARACTERS + "end"

    tokens = search_tokens(text)

    assert "end" not in tokens
    assert max(map(len, tokens)) <= 100
    assert search_tokens("a\0b") == ["a", "b"]
    assert tokens == sorted(set(tokens))

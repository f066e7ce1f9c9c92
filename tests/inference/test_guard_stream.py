"""Answers while they are written: sentences, and that nothing slips through where one ends."""

import random
from typing import Any

import pytest

from apps.inference.guards.chain import BLOCK, OFF, REDACT, Decision, Rules, check
from apps.inference.guards.stream import AnswerGuard, Sentences

PIECES = (
    "Call me",
    "我的号码是",
    "a.b@",
    "example.com",
    "ana.b@example.co.uk",
    "+86 138 0013 8000",
    "138-0013-8000",
    "138 0013. 8000",
    "(415) 555-2671",
    "+1 (415) 555 2671",
    "0049 30 901820",
    "021-62345678",
    "DE89 3704 0044 0532 0130 00",
    "GB29 NWBK 6016 1331 9268 19",
    "DE89 3704",
    "11010519491231002X",
    "110105 19491231 002X",
    "4111 1111 1111 1111",
    "6222021234567890128",
    "192.168.1.20",
    "version 1.2.3.4",
    "2001:db8::1",
    "https://user:pa。ss1@host/x",
    "https://user:",
    "pass@",
    "sk-abcdefghij0123456789",
    "AKIA",
    "ABCDEFGHIJKLMNOP",
    "password: abc！123def",
    "密码：",
    "password =\n",
    "hunter2x",
    "bearer ",
    "eyJhbGciOiJIUzI1NiJ9",
    ".eyJzdWIiOiIxMjM0NTY3ODkwIn0",
    ".abcdefghijk",
    "-----BEGIN RSA PRIVATE KEY-----",
    "\nMIIabc\n",
    "-----END RSA PRIVATE KEY-----",
    "订单号 ",
    "k1ll",
    "ki",
    "kiiiill",
    "枪",
    "支",
    "槍支",
    "g.o.l.d",
    "bad. word",
    "\u200b",
    "１３８００１３８０００",
    "word " * 90,
    "字" * 450,
)
BETWEEN = (" ", "", "", ". ", "。", "！", "? ", "\n", "，", ", ", "-", ".", "  ", "；", "(", ") ", "5", "\u200b")
TERMS = ("kill", "枪支", "gold", "bad word")


def written(text: str, rules: Rules, pieces: random.Random, longest: int) -> tuple[str, list[Decision]]:
    """What is let out of a text that comes in pieces, and what was decided."""
    sentences, let_out, decisions, at = Sentences(rules), "", [], 0
    while at < len(text):
        size = pieces.randint(1, longest)
        for _raw, verdict in sentences.feed(text[at : at + size]):
            let_out += verdict.text
            decisions += verdict.decisions
        at += size
    for _raw, verdict in sentences.feed("", is_last=True):
        let_out += verdict.text
        decisions += verdict.decisions
    return let_out, decisions


def places(decisions: list[Decision]) -> list[tuple[str, str, tuple[int, int]]]:
    return sorted((each.stage, each.rule, span) for each in decisions for span in each.spans)


@pytest.mark.parametrize("seed", range(120))
def test_what_is_let_out_piece_by_piece_is_the_redacted_text(seed: int) -> None:
    drawn = random.Random(seed)
    text = "".join(drawn.choice(PIECES) + drawn.choice(BETWEEN) for _ in range(drawn.randrange(1, 25)))
    rules = Rules(
        "output",
        personal=drawn.choice([REDACT, REDACT, OFF]),
        terms_action=drawn.choice([REDACT, OFF]),
        terms=TERMS,
        sounds_alike=drawn.random() < 0.3,
    )

    let_out, decisions = written(text, rules, drawn, drawn.choice([1, 2, 5, 30, 1000]))

    whole = check(text, rules)
    assert let_out == whole.text
    assert places(decisions) == places(whole.decisions)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word " * 78 + "+86 138 0013 8000, or", "word " * 78 + "[PHONE], or"),
        ("word " * 78 + "DE89 3704 0044 0532 0130 00 ", "word " * 78 + "[IBAN] "),
        ("字" * 395 + "ana@example.com。", "字" * 395 + "[EMAIL]。"),
        ("password: abc！123def", "password: [SECRET]"),
        ("at https://user:pa。ss1@host/x", "at https://[CREDENTIALS]@host/x"),
        ("-----BEGIN PRIVATE KEY-----\nMIIa. b\n-----END PRIVATE KEY-----\nso", "[SECRET]\nso"),
        ("sell g. o. l. d. now", "sell [TERM]. now"),
        ("no. 订单号。138 0013 8000 is an order", "no. 订单号。138 0013 8000 is an order"),
    ],
)
@pytest.mark.parametrize("longest", [1, 7, 2000])
def test_nothing_is_cut_where_a_sentence_or_a_line_ends(text: str, expected: str, longest: int) -> None:
    rules = Rules("output", personal=REDACT, terms_action=REDACT, terms=("gold",))

    assert written(text, rules, random.Random(1), longest)[0] == expected


def test_a_sentence_is_let_out_as_soon_as_nothing_can_be_open_in_it() -> None:
    sentences = Sentences(Rules("output", personal=REDACT))

    told = [
        [verdict.text for _raw, verdict in sentences.feed(piece)]
        for piece in ("Hello. ", "Call 138 0013 8000. ", "Th", "en a.b@x.org. ", "So")
    ]

    assert told == [["Hello."], [" Call [PHONE]."], [], [" Then [EMAIL]."], []]


def test_what_stays_open_for_very_long_is_let_go_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sentences, "OPEN", 1000)
    sentences = Sentences(Rules("output", personal=REDACT))

    told = [raw for _piece in range(700) for raw, _verdict in sentences.feed("AbCdEf")]

    assert 3 * 1000 < len("".join(told)) <= 4200
    assert len(sentences._text) <= 2 * 1200


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_sentences_are_the_same_however_the_text_grows(step: int) -> None:
    text = "One. Two! 3.14 is v1.2?\n第一句。第二句！" + "word " * 200 + "end"
    rules = Rules("output", personal=REDACT)
    expected = [raw for raw, _verdict in Sentences(rules).feed(text, is_last=True)]

    cut, found = Sentences(rules), []
    for at in range(0, len(text), step):
        found += [raw for raw, _verdict in cut.feed(text[at : at + step])]
    found += [raw for raw, _verdict in cut.feed("", is_last=True)]

    assert "".join(found) == text
    assert found == expected
    assert found[:4] == ["One.", " Two!", " 3.14 is v1.2?", "\n"]
    assert max(map(len, found)) <= Sentences.MOST


def test_an_answer_comes_sentence_by_sentence_and_ends_where_it_is_blocked() -> None:
    guard = AnswerGuard(Rules("output", personal=REDACT, terms_action=BLOCK, terms=("badword",)), ask=len)

    released = []
    for piece in ("Mail ana@exam", "ple.com. ", "This ", "is a bad", "word. ", "More."):
        guard.feed(piece, is_last=False)
        released.append(guard.released({}))
    guard.feed("", is_last=True)

    assert released == ["", "Mail [EMAIL].", "", "", "", ""]
    assert guard.is_blocked and guard.is_over and guard.released({}) == ""
    assert [each.stage for each in guard.decisions] == ["personal", "terms"]
    assert guard.decisions[1].spans == ((32, 39),)


def test_sentences_wait_for_the_classifier_in_their_order() -> None:
    asked: list[str] = []

    def ask(text: str) -> int:
        asked.append(text)
        return len(asked)

    rules = Rules("output", classifier=BLOCK, classifier_labels=frozenset({"toxic"}))
    guard = AnswerGuard(rules, ask)
    guard.feed("A. B. C.", is_last=True)

    fine: Any = [("toxic", 0.1)]
    assert asked == ["A.", " B.", " C."]
    assert guard.released({2: fine}) == "" and guard.questions == [1, 2, 3]
    assert guard.released({1: fine, 2: fine}) == "A. B." and not guard.is_over
    assert guard.released({3: [("toxic", 0.9)]}) == "" and guard.is_blocked and guard.is_over

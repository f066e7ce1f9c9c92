"""Personal data is found by shape and check digit, and what only looks like it stays."""

import random
import time
from itertools import pairwise

import pytest

from apps.inference.guards.pii import Kind, find, redact

CARD = "4111 1111 1111 1111"
ID_NUMBER = "11010519491231002X"  # the example of GB 11643
IBAN = "DE89 3704 0044 0532 0130 00"
UNION_PAY = "6212345678901232"


@pytest.mark.parametrize(
    ("text", "kind", "surface"),
    [
        ("写信到zhang.san+a@mail.example.com。", Kind.EMAIL, "zhang.san+a@mail.example.com"),
        ("Mail to <o_b@example.co.uk>, please.", Kind.EMAIL, "o_b@example.co.uk"),
        ("ｚｈａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ", Kind.EMAIL, "ｚｈａｎｇ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
        ("我的电话13800138000谢谢", Kind.PHONE, "13800138000"),
        ("手机：138-0013-8000", Kind.PHONE, "138-0013-8000"),
        ("１３８００１３８０００", Kind.PHONE, "１３８００１３８０００"),
        ("138\u200b0013\u200b8000!", Kind.PHONE, "138\u200b0013\u200b8000"),
        ("+86 13800138000", Kind.PHONE, "+86 13800138000"),
        ("call +44 20 7946 0958 now", Kind.PHONE, "+44 20 7946 0958"),
        ("座机010-12345678", Kind.PHONE, "010-12345678"),
        ("Ring (212) 555-0147.", Kind.PHONE, "(212) 555-0147"),
        (f"身份证{ID_NUMBER}，", Kind.ID_NUMBER, ID_NUMBER),
        ("110105 19491231 002x", Kind.ID_NUMBER, "110105 19491231 002x"),
        (f"Card {CARD}, thanks", Kind.CREDIT_CARD, CARD),
        ("378282246310005", Kind.CREDIT_CARD, "378282246310005"),
        ("3782-822463-10005", Kind.CREDIT_CARD, "3782-822463-10005"),
        ("1234 4111 1111 1111 1111", Kind.CREDIT_CARD, CARD),
        (f"卡号{UNION_PAY}。", Kind.BANK_CARD, UNION_PAY),
        (f"to {IBAN} today", Kind.IBAN, IBAN),
        ("GB82WEST12345698765432", Kind.IBAN, "GB82WEST12345698765432"),
        ("from 203.0.113.77:8080", Kind.IP_ADDRESS, "203.0.113.77"),
        ("from [2001:db8::8a2e:370:7334].", Kind.IP_ADDRESS, "2001:db8::8a2e:370:7334"),
        ("postgres://ana:hunter2@db.example.com/x", Kind.CREDENTIALS, "ana:hunter2"),
        ("key sk-proj-Abc123Def456Ghi789Jkl012", Kind.SECRET, "sk-proj-Abc123Def456Ghi789Jkl012"),
        ("AKIAIOSFODNN7EXAMPLE", Kind.SECRET, "AKIAIOSFODNN7EXAMPLE"),
        ("Authorization: Bearer abc.DEF-123456", Kind.SECRET, "abc.DEF-123456"),
        ("密码：hunter2000", Kind.SECRET, "hunter2000"),
        ('api_key = "q1w2e3r4t5"', Kind.SECRET, "q1w2e3r4t5"),
    ],
)
def test_personal_data_is_found_where_it_stands(text: str, kind: Kind, surface: str) -> None:
    found = find(text)

    assert [(each.kind, text[each.start : each.end]) for each in found] == [(kind, surface)]


@pytest.mark.parametrize(
    "text",
    [
        "订单号 13800138000 已发货",
        "Order no. 13912345678 was sent.",
        "单号：20240315123456789",
        "2024-03-15 12:30:45",
        "2024/03/15 at 08:15:00.123",
        "It costs 1,299.00 EUR, was 1.499,00.",
        "价格是 4111111111111112 分",  # the check digit is wrong
        "11010519491231003X",
        "11010519490231002X",  # 31 February
        "DE89 3704 0044 0532 0130 01",
        "0.4111111111111111 of it",
        "pi = 3.14159265358979323846",
        "version 1.2.3.4 and v10.0.0.1",
        "127.0.0.1, 0.0.0.0, 300.1.1.1, 1.2.3.4.5",
        "std::vector a::b 12:30 ab:cd",
        "+20240101 or +12.5 %",
        "0000 0000 0000 0000",
        "token: string, password: required",
        "sk-learn-for-absolute-beginners",
        "a@b and @name and me@home",
        "https://example.com/a?b=c:d",
        "SKU 6212-3456, ISBN 978-7-111-54742-6",
        "ab1380013800012",
        "人口14.1亿，增长0.5%",
        "",
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == (text, [])


def test_placeholders_take_the_place_of_what_was_found() -> None:
    text, found = redact(f"我是ana@example.com，电话13800138000，卡{CARD}。")

    assert text == "我是[EMAIL]，电话[PHONE]，卡[CREDIT_CARD]。"
    assert [each.kind for each in found] == [Kind.EMAIL, Kind.PHONE, Kind.CREDIT_CARD]


def test_only_the_kinds_that_are_asked_for_are_looked_for() -> None:
    assert redact("ana@example.com 13800138000", {Kind.PHONE})[0] == "ana@example.com [PHONE]"


def test_a_private_key_goes_whole_even_without_an_end_of_another() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"

    assert redact(f"a {key} b -----BEGIN PRIVATE KEY-----")[0] == "a [SECRET] b -----BEGIN PRIVATE KEY-----"


def test_redacting_what_was_redacted_changes_nothing() -> None:
    once = redact(f"ana@example.com {CARD} {IBAN} {ID_NUMBER} password=abc12345")[0]

    assert redact(once) == (once, [])


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "a@",
        "a.",
        "@",
        "1 ",
        "1-",
        "+1 ",
        "eyJ",
        "eyJ-",
        "://:",
        "a:",
        "::",
        "1.",
        "DE89 ",
        "sk-",
        "password=",
        "(0",
        "\u200b",
        "a-",
        "00-",
    ],
)
def test_the_time_grows_with_the_length_and_not_faster(piece: str) -> None:
    def seconds(count: int) -> float:
        text, best = piece * (count // len(piece)), float("inf")
        for _ in range(3):
            began = time.process_time()
            find(text)
            best = min(best, time.process_time() - began)
        return best

    short, long = seconds(2_000), seconds(32_000)

    assert long < 16 * 6 * max(short, 0.002)  # sixteen times the text; a square would be 256 times the time


def test_random_text_never_breaks_a_span() -> None:
    draw = random.Random(7)
    alphabet = "a1@.:-+ 0９\u200b电话xX/=" + CARD + IBAN
    for _ in range(300):
        text = "".join(draw.choice(alphabet) for _ in range(draw.randrange(120)))

        found = find(text)

        assert all(0 <= each.start < each.end <= len(text) for each in found)
        assert all(one.end <= two.start for one, two in pairwise(found))
